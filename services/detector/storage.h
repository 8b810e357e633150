/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The store in its process: opened on a thread while the loop answers, what its disk does told to
 * health, metrics and log, options from the configuration.
 */
#include "services/detector/config.h"
#include "services/detector/store/store.h"

struct det_storage; /* opaque */

struct det_storage_config { /* borrowed */
	struct ops_daemon *daemon;
	const struct det_config *config;
	/* On the loop, once: the store can be used now, or rc says that it cannot. */
	void (*on_open)(void *arg, int rc, const struct ops_error *err);
	void *arg;
};
int det_storage_open(const struct det_storage_config *cfg, struct det_storage **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void det_storage_close(struct det_storage *g);
struct det_store *det_storage_store(struct det_storage *g);
void det_storage_configure(struct det_storage *g, const struct det_config *config);

/* What memory_max says, "80%" of the cgroup's limit or the machine, or a size; 0: no limit. */
int det_memory_max(const char *text, uint64_t *ret_bytes, struct ops_error *err) OPS_MUST_CHECK;
