/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors: one malloc holds the columns of a node, because it is released as soon as the parent has
 * used it, while the arena lives as long as the query. Room is reserved for the most columns a node
 * can have and touched only where a column is added. All blocks hang in the query's list, so an
 * error anywhere frees them in one place.
 */
#include "services/detector/engine/eval.h"

#include <errno.h>
#include <math.h>
#include <string.h>

struct det_block {
	struct det_block *prev, *next; /* of the query */
	struct det_block *more;	       /* of the vector */
	uint64_t n;
	double data[];
};

static int over_limit(struct det_eval *ev)
{
	return det_eval_fail(ev, -E2BIG,
		"query processing would load too many samples into memory in query execution");
}

int det_hold(struct det_eval *ev, uint64_t doubles)
{
	if (ev->sh->live + doubles > ev->sh->options.max_samples) {
		return over_limit(ev);
	}
	ev->sh->live += doubles;
	ev->sh->peak = OPS_MAX(ev->sh->peak, ev->sh->live);
	return 0;
}

static int block_new(struct det_eval *ev, uint64_t n, struct det_block **ret)
{
	struct det_shared *sh = ev->sh;
	if (n > sh->options.max_samples || sh->live + n > sh->options.max_samples) {
		return over_limit(ev);
	}
	struct det_block *b = malloc(sizeof(*b) + n * sizeof(double));
	if (b == NULL) {
		return over_limit(ev);
	}
	*b = (struct det_block){.next = sh->blocks, .n = n};
	if (b->next != NULL) {
		b->next->prev = b;
	}
	sh->blocks = b;
	sh->live += n;
	sh->peak = OPS_MAX(sh->peak, sh->live);
	sh->total += n;
	*ret = b;
	return 0;
}

static void block_free(struct det_shared *sh, struct det_block *b)
{
	if (b->prev != NULL) {
		b->prev->next = b->next;
	} else {
		sh->blocks = b->next;
	}
	if (b->next != NULL) {
		b->next->prev = b->prev;
	}
	sh->live -= b->n;
	free(b);
}

void det_blocks_free(struct det_shared *sh)
{
	while (sh->blocks != NULL) {
		/* The first leaves the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		block_free(sh, sh->blocks);
	}
}

void *det_scratch(struct det_eval *ev, size_t n, size_t size)
{
	return ops_arena_calloc(ev->sh->arena, OPS_MAX(n, (size_t)1), size);
}

int det_vec_init(struct det_eval *ev, struct det_vec *vec, size_t cap)
{
	*vec = (struct det_vec){.cap = cap};
	vec->cols = det_scratch(ev, cap, sizeof(struct det_col));
	if (cap == 0) {
		return 0;
	}
	int rc = block_new(ev, (uint64_t)cap * ev->nsteps, &vec->blocks);
	if (rc == 0) {
		vec->free_at = vec->blocks->data;
	}
	return rc;
}

void det_col_clear(const struct det_eval *ev, struct det_col *col)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		col->v[i] = det_absent();
	}
}

struct det_col *det_vec_add_unset(
	struct det_eval *ev, struct det_vec *vec, const struct det_lset *labels)
{
	ops_assert(vec->n < vec->cap);
	struct det_col *col = &vec->cols[vec->n++];
	*col = (struct det_col){.labels = *labels, .v = vec->free_at};
	vec->free_at += ev->nsteps;
	return col;
}

struct det_col *det_vec_add(struct det_eval *ev, struct det_vec *vec, const struct det_lset *labels)
{
	struct det_col *col = det_vec_add_unset(ev, vec, labels);
	det_col_clear(ev, col);
	return col;
}

void det_vec_drop_last(struct det_eval *ev, struct det_vec *vec)
{
	vec->n--;
	vec->free_at -= ev->nsteps;
}

bool det_col_empty(const struct det_eval *ev, const struct det_col *col)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		if (!det_is_absent(col->v[i])) {
			return false;
		}
	}
	return true;
}

bool det_col_any_float(const struct det_eval *ev, const struct det_col *col)
{
	size_t i = 0;
	while (col->h != NULL && i < ev->nsteps &&
		(det_is_absent(col->v[i]) || det_is_histogram(col->v[i]))) {
		i++;
	}
	return i < ev->nsteps;
}

void det_vec_trim(struct det_eval *ev, struct det_vec *vec)
{
	size_t kept = 0;
	for (size_t i = 0; i < vec->n; i++) {
		if (!det_col_empty(ev, &vec->cols[i])) {
			vec->cols[kept++] = vec->cols[i];
		}
	}
	vec->n = kept;
}

void det_vec_done(struct det_eval *ev, struct det_vec *vec)
{
	while (vec->blocks != NULL) {
		struct det_block *b = vec->blocks;
		vec->blocks = b->more;
		block_free(ev->sh, b);
	}
	vec->n = 0;
}

int det_col_set(
	struct det_eval *ev, struct det_col *col, size_t step, const struct ops_histogram *h)
{
	if (col->h == NULL) {
		int rc = det_hold(ev, ev->nsteps);
		if (rc != 0) {
			return rc;
		}
		col->h = det_scratch(ev, ev->nsteps, sizeof(col->h[0]));
	}
	col->h[step] = h;
	col->v[step] = det_histogram_mark();
	return 0;
}

int det_col_copy(struct det_eval *ev, struct det_col *to, const struct det_col *from, size_t step)
{
	const struct ops_histogram *h = det_col_histogram(from, step);
	if (h != NULL) {
		return det_col_set(ev, to, step, h);
	}
	to->v[step] = from->v[step];
	return 0;
}

bool det_col_floats(const struct det_eval *ev, struct det_col *col)
{
	bool any = false;
	for (size_t i = 0; col->h != NULL && i < ev->nsteps; i++) {
		if (det_is_histogram(col->v[i])) {
			col->v[i] = det_absent();
			any = true;
		}
	}
	col->h = NULL;
	return any;
}

bool det_vec_floats(const struct det_eval *ev, struct det_vec *vec)
{
	bool any = false;
	for (size_t c = 0; c < vec->n; c++) {
		any = det_col_floats(ev, &vec->cols[c]) || any;
	}
	return any;
}

int det_histogram_copy(
	struct det_eval *ev, const struct ops_histogram *h, struct ops_histogram **ret)
{
	uint64_t buckets = (uint64_t)h->positive.n + h->negative.n;
	int rc = det_hold(ev, sizeof(*h) / sizeof(double) + buckets * 3 + h->ncustom);
	if (rc == 0) {
		*ret = ops_histogram_copy(ev->sh->arena, h);
	}
	return rc;
}

static int merge_column(struct det_eval *ev, struct det_col *into, const struct det_col *from)
{
	for (size_t i = 0; i < ev->nsteps; i++) {
		if (det_is_absent(from->v[i])) {
			continue;
		}
		if (!det_is_absent(into->v[i])) {
			return det_eval_fail(ev, -EINVAL,
				"vector cannot contain metrics with the same labelset: %s",
				det_lset_text(ev->sh->arena, &from->labels));
		}
		int rc = det_col_copy(ev, into, from, i);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

int det_vec_merge(struct det_eval *ev, struct det_vec *vec)
{
	struct det_lset_map map;
	det_lset_map_init(&map, ev->sh->arena, vec->n);
	size_t kept = 0;
	for (size_t i = 0; i < vec->n; i++) {
		size_t at = det_lset_map_add(&map, &vec->cols[i].labels);
		if (at == kept) {
			vec->cols[kept++] = vec->cols[i];
			continue;
		}
		int rc = merge_column(ev, &vec->cols[at], &vec->cols[i]);
		if (rc != 0) {
			return rc;
		}
	}
	vec->n = kept;
	return 0;
}

double *det_scalar_new(struct det_eval *ev, double value)
{
	double *v = det_scratch(ev, ev->nsteps, sizeof(double));
	for (size_t i = 0; i < ev->nsteps; i++) {
		v[i] = value;
	}
	return v;
}

static int compare_values(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	if (isnan(x) || isnan(y)) {
		return isnan(y) - isnan(x); /* NaN first: the smallest */
	}
	return (x > y) - (x < y);
}

double det_quantile(double q, double *values, size_t n)
{
	if (n == 0 || isnan(q)) {
		return NAN;
	}
	if (q < 0 || q > 1) {
		return q < 0 ? -INFINITY : INFINITY;
	}
	qsort(values, n, sizeof(double), compare_values);
	double rank = q * (double)(n - 1);
	size_t lower = (size_t)floor(rank);
	size_t upper = OPS_MIN(n - 1, lower + 1);
	double weight = rank - floor(rank);
	return values[lower] * (1 - weight) + values[upper] * weight;
}

double det_max(double a, double b)
{
	if (isnan(a) || isnan(b)) {
		return isinf(a) && a > 0 ? a : isinf(b) && b > 0 ? b : NAN;
	}
	return a > b ? a : b;
}

double det_min(double a, double b)
{
	if (isnan(a) || isnan(b)) {
		return isinf(a) && a < 0 ? a : isinf(b) && b < 0 ? b : NAN;
	}
	return a < b ? a : b;
}
