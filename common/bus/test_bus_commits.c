/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint that follows what is durable elsewhere: what was not committed comes again, what was
 * is let go by the publisher, who is told when somebody lacks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/bus/test_support.h"

enum {
	LIMIT_MS = 20000
};

struct world {
	struct ops_loop *loop;
	struct ops_pub *pub;
	struct ops_sub *sub;
	struct ops_timer *limit, *poll;
	struct test_ports ports;
	char *dir;
	uint64_t first, last; /* numbers since the subscriber was opened */
	unsigned gone;
	bool (*done)(const struct world *w);
};

static int on_message(void *arg, const struct ops_bus_message *m)
{
	struct world *w = arg;
	if (m->seq != 0) {
		w->first = w->first != 0 ? w->first : m->seq;
		w->last = m->seq;
	}
	return 0;
}

static void on_gone(void *arg)
{
	((struct world *)arg)->gone++;
}

static void on_poll(void *arg)
{
	struct world *w = arg;
	if (w->done(w)) {
		ops_loop_stop(w->loop);
	} else {
		ops_timer_start(w->poll, 1);
	}
}

static void run_until(struct world *w, bool (*done)(const struct world *w))
{
	w->done = done;
	ops_timer_start(w->limit, LIMIT_MS);
	ops_timer_start(w->poll, 1);
	ops_loop_run(w->loop);
	assert_true(done(w));
}

static void open_sub(struct world *w)
{
	const struct ops_sub_config cfg = {.name = "test",
		.url = w->ports.pub_url,
		.checkpoint_dir = w->dir,
		.commits = true,
		.on_message = on_message,
		.arg = w};
	w->first = w->last = 0;
	assert_int_equal(ops_sub_open(w->loop, &cfg, &w->sub, NULL), 0);
}

static void send_n(struct world *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ops_pub_send(w->pub, "a/b", "0123456789", 10, NULL), 0);
	}
}

static bool got_all(const struct world *w)
{
	return w->last == ops_pub_head(w->pub);
}

static bool let_go(const struct world *w)
{
	return ops_pub_held_bytes(w->pub) == 0;
}

static bool told_gone(const struct world *w)
{
	return w->gone > 0;
}

static void what_is_committed_does_not_come_again(void **state)
{
	(void)state;
	struct world w = {
		.loop = ops_loop_new(), .ports = test_make_ports("tcp"), .dir = tempdir_make()};
	const struct ops_pub_config pub = {.stream = "s",
		.url = w.ports.pub_url,
		.replay_url = w.ports.replay_url,
		.heartbeat_ms = 20,
		.on_gone = on_gone,
		.arg = &w};
	w.limit = ops_timer_new(w.loop, test_stop_loop, w.loop);
	w.poll = ops_timer_new(w.loop, on_poll, &w);
	assert_int_equal(ops_pub_open(w.loop, &pub, &w.pub, NULL), 0);
	send_n(&w, 10);
	open_sub(&w);
	run_until(&w, got_all);
	assert_int_equal(w.first, 1);
	ops_sub_mark(w.sub);
	send_n(&w, 5);
	run_until(&w, got_all);
	ops_sub_commit(w.sub); /* the first ten */
	ops_sub_close(w.sub);

	open_sub(&w);
	run_until(&w, got_all);
	assert_int_equal(w.first, 11);
	ops_sub_mark(w.sub);
	ops_sub_commit(w.sub);
	ops_sub_close(w.sub);

	open_sub(&w);
	send_n(&w, 1); /* it asks for it, and says what it has */
	run_until(&w, got_all);
	assert_int_equal(w.first, 16);
	assert_int_equal(w.gone, 0);
	ops_sub_lacks(w.sub, "s");
	run_until(&w, told_gone);
	ops_sub_mark(w.sub);
	ops_sub_commit(w.sub);
	ops_sub_lacks(w.sub, "s"); /* which says what it has, too */
	run_until(&w, let_go);
	ops_sub_close(w.sub);
	ops_pub_close(w.pub);
	ops_timer_free(w.limit);
	ops_timer_free(w.poll);
	ops_loop_free(w.loop);
	tempdir_remove(w.dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_committed_does_not_come_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
