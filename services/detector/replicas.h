/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One series per target, however many collectors send it: for each target one of them leads, and
 * its rows are stored. Those of the others are dropped, but for what is newer than the leader's
 * last: that waits, so that nothing is missing when they take over. Loop thread only.
 */
#include "common/bus/bus.h"
#include "common/msg/samples.h"
#include "services/detector/store/store.h"

struct det_replicas; /* opaque */

struct det_replicas *det_replicas_new(struct det_store *store);
void det_replicas_free(struct det_replicas *r); /* NULL is fine */

/* The collector behind this stream announces a layout of one of its targets. */
void det_replicas_layout(struct det_replicas *r, const char *stream, const struct ops_layout *l);
/* A layout that the store has from before the start; source: "stream\njob\ninstance" of the one
 * that fed it last. */
void det_replicas_resume(struct det_replicas *r, const struct det_store_resumed *resumed);
/*
 * A message with one batch. 0: taken, which is stored, kept for a while or dropped as another's; 1:
 * layout unknown; -EINVAL: refused. All is counted.
 */
int det_replicas_batch(struct det_replicas *r, const struct ops_bus_message *m,
	uint64_t *ret_layout) OPS_MUST_CHECK;
/* The collector lets go of the target with this layout; others go on at once. */
void det_replicas_release(struct det_replicas *r, const char *stream, uint64_t layout_id);
/* The collector has gone silent. */
void det_replicas_gone(struct det_replicas *r, const char *stream);
/* Forgets what nobody has sent for a day. */
void det_replicas_maintain(struct det_replicas *r);

struct det_replicas_stats {
	size_t targets, replicated; /* replicated: two collectors or more send it now */
};
void det_replicas_stats(const struct det_replicas *r, struct det_replicas_stats *ret);
size_t det_replicas_led(const struct det_replicas *r, const char *stream); /* targets */
