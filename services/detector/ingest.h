/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Samples from the collectors into the store, and who the collectors are. Listens on the samples
 * socket; layouts and batches go to the store as they come; announcements keep the member list,
 * which is published on the alert stream's socket so that the collectors can share the targets
 * among themselves.
 */
#include "common/base/strbuf.h"
#include "common/bus/bus.h"
#include "common/msg/exemplars.h"
#include "common/msg/samples.h"
#include "services/detector/store/store.h"

struct det_ingest; /* opaque */

struct det_ingest_config { /* borrowed */
	struct ops_loop *loop;
	struct det_store *store;
	struct ops_pub *alerts; /* members are told here */
	const char *listen;
	const char *checkpoint_dir; /* beside the store's files; NULL: none */
	int64_t heartbeat_ms;	    /* of the member list; 0: a second */
	const struct ops_bus_key *key;
	const struct ops_bus_tls *tls;
	void (*on_exemplar)(void *arg, const struct ops_exemplar *e); /* may be NULL */
	/* Stores a remote write 2.0 message that a collector received; negative: refused, err set.
	 */
	int (*receive)(void *arg, const struct ops_strbuf *message, struct ops_error *err);
	void *arg;
};

int det_ingest_open(const struct det_ingest_config *cfg, struct det_ingest **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void det_ingest_close(struct det_ingest *in);
/* What the subscription does with a message; refusals are counted. */
void det_ingest_message(struct det_ingest *in, const struct ops_bus_message *m);
size_t det_ingest_members(const struct det_ingest *in);
/* A list of them, for whoever wants to ask them. */
json_t *det_ingest_members_json(const struct det_ingest *in) OPS_MUST_CHECK;
size_t det_ingest_replicated(const struct det_ingest *in); /* targets that several send now */
/* A collector is heard, and all that the heard ones have sent has arrived. */
bool det_ingest_live(const struct det_ingest *in);
uint64_t det_ingest_lag(const struct det_ingest *in); /* records behind the collectors */
