/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Samples that came behind their series' last one: a small sorted list per series until the block
 * cut. Owned by the store; changed under its write lock.
 */
#include "services/detector/store/store.h"

#define DET_LATE_MAX 4096u /* samples of a series */

struct det_late {
	uint32_t series, n, cap;
	int64_t *t; /* ascending, each once */
	double *v;
};

void det_late_free(void *late);
/* 0 = added; 1 = the time is there with this value; 2 = with another one; -ENOSPC. */
int det_late_add(struct det_late *l, int64_t t, double v) OPS_MUST_CHECK;
void det_late_drop_before(struct det_late *l, int64_t cutoff_ms);
size_t det_late_bytes(const struct det_late *l);
