/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool whose numbers are the stream's plus a constant: what is in it is without holes, and when
 * it is emptied the constant is chosen anew. What an earlier run left in the directory stays below
 * `base` and goes with the segments. Nothing is synced on purpose; only rolling to a new segment
 * does.
 */
#include "common/bus/overflow.h"

#include <errno.h>

#include "common/spool/spool.h"

struct ops_overflow {
	struct ops_spool *spool;
	uint64_t base;	/* spool numbers below it do not count */
	uint64_t shift; /* stream number = spool number + shift */
};

int ops_overflow_open(const char *dir, uint64_t max_bytes, size_t max_record_bytes,
	struct ops_overflow **ret, struct ops_error *err)
{
	const struct ops_spool_config cfg = {
		.dir = dir, .max_bytes = max_bytes, .max_record_bytes = max_record_bytes};
	struct ops_overflow *o = ops_xcalloc(1, sizeof(*o));
	int r = ops_spool_open(&cfg, &o->spool, NULL, err);

	if (r != 0) {
		free(o);
		return r;
	}
	ops_overflow_clear(o);
	*ret = o;
	return 0;
}

void ops_overflow_close(struct ops_overflow *o)
{
	if (o == NULL)
		return;
	ops_spool_close(o->spool);
	free(o);
}

static uint64_t first_number(const struct ops_overflow *o)
{
	return OPS_MAX(o->base, ops_spool_first(o->spool));
}

bool ops_overflow_empty(const struct ops_overflow *o)
{
	return first_number(o) >= ops_spool_next(o->spool);
}

uint64_t ops_overflow_first(const struct ops_overflow *o)
{
	return first_number(o) + o->shift;
}

uint64_t ops_overflow_end(const struct ops_overflow *o)
{
	return ops_spool_next(o->spool) + o->shift;
}

uint64_t ops_overflow_bytes(const struct ops_overflow *o)
{
	return ops_overflow_empty(o) ? 0 : ops_spool_bytes(o->spool);
}

int ops_overflow_add(struct ops_overflow *o, uint64_t seq, const void *data, size_t len)
{
	uint64_t number = 0;

	if (ops_overflow_empty(o))
		o->shift = seq - ops_spool_next(o->spool);
	else if (seq != ops_overflow_end(o))
		return -EINVAL;
	return ops_spool_append(o->spool, data, len, &number);
}

void ops_overflow_trim(struct ops_overflow *o, uint64_t number)
{
	if (ops_overflow_empty(o) || number <= ops_overflow_first(o))
		return;
	o->base = OPS_MIN(number - o->shift, ops_spool_next(o->spool));
	int r = ops_spool_trim(o->spool, o->base);
	(void)r; /* what stays is below base */
}

void ops_overflow_clear(struct ops_overflow *o)
{
	o->base = ops_spool_next(o->spool);
	int r = ops_spool_trim(o->spool, o->base);
	(void)r; /* as above */
}

struct reading {
	int (*fn)(uint64_t seq, const void *data, size_t len, void *arg);
	void *arg;
	uint64_t shift;
	size_t n;
};

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct reading *r = arg;

	r->n++;
	return r->fn(number + r->shift, data, len, r->arg);
}

int ops_overflow_read(struct ops_overflow *o, uint64_t from, size_t max,
	int (*fn)(uint64_t seq, const void *data, size_t len, void *arg), void *arg, size_t *ret_n)
{
	struct reading reading = {fn, arg, o->shift, 0};
	int r = 0;

	if (!ops_overflow_empty(o) && from < ops_overflow_end(o)) {
		uint64_t first = OPS_MAX(from, ops_overflow_first(o));
		r = ops_spool_read(o->spool, first - o->shift, max, on_record, &reading);
	}
	*ret_n = reading.n;
	return r;
}
