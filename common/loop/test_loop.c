/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: order of deferred work, timers freed from their own callback, watches, signals,
 * back-off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/loop/loop.h"

struct trace {
	struct ops_loop *loop;
	struct ops_timer *timer;
	struct ops_watch *watch;
	char text[64];
	int left;
};

static void note(struct trace *t, const char *word)
{
	strncat(t->text, word, sizeof(t->text) - strlen(t->text) - 1);
}

static void stop_later(void *arg)
{
	struct trace *t = arg;
	note(t, "D");
	ops_loop_stop(t->loop);
}

static void defer_again(void *arg)
{
	struct trace *t = arg;
	note(t, "d");
	ops_loop_defer(t->loop, stop_later, t);
}

static void on_timer(void *arg)
{
	struct trace *t = arg;
	ops_loop_defer(t->loop, defer_again, t);
	note(t, "t");
	ops_timer_free(t->timer);
	t->timer = NULL;
}

static void deferred_work_runs_after_the_callback(void **state)
{
	struct trace t = {.loop = ops_loop_new()};

	(void)state;
	t.timer = ops_timer_new(t.loop, on_timer, &t);
	ops_timer_start(t.timer, -5);
	assert_true(ops_timer_pending(t.timer));
	ops_loop_run(t.loop);
	assert_string_equal(t.text, "tdD");
	ops_loop_free(t.loop);
}

static void count_down(void *arg)
{
	struct trace *t = arg;
	if (--t->left == 0)
		ops_loop_stop(t->loop);
	else
		ops_timer_start(t->timer, 1);
}

static void a_timer_is_one_shot_and_can_be_stopped(void **state)
{
	struct trace t = {.loop = ops_loop_new(), .left = 3};
	struct ops_timer *never = ops_timer_new(t.loop, on_timer, &t);

	(void)state;
	t.timer = ops_timer_new(t.loop, count_down, &t);
	ops_timer_start(t.timer, 0);
	ops_timer_start(never, 0);
	ops_timer_stop(never);
	assert_false(ops_timer_pending(never));
	ops_loop_run(t.loop);
	assert_int_equal(t.left, 0);
	assert_string_equal(t.text, "");
	ops_timer_free(t.timer);
	ops_timer_free(never);
	ops_timer_free(NULL);
	ops_loop_free(t.loop);
}

static void sleep_then_start(void *arg)
{
	struct trace *t = arg;
	usleep(30000);
	ops_timer_start(t->timer, 20);
}

static void a_delay_counts_from_the_start_call(void **state)
{
	struct trace t = {.loop = ops_loop_new(), .left = 1};
	struct ops_timer *slow = ops_timer_new(t.loop, sleep_then_start, &t);

	(void)state;
	t.timer = ops_timer_new(t.loop, count_down, &t);
	int64_t start_ms = ops_mono_ms();
	ops_timer_start(slow, 0);
	ops_loop_run(t.loop);
	assert_true(ops_mono_ms() - start_ms >= 40);
	ops_timer_free(slow);
	ops_timer_free(t.timer);
	ops_loop_free(t.loop);
}

struct beats {
	struct ops_loop *loop;
	struct ops_timer *first, *second, *stopped, *freed;
	int64_t fired_ms[2];
	char text[16];
};

/* What waits for the same beat may go from inside of it. */
static void on_first_beat(void *arg)
{
	struct beats *b = arg;
	strncat(b->text, "1", sizeof(b->text) - strlen(b->text) - 1);
	b->fired_ms[0] = ops_mono_ms();
	ops_timer_start_beat(b->first, 200);
	ops_timer_stop(b->stopped);
	ops_timer_free(b->freed);
	b->freed = NULL;
}

static void on_second_beat(void *arg)
{
	struct beats *b = arg;
	strncat(b->text, "2", sizeof(b->text) - strlen(b->text) - 1);
	b->fired_ms[1] = ops_mono_ms();
	ops_loop_stop(b->loop);
}

static void never_beats(void *arg)
{
	(void)arg;
	fail();
}

static void timers_of_an_interval_share_its_beats(void **state)
{
	struct beats b = {.loop = ops_loop_new()};

	(void)state;
	b.first = ops_timer_new(b.loop, on_first_beat, &b);
	b.second = ops_timer_new(b.loop, on_second_beat, &b);
	b.stopped = ops_timer_new(b.loop, never_beats, &b);
	b.freed = ops_timer_new(b.loop, never_beats, &b);
	int64_t start_ms = ops_mono_ms();
	ops_timer_start_beat(b.first, 200);
	ops_timer_start_beat(b.stopped, 200);
	ops_timer_start_beat(b.second, 100);
	ops_timer_start_beat(b.freed, 200);
	ops_timer_start_beat(b.second, 200); /* as with a delay: the last start counts */
	ops_loop_run(b.loop);
	assert_string_equal(b.text, "12");
	assert_true(b.fired_ms[0] - start_ms >= 49);
	assert_true(ops_timer_pending(b.first));
	assert_false(ops_timer_pending(b.second));
	assert_false(ops_timer_pending(b.stopped));
	ops_timer_start(b.first, 0); /* no beat any more */
	ops_timer_start_beat(b.second, 200);
	ops_loop_run(b.loop);
	assert_string_equal(b.text, "12121");
	ops_timer_free(b.first);
	ops_timer_free(b.second);
	ops_timer_free(b.stopped);
	ops_loop_free(b.loop);
}

static void on_pipe(int fd, unsigned what, void *arg)
{
	struct trace *t = arg;
	char byte = 0;

	note(t, (what & OPS_READABLE) != 0 ? "r" : "");
	note(t, (what & OPS_WRITABLE) != 0 ? "w" : "");
	if ((what & OPS_READABLE) != 0 && read(fd, &byte, 1) == 1 && byte == 'q')
		ops_loop_stop(t->loop);
}

static void on_pause_over(void *arg)
{
	struct trace *t = arg;
	note(t, "-");
	ops_watch_set(t->watch, OPS_READABLE);
}

static void a_watch_is_level_triggered_and_can_pause(void **state)
{
	struct trace t = {.loop = ops_loop_new()};
	int fds[2] = {-1, -1};

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "xxq", 3), 3);
	t.watch = ops_watch_new(t.loop, fds[0], 0, on_pipe, &t);
	t.timer = ops_timer_new(t.loop, on_pause_over, &t);
	ops_timer_start(t.timer, 5);
	ops_loop_run(t.loop);
	assert_string_equal(t.text, "-rrr");
	ops_watch_free(t.watch);
	ops_watch_free(NULL);
	ops_timer_free(t.timer);
	ops_loop_free(t.loop);
	close(fds[0]);
	close(fds[1]);
}

static void on_usr1(int signo, void *arg)
{
	struct trace *t = arg;
	note(t, signo == SIGUSR1 ? "1" : "?");
	ops_loop_stop(t->loop);
}

static void a_signal_runs_on_the_loop(void **state)
{
	struct trace t = {.loop = ops_loop_new()};

	(void)state;
	assert_int_equal(ops_loop_on_signal(t.loop, SIGUSR1, on_usr1, &t), 0);
	raise(SIGUSR1);
	ops_loop_run(t.loop);
	assert_string_equal(t.text, "1");
	ops_loop_free(t.loop);
}

static void stopping_before_running_returns_at_once(void **state)
{
	struct ops_loop *loop = ops_loop_new();

	(void)state;
	ops_loop_stop(loop);
	ops_loop_run(loop);
	ops_loop_free(loop);
	ops_loop_free(NULL);
}

static void what_is_still_deferred_runs_when_the_loop_is_freed(void **state)
{
	struct trace t = {.loop = ops_loop_new()};

	(void)state;
	ops_loop_defer(t.loop, defer_again, &t);
	ops_loop_free(t.loop);
	assert_string_equal(t.text, "dD");
}

static void back_off_doubles_up_to_the_cap_with_jitter(void **state)
{
	static const struct {
		unsigned attempt;
		int64_t base_ms, cap_ms, full_ms;
	} cases[] = {{0, 100, 30000, 100}, {1, 100, 30000, 200}, {5, 100, 30000, 3200},
		{9, 100, 30000, 30000}, {4000000000U, 100, 30000, 30000}, {3, 100, 50, 50},
		{70, 1, INT64_MAX, INT64_MAX}};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		for (int n = 0; n < 100; n++) {
			int64_t ms =
				ops_backoff_ms(cases[i].attempt, cases[i].base_ms, cases[i].cap_ms);
			assert_true(ms <= cases[i].full_ms);
			assert_true(ms >= cases[i].full_ms / 2);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deferred_work_runs_after_the_callback),
		cmocka_unit_test(a_timer_is_one_shot_and_can_be_stopped),
		cmocka_unit_test(a_delay_counts_from_the_start_call),
		cmocka_unit_test(timers_of_an_interval_share_its_beats),
		cmocka_unit_test(a_watch_is_level_triggered_and_can_pause),
		cmocka_unit_test(a_signal_runs_on_the_loop),
		cmocka_unit_test(stopping_before_running_returns_at_once),
		cmocka_unit_test(what_is_still_deferred_runs_when_the_loop_is_freed),
		cmocka_unit_test(back_off_doubles_up_to_the_cap_with_jitter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
