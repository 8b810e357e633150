/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A pool of threads for work that must not hold up the loop. A task runs on some thread of the pool
 * and its end is told on the loop. The pool owns its threads, the caller its tasks.
 */
#include "common/loop/loop.h"

struct det_pool; /* opaque */

struct det_task { /* embedded in what the work is about; once in the pool at a time */
	void (*run)(struct det_task *task);  /* on a thread of the pool: no loop, metrics, logs */
	void (*done)(struct det_task *task); /* on the loop, after run; may submit again or free */
	struct det_task *next;
};

/* threads 0: run is called by det_pool_submit itself, done in the next turn. */
struct det_pool *det_pool_new(struct ops_loop *loop, unsigned threads);
/* Runs what is queued (tell the tasks to be quick first), ends the threads, calls every done. */
void det_pool_free(struct det_pool *pool);
void det_pool_submit(struct det_pool *pool, struct det_task *task);
