/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late samples are few: a sorted array with insertion by moving does, and its end is where most of
 * them go, since what was late together comes in order.
 */
#include "services/detector/store/late.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"

void det_late_free(void *late)
{
	struct det_late *l = late;
	if (l != NULL) {
		free(l->t);
		free(l->v);
		free(l);
	}
}

/* First at or after t. */
static uint32_t from_time(const struct det_late *l, int64_t t)
{
	uint32_t i = l->n;
	while (i > 0 && l->t[i - 1] >= t) {
		i--;
	}
	return i;
}

int det_late_add(struct det_late *l, int64_t t, double v)
{
	uint32_t at = from_time(l, t);
	if (at < l->n && l->t[at] == t) {
		return ops_double_same(l->v[at], v) ? 1 : 2;
	}
	if (l->n == DET_LATE_MAX) {
		return -ENOSPC;
	}
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 4;
		l->t = ops_xrealloc(l->t, l->cap, sizeof(l->t[0]));
		l->v = ops_xrealloc(l->v, l->cap, sizeof(l->v[0]));
	}
	memmove(l->t + at + 1, l->t + at, (l->n - at) * sizeof(l->t[0]));
	memmove(l->v + at + 1, l->v + at, (l->n - at) * sizeof(l->v[0]));
	l->t[at] = t;
	l->v[at] = v;
	l->n++;
	return 0;
}

void det_late_drop_before(struct det_late *l, int64_t cutoff_ms)
{
	uint32_t gone = from_time(l, cutoff_ms);
	if (gone != 0) {
		l->n -= gone;
		memmove(l->t, l->t + gone, l->n * sizeof(l->t[0]));
		memmove(l->v, l->v + gone, l->n * sizeof(l->v[0]));
	}
}

size_t det_late_bytes(const struct det_late *l)
{
	return sizeof(*l) + l->cap * (sizeof(l->t[0]) + sizeof(l->v[0])) + 64;
}
