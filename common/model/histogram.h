/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Native histograms with counts as doubles: buckets whose bounds grow exponentially (schema -4 to
 * 8) or are listed (schema -53, "custom buckets"). A value; its arrays lie in an arena, what is
 * derived from it in the arena named there. Any thread.
 */
#include "common/base/arena.h"
#include "common/base/error.h"

struct ops_strbuf;

#define OPS_HISTOGRAM_CUSTOM (-53)
#define OPS_HISTOGRAM_SCHEMA_MIN (-4)
#define OPS_HISTOGRAM_SCHEMA_MAX 8
#define OPS_HISTOGRAM_MAX_BUCKETS 65536u /* of one sign, and custom bounds */
#define OPS_HISTOGRAM_MAX_INDEX (1 << 24)

enum ops_reset_hint { /* against the sample before */
	OPS_RESET_UNKNOWN,
	OPS_RESET_YES,
	OPS_RESET_NO,
	OPS_RESET_GAUGE, /* not a counter at all */
};

struct ops_histogram_bucket {
	double count;
	double c; /* compensation while a sum is made (ops_histogram_settle); else 0 */
	int32_t index;
};

struct ops_histogram_buckets {
	struct ops_histogram_bucket
		*items;	 /* by index, each index once; empty ones may be listed */
	uint32_t n, cap; /* cap: room in items that belongs to this histogram */
};

struct ops_histogram {
	enum ops_reset_hint hint;
	int32_t schema;
	double zero_threshold, zero_count, count, sum;
	double zero_c, count_c, sum_c; /* compensation, as in the buckets */
	struct ops_histogram_buckets positive, negative;
	const double *custom; /* upper bounds, ascending; never changed */
	uint32_t ncustom;
};

static inline bool ops_histogram_is_custom(const struct ops_histogram *h)
{
	return h->schema == OPS_HISTOGRAM_CUSTOM;
}
/* The sample that ends a series. */
bool ops_histogram_is_stale(const struct ops_histogram *h);

/* Deep: nothing of h is needed any more. */
struct ops_histogram *ops_histogram_copy(struct ops_arena *arena, const struct ops_histogram *h);
/* Appends a bucket; index must be above the last one's. */
void ops_histogram_push(struct ops_arena *arena, struct ops_histogram_buckets *buckets,
	int32_t index, double count);
/* What may be stored: a known schema, ascending bounds, no negative counts. -EINVAL with err. */
int ops_histogram_validate(const struct ops_histogram *h, struct ops_error *err) OPS_MUST_CHECK;
/* Same bits everywhere, same list of buckets (empty ones too). The hint does not count. */
bool ops_histogram_equal(const struct ops_histogram *a, const struct ops_histogram *b);
bool ops_histogram_same_bounds(const struct ops_histogram *a, const struct ops_histogram *b);
/* Some number in it is infinite. */
bool ops_histogram_overflows(const struct ops_histogram *h);

/* In place: drops empty buckets; scales. A negative factor makes a gauge, division by zero leaves
 * no buckets. */
void ops_histogram_compact(struct ops_histogram *h);
void ops_histogram_mul(struct ops_histogram *h, double factor);
void ops_histogram_div(struct ops_histogram *h, double divisor);
/* In place: to a smaller (coarser) exponential schema. */
void ops_histogram_reduce(struct ops_histogram *h, int32_t schema);

enum ops_histogram_op {
	OPS_HISTOGRAM_ADD,
	OPS_HISTOGRAM_SUB,
	OPS_HISTOGRAM_SUM, /* add, keeping what rounding lost; call ops_histogram_settle at the end
			    */
};
enum ops_histogram_note {		       /* bits */
	OPS_HISTOGRAM_RESETS_COLLIDE = 1 << 0, /* one says reset, the other no reset */
	OPS_HISTOGRAM_BOUNDS_DIFFER = 1 << 1,  /* custom bounds: only the common ones are left */
};
/*
 * into op= other: resolution and zero threshold become those of the coarser. 0, or 1 when one has
 * exponential and the other custom buckets (nothing is changed). ret_notes is ORed to; may be NULL.
 */
int ops_histogram_apply(struct ops_arena *arena, struct ops_histogram *into,
	const struct ops_histogram *other, enum ops_histogram_op op,
	unsigned *ret_notes) OPS_MUST_CHECK;
/* Adds the compensation in and clears it. */
void ops_histogram_settle(struct ops_histogram *h);

/* Whether the counter started again between before and h, by the hint or else by the counts. */
bool ops_histogram_reset_since(const struct ops_histogram *h, const struct ops_histogram *before);

/* Bounds that both have; room in ret for the fewer of both. Returns how many. */
uint32_t ops_histogram_common_bounds(
	const struct ops_histogram *a, const struct ops_histogram *b, double *ret);
/* Zero bucket as it would be with a threshold of at least this, without changing h. */
struct ops_histogram_zero {
	double threshold, count, c;
};
struct ops_histogram_zero ops_histogram_zero_at(const struct ops_histogram *h, double threshold);

/* In place: keeps the observations below (upper) or above limit, interpolating inside buckets. */
void ops_histogram_trim(struct ops_histogram *h, double limit, bool upper);

/* A bucket as an interval. */
struct ops_histogram_interval {
	double lower, upper, count;
	bool lower_inclusive, upper_inclusive;
};
/* Upper bound of a positive bucket. */
double ops_histogram_bound(const struct ops_histogram *h, int64_t index);
/* i-th bucket from the lowest to the highest, empty ones included: negative, zero (when it has a
 * count), positive. What overlaps the zero bucket is cut there. */
size_t ops_histogram_nintervals(const struct ops_histogram *h);
struct ops_histogram_interval ops_histogram_at(const struct ops_histogram *h, size_t i);
/* Part of the interval's observations below value, which lies inside it; linear or exponential. */
double ops_histogram_part_below(const struct ops_histogram_interval *b, double value, bool linear);

/*
 * A classic histogram as one of custom buckets. Buckets ascend by le and are cumulative; without
 * one of +Inf the count stands for it, without a count (NULL) the last bucket does. -EINVAL: they
 * are not cumulative, or the count is not the last bucket's.
 */
struct ops_classic_bucket {
	double le, count;
};
struct ops_classic_histogram {
	const struct ops_classic_bucket *buckets;
	size_t n;
	const double *count;
	double sum;
};
int ops_histogram_from_classic(struct ops_arena *arena, const struct ops_classic_histogram *from,
	struct ops_histogram *ret) OPS_MUST_CHECK;

/* {count:4, sum:5, (0.5,1]:1, ...} as Prometheus prints it. */
void ops_histogram_print(const struct ops_histogram *h, struct ops_strbuf *out);
/* {{schema:0 sum:5 count:4 buckets:[1 2 1]}}: the notation of tests. */
void ops_histogram_print_notation(const struct ops_histogram *h, struct ops_strbuf *out);
/* The object of the HTTP API: {"count":"4","sum":"5","buckets":[[0,"0.5","1","1"],...]}. */
void ops_histogram_json(const struct ops_histogram *h, struct ops_strbuf *out);

/*
 * Compact bytes for files and the wire; every bit of what is valid comes back. Decoding reads
 * exactly len bytes: -EBADMSG when they are not such a histogram, and never makes more than a
 * fixed multiple of len.
 */
void ops_histogram_encode(const struct ops_histogram *h, struct ops_strbuf *out);
int ops_histogram_decode(const void *data, size_t len, struct ops_arena *arena,
	struct ops_histogram *ret) OPS_MUST_CHECK;
