/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The checkpoint of one consumer in one stream: epoch and next number, in a file of its own. Owned
 * by the subscriber's stream.
 */
#include "common/base/def.h"

struct ops_position; /* opaque */

enum {
	OPS_POSITION_FILE_BYTES = 64
};

/* Opens or makes DIR/CONSUMER@STREAM.position ('/' becomes '%'). -errno of the file system. */
int ops_position_open(const char *dir, const char *consumer, const char *stream,
	struct ops_position **ret) OPS_MUST_CHECK;
void ops_position_close(struct ops_position *p);
/* False: there is none yet, or it is damaged. */
bool ops_position_get(const struct ops_position *p, uint64_t *ret_epoch, uint64_t *ret_next);
int ops_position_put(struct ops_position *p, uint64_t epoch, uint64_t next) OPS_MUST_CHECK;
/* Pure: the newer good slot of a file's bytes. */
bool ops_position_decode(const void *file, size_t len, uint64_t *ret_generation,
	uint64_t *ret_epoch, uint64_t *ret_next);
/* Removes this consumer's files that were not written for max_age_ms. */
void ops_position_prune(const char *dir, const char *consumer, int64_t max_age_ms);
