/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who drains a stream, and how far they are, as their replay requests told. Decides what the
 * publisher may trim; kept in a file beside the log, because a publisher that restarts must not
 * trim what a subscriber that is down has not seen. Owned by the publisher.
 */
#include "common/base/def.h"

struct ops_consumers; /* opaque */

/* path NULL: memory only. A file of another epoch, or a damaged one, is as good as none. */
struct ops_consumers *ops_consumers_open(const char *path, uint64_t epoch);
void ops_consumers_close(struct ops_consumers *c); /* writes what changed */
/* False: too many consumers. acked 0: may need everything again. */
bool ops_consumers_heard(struct ops_consumers *c, const char *name, uint64_t acked, int64_t now_ms);
/* Everybody has this number and those below; 0 when nobody is known, or one may need all. */
uint64_t ops_consumers_lowest(struct ops_consumers *c, int64_t now_ms);
/* Writes the file when something changed; call now and then. */
void ops_consumers_flush(struct ops_consumers *c);
