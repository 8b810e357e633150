/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* For tests: a naive model of what blocks hold, and blocks made at random beside it. The functions
 * fail the running test. */
#include "services/detector/store/blocks.h"

enum {
	SERIES = 12,
	MAX_SAMPLES = 4000,
	STEP_MS = 1000
};
#define MODEL_START_MS INT64_C(1700000000000)

struct model_series {
	size_t n;
	struct model_sample {
		int64_t t;
		double v;
		int blob; /* 0: a float; else its bytes */
	} samples[MAX_SAMPLES];
};
struct model {
	struct model_series series[SERIES];
};

extern bool model_no_conflicts; /* one series has one value at one time, whoever writes it */

uint64_t model_random(void);
/* In time order; of equal times the first stays. */
void model_add(struct model *m, unsigned series, const struct model_sample *sample);
void model_merge(struct model *into, const struct model *from);
/* Some columns with some rows from a time on, to both. */
void model_table(struct det_block_writer *w, struct model *m, int64_t from);
/* A block around a time; what is in it goes to the model. Its path, to be freed. */
char *model_block(const char *dir, struct model *m, int64_t from);
/* A block of two rows of all series. Its path, to be freed. */
char *model_simple(const char *dir, int64_t t);
/* Opens and verifies. */
struct det_block *model_open(const char *dir);
/* Deletes a random range of a random series from both. */
void model_delete_some(struct det_block *b, struct model *m);
/* The block has what the model has, labels too. */
void model_check(const struct det_block *b, const struct model *m);
unsigned model_series_number(const struct ops_label *labels);
size_t model_count(const char *dir);		       /* blocks that load */
void model_no_finding(void *arg, const char *finding); /* for det_block_verify and others */
