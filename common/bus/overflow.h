/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a publisher's ring cannot hold while nobody listens, on disk: the oldest records of this
 * run, in order. Not durable: a run that ends takes them with it. Owned by the history.
 */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_overflow; /* opaque */

int ops_overflow_open(const char *dir, uint64_t max_bytes, size_t max_record_bytes,
	struct ops_overflow **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_overflow_close(struct ops_overflow *o); /* NULL is fine */
/* Numbers ascend without a hole while it is not empty. Negative errno: it was not taken. */
int ops_overflow_add(
	struct ops_overflow *o, uint64_t seq, const void *data, size_t len) OPS_MUST_CHECK;
bool ops_overflow_empty(const struct ops_overflow *o);
uint64_t ops_overflow_first(const struct ops_overflow *o); /* when not empty */
uint64_t ops_overflow_end(const struct ops_overflow *o);   /* behind the last one */
uint64_t ops_overflow_bytes(const struct ops_overflow *o);
void ops_overflow_trim(struct ops_overflow *o, uint64_t number); /* below it may go */
void ops_overflow_clear(struct ops_overflow *o);
/* As ops_spool_read; *ret_n is how many fn was called for. */
int ops_overflow_read(struct ops_overflow *o, uint64_t from, size_t max,
	int (*fn)(uint64_t seq, const void *data, size_t len, void *arg), void *arg,
	size_t *ret_n) OPS_MUST_CHECK;
