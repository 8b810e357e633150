/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding and subtracting. Histograms of different resolution meet at the coarser one; zero buckets
 * of different width at one that is as wide as both and ends at no populated bucket's inside;
 * custom bounds at those both have. Sums of many may keep Neumaier's compensation beside each
 * number.
 */
#include "common/model/histogram.h"

#include <math.h>
#include <string.h>

static void kahan(double *sum, double *c, double v)
{
	double next = *sum + v;
	if (isinf(next)) {
		*c = 0;
	} else if (fabs(*sum) >= fabs(v)) {
		*c += (*sum - next) + v;
	} else {
		*c += (v - next) + *sum;
	}
	*sum = next;
}

static void combine(enum ops_histogram_op op, double *sum, double *c, double v)
{
	if (op == OPS_HISTOGRAM_SUM) {
		kahan(sum, c, v);
	} else {
		*sum += op == OPS_HISTOGRAM_SUB ? -v : v;
	}
}

static int32_t coarser_index(int32_t index, int32_t from, int32_t to)
{
	return (int32_t)((((int64_t)index - 1) >> (from - to)) + 1);
}

/* Buckets that become one are summed up, compensation included. */
static void reduce_side(struct ops_histogram_buckets *side, int32_t from, int32_t to)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < side->n; i++) {
		struct ops_histogram_bucket b = side->items[i];
		b.index = coarser_index(b.index, from, to);
		if (kept == 0 || side->items[kept - 1].index != b.index) {
			side->items[kept++] = b;
			continue;
		}
		struct ops_histogram_bucket *last = &side->items[kept - 1];
		if (b.c != 0 || last->c != 0) {
			kahan(&last->count, &last->c, b.count);
			kahan(&last->count, &last->c, b.c);
		} else {
			last->count += b.count;
		}
	}
	side->n = kept;
}

void ops_histogram_reduce(struct ops_histogram *h, int32_t schema)
{
	ops_assert(!ops_histogram_is_custom(h) && schema <= h->schema);
	if (schema < h->schema) {
		reduce_side(&h->positive, h->schema, schema);
		reduce_side(&h->negative, h->schema, schema);
		h->schema = schema;
	}
}

/*
 * Takes the buckets of one side that lie below z->threshold into the zero bucket. True: the
 * threshold lies inside a populated bucket and was moved to its end.
 */
static bool swallow(const struct ops_histogram *h, const struct ops_histogram_buckets *side,
	struct ops_histogram_zero *z)
{
	for (uint32_t i = 0; i < side->n; i++) {
		const struct ops_histogram_bucket *b = &side->items[i];
		if (ops_histogram_bound(h, (int64_t)b->index - 1) >= z->threshold) {
			return false;
		}
		kahan(&z->count, &z->c, b->count);
		kahan(&z->count, &z->c, b->c);
		double end = ops_histogram_bound(h, b->index);
		if (end > z->threshold) {
			bool moved = b->count != 0;
			z->threshold = moved ? end : z->threshold;
			return moved;
		}
	}
	return false;
}

/* The zero bucket that h would have with a threshold of at least this. */
struct ops_histogram_zero ops_histogram_zero_at(const struct ops_histogram *h, double threshold)
{
	struct ops_histogram_zero z;
	bool again = threshold != h->zero_threshold;
	if (!again) {
		return (struct ops_histogram_zero){threshold, h->zero_count, h->zero_c};
	}
	do {
		z = (struct ops_histogram_zero){threshold, h->zero_count, h->zero_c};
		(void)swallow(h, &h->positive, &z);
		/* Moved by the other side: the first must be counted anew. */
		again = swallow(h, &h->negative, &z);
		threshold = z.threshold;
	} while (again);
	return z;
}

static void trim_side(const struct ops_histogram *h, struct ops_histogram_buckets *side)
{
	uint32_t i = 0;
	while (i < side->n &&
		ops_histogram_bound(h, (int64_t)side->items[i].index - 1) < h->zero_threshold) {
		side->items[i].count = side->items[i].c = 0;
		i++;
	}
}

static void widen_zero(struct ops_histogram *h, double threshold)
{
	struct ops_histogram_zero z = ops_histogram_zero_at(h, threshold);
	h->zero_count = z.count;
	h->zero_c = z.c;
	h->zero_threshold = z.threshold;
	trim_side(h, &h->positive);
	trim_side(h, &h->negative);
	ops_histogram_compact(h);
}

/* Gives h a zero bucket that suits other; returns what other's is then. */
static struct ops_histogram_zero reconcile_zero(
	struct ops_histogram *h, const struct ops_histogram *other)
{
	struct ops_histogram_zero z = {other->zero_threshold, other->zero_count, 0};
	/* Not "different": one that is no number would never end. */
	while (z.threshold < h->zero_threshold || z.threshold > h->zero_threshold) {
		if (h->zero_threshold > z.threshold) {
			z = ops_histogram_zero_at(other, h->zero_threshold);
		}
		if (z.threshold > h->zero_threshold) {
			widen_zero(h, z.threshold);
		}
	}
	return z;
}

/* Buckets of b that are not in a. */
static uint32_t missing(
	const struct ops_histogram_buckets *a, const struct ops_histogram_buckets *b, uint32_t from)
{
	uint32_t n = 0, i = 0;
	for (uint32_t k = from; k < b->n; k++) {
		while (i < a->n && a->items[i].index < b->items[k].index) {
			i++;
		}
		n += i == a->n || a->items[i].index != b->items[k].index;
	}
	return n;
}

/* Makes room for n more at the end. */
static void reserve(struct ops_arena *arena, struct ops_histogram_buckets *a, uint32_t n)
{
	if (n <= a->cap - OPS_MIN(a->n, a->cap)) {
		return;
	}
	uint32_t cap = a->n + n + a->n / 4;
	struct ops_histogram_bucket *grown =
		ops_arena_array(arena, struct ops_histogram_bucket, cap);
	if (a->n != 0) {
		memcpy(grown, a->items, a->n * sizeof(*grown));
	}
	a->items = grown;
	a->cap = cap;
}

/* a op= b[from..]: merged from the back, so that each bucket moves once. */
static void merge_side(struct ops_arena *arena, struct ops_histogram_buckets *a,
	const struct ops_histogram_buckets *b, uint32_t from, enum ops_histogram_op op)
{
	uint32_t extra = missing(a, b, from);
	reserve(arena, a, extra);
	uint32_t i = a->n, to = a->n + extra;
	a->n = to;
	for (uint32_t k = b->n; k > from; k--) {
		const struct ops_histogram_bucket *add = &b->items[k - 1];
		while (i > 0 && a->items[i - 1].index > add->index) {
			a->items[--to] = a->items[--i];
		}
		struct ops_histogram_bucket *into;
		if (i > 0 && a->items[i - 1].index == add->index) {
			a->items[--to] = a->items[--i];
			into = &a->items[to];
		} else {
			into = &a->items[--to];
			*into = (struct ops_histogram_bucket){.index = add->index};
		}
		combine(op, &into->count, &into->c, add->count);
		if (add->c != 0) {
			combine(op, &into->count, &into->c, add->c);
		}
	}
}

/* Leading buckets of other that its part of the zero bucket has already. */
static uint32_t below_zero_bucket(
	const struct ops_histogram *h, const struct ops_histogram_buckets *side)
{
	uint32_t i = 0;
	while (i < side->n && ops_histogram_bound(h, side->items[i].index) <= h->zero_threshold) {
		i++;
	}
	return i;
}

static void apply_exponential(struct ops_arena *arena, struct ops_histogram *h,
	const struct ops_histogram *other, enum ops_histogram_op op)
{
	struct ops_histogram_zero z = reconcile_zero(h, other);
	combine(op, &h->zero_count, &h->zero_c, z.count);
	if (op == OPS_HISTOGRAM_SUM) {
		combine(op, &h->zero_count, &h->zero_c, z.c);
	} else {
		h->zero_c = 0;
	}
	if (other->schema < h->schema) {
		ops_histogram_reduce(h, other->schema);
	} else if (other->schema > h->schema) {
		struct ops_histogram *reduced = ops_histogram_copy(arena, other);
		ops_histogram_reduce(reduced, h->schema);
		other = reduced;
	}
	merge_side(
		arena, &h->positive, &other->positive, below_zero_bucket(h, &other->positive), op);
	merge_side(
		arena, &h->negative, &other->negative, below_zero_bucket(h, &other->negative), op);
}

uint32_t ops_histogram_common_bounds(
	const struct ops_histogram *a, const struct ops_histogram *b, double *ret)
{
	uint32_t n = 0, i = 0, k = 0;
	while (i < a->ncustom && k < b->ncustom) {
		if (a->custom[i] == b->custom[k]) {
			ret[n++] = a->custom[i];
			i++;
			k++;
		} else if (a->custom[i] < b->custom[k]) {
			i++;
		} else {
			k++;
		}
	}
	return n;
}

struct rebounded {
	const double *bounds;
	uint32_t n;
	struct ops_histogram_bucket *targets; /* n + 1 of them */
};

/* Puts h's buckets where their upper bound lies among fewer bounds. */
static void rebound(const struct rebounded *r, const struct ops_histogram *h, bool subtract)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < h->positive.n; i++) {
		const struct ops_histogram_bucket *b = &h->positive.items[i];
		double bound = ops_histogram_bound(h, b->index);
		while (at < r->n && r->bounds[at] < bound) {
			at++;
		}
		struct ops_histogram_bucket *to = &r->targets[at];
		kahan(&to->count, &to->c, subtract ? -b->count : b->count);
		kahan(&to->count, &to->c, subtract ? -b->c : b->c);
	}
}

static void apply_rebounded(struct ops_arena *arena, struct ops_histogram *h,
	const struct ops_histogram *other, enum ops_histogram_op op)
{
	double *bounds = ops_arena_array(arena, double, OPS_MIN(h->ncustom, other->ncustom) + 1);
	struct rebounded r = {.bounds = bounds};
	r.n = ops_histogram_common_bounds(h, other, bounds);
	r.targets = ops_arena_array(arena, struct ops_histogram_bucket, r.n + 1);
	rebound(&r, h, false);
	rebound(&r, other, op == OPS_HISTOGRAM_SUB);
	uint32_t kept = 0;
	for (uint32_t i = 0; i <= r.n; i++) {
		struct ops_histogram_bucket b = r.targets[i];
		b.index = (int32_t)i;
		if (b.count != 0 || b.c != 0) {
			b.c = op == OPS_HISTOGRAM_SUM ? b.c : 0;
			r.targets[kept++] = b;
		}
	}
	h->positive = (struct ops_histogram_buckets){r.targets, kept, r.n + 1};
	h->custom = bounds;
	h->ncustom = r.n;
}

/* A gauge makes a gauge, the unknown makes unknown. False: the hints contradict each other. */
static bool join_hints(struct ops_histogram *h, const struct ops_histogram *other)
{
	if (h->hint == other->hint || h->hint == OPS_RESET_GAUGE) {
		return true;
	}
	if (other->hint == OPS_RESET_GAUGE) {
		h->hint = OPS_RESET_GAUGE;
		return true;
	}
	bool known = h->hint != OPS_RESET_UNKNOWN && other->hint != OPS_RESET_UNKNOWN;
	h->hint = OPS_RESET_UNKNOWN;
	return !known;
}

int ops_histogram_apply(struct ops_arena *arena, struct ops_histogram *into,
	const struct ops_histogram *other, enum ops_histogram_op op, unsigned *ret_notes)
{
	unsigned notes = 0;
	if (ops_histogram_is_custom(into) != ops_histogram_is_custom(other)) {
		return 1;
	}
	notes |= join_hints(into, other) ? 0 : OPS_HISTOGRAM_RESETS_COLLIDE;
	combine(op, &into->count, &into->count_c, other->count);
	combine(op, &into->sum, &into->sum_c, other->sum);
	if (!ops_histogram_is_custom(into)) {
		apply_exponential(arena, into, other, op);
	} else if (ops_histogram_same_bounds(into, other)) {
		merge_side(arena, &into->positive, &other->positive, 0, op);
	} else {
		apply_rebounded(arena, into, other, op);
		notes |= OPS_HISTOGRAM_BOUNDS_DIFFER;
	}
	if (ret_notes != NULL) {
		*ret_notes |= notes;
	}
	return 0;
}

static void settle_side(struct ops_histogram_buckets *side)
{
	for (uint32_t i = 0; i < side->n; i++) {
		side->items[i].count += side->items[i].c;
		side->items[i].c = 0;
	}
}

void ops_histogram_settle(struct ops_histogram *h)
{
	h->count += h->count_c;
	h->sum += h->sum_c;
	h->zero_count += h->zero_c;
	h->count_c = h->sum_c = h->zero_c = 0;
	settle_side(&h->positive);
	settle_side(&h->negative);
}
