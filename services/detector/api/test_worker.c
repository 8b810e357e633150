/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: every task runs once and its end is told on the loop, with threads and without. */
#include "services/detector/api/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

enum {
	TASKS = 200,
	ROUNDS = 3
};

struct world {
	struct ops_loop *loop;
	struct det_pool *pool;
	pthread_t loop_thread;
	unsigned done; /* loop only */
	atomic_uint running, most;
	bool on_loop; /* the tasks are expected there */
};

struct work {
	struct det_task task;
	struct world *world;
	unsigned runs, rounds;
};

static void run(struct det_task *task)
{
	struct work *w = ops_container_of(task, struct work, task);
	bool here = pthread_equal(pthread_self(), w->world->loop_thread) != 0;
	unsigned now = atomic_fetch_add(&w->world->running, 1) + 1;
	unsigned most = atomic_load(&w->world->most);
	while (now > most && !atomic_compare_exchange_weak(&w->world->most, &most, now)) {
	}
	ops_assert(here == w->world->on_loop);
	w->runs++;
	atomic_fetch_sub(&w->world->running, 1);
}

static void done(struct det_task *task)
{
	struct work *w = ops_container_of(task, struct work, task);
	ops_assert(pthread_equal(pthread_self(), w->world->loop_thread) != 0);
	assert_int_equal(w->runs, ++w->rounds);
	if (w->rounds < ROUNDS) { /* as a job does that has more to say */
		det_pool_submit(w->world->pool, task);
		return;
	}
	if (++w->world->done == TASKS) {
		ops_loop_stop(w->world->loop);
	}
}

static void open_world(struct world *w, unsigned threads)
{
	*w = (struct world){.loop = ops_loop_new(), .loop_thread = pthread_self()};
	w->on_loop = threads == 0;
	w->pool = det_pool_new(w->loop, threads);
}

static void run_tasks(unsigned threads)
{
	static struct work all[TASKS];
	struct world w;
	open_world(&w, threads);
	for (size_t i = 0; i < TASKS; i++) {
		all[i] = (struct work){.task = {.run = run, .done = done}, .world = &w};
		det_pool_submit(w.pool, &all[i].task);
	}
	assert_int_equal(w.done, 0); /* never from inside of submit */
	ops_loop_run(w.loop);
	assert_int_equal(w.done, TASKS);
	assert_in_range(atomic_load(&w.most), 1, OPS_MAX(threads, 1u));
	det_pool_free(w.pool);
	ops_loop_free(w.loop);
}

static void test_tasks(void **state)
{
	static const unsigned threads[] = {0, 1, 4};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(threads); i++) {
		run_tasks(threads[i]);
	}
}

static void done_at_end(struct det_task *task)
{
	struct work *w = ops_container_of(task, struct work, task);
	assert_int_equal(w->runs, 1);
	w->world->done++;
}

/* What is queued when the pool goes still runs and is told. */
static void test_end(void **state)
{
	static const unsigned threads[] = {0, 2};
	(void)state;
	for (size_t k = 0; k < OPS_LENGTH(threads); k++) {
		struct work all[10];
		struct world w;
		open_world(&w, threads[k]);
		for (size_t i = 0; i < OPS_LENGTH(all); i++) {
			all[i] = (struct work){
				.task = {.run = run, .done = done_at_end}, .world = &w};
			det_pool_submit(w.pool, &all[i].task);
		}
		det_pool_free(w.pool);
		assert_int_equal(w.done, OPS_LENGTH(all));
		ops_loop_free(w.loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tasks),
		cmocka_unit_test(test_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
