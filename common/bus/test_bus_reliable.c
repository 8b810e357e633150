/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing lost, nothing doubled, order kept: a publisher and a subscriber in processes of their
 * own, killed and stopped at will. Messages carry their own number; the subscriber's handler
 * appends it to a file before it returns, and skips what the file has (as every handler must).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/bus/test_support.h"

struct scene {
	char *dir;
	struct test_ports ports;
	uint64_t total;	      /* messages in all */
	unsigned per_tick;    /* messages sent every 2 ms */
	unsigned slow_us;     /* the handler takes this long */
	unsigned refuse_each; /* the handler refuses every n-th message twice */
	bool memory;	      /* the publisher has a ring only */
};

/* ---- the publisher's process ---- */

struct sender {
	const struct scene *scene;
	struct ops_pub *pub;
	struct ops_timer *timer;
};

static void send_some(void *arg)
{
	struct sender *s = arg;

	ops_pub_cork(s->pub);
	for (unsigned i = 0; i < s->scene->per_tick; i++) {
		uint64_t seq = 0;
		char text[200];
		snprintf(text, sizeof(text), "{\"pad\":\"%0150d\"}", 7);
		ops_assert(ops_pub_send(s->pub, "alerts/firing/test/x", text, strlen(text), &seq) ==
			   0);
		if (seq >= s->scene->total)
			break;
		if (i + 1 == s->scene->per_tick)
			ops_timer_start(s->timer, 2);
	}
	ops_assert(ops_pub_uncork(s->pub) == 0);
}

static void run_publisher(const void *arg)
{
	const struct scene *scene = arg;
	struct ops_loop *loop = ops_loop_new();
	OPS_CLEANUP(ops_freep) char *log = ops_xasprintf("%s/log", scene->dir);
	struct ops_bus_key *key = test_key(scene->dir, 'k');
	struct ops_pub_config cfg = {.stream = "alerts",
		.url = scene->ports.pub_url,
		.replay_url = scene->ports.replay_url,
		.dir = scene->memory ? NULL : log,
		.heartbeat_ms = 50,
		.key = key};
	struct sender s = {.scene = scene};
	struct ops_error err;

	if (ops_pub_open(loop, &cfg, &s.pub, &err) != 0) {
		fprintf(stderr, "publisher: %s\n", err.message);
		_exit(3);
	}
	s.timer = ops_timer_new(loop, send_some, &s);
	if (ops_pub_head(s.pub) < scene->total)
		ops_timer_start(s.timer, 0);
	ops_loop_run(loop); /* until killed */
}

/* ---- the subscriber's process ---- */

struct receiver {
	const struct scene *scene;
	int file;
	uint64_t have; /* the file's last number */
	unsigned refused;
};

static int on_message(void *arg, const struct ops_bus_message *m)
{
	struct receiver *r = arg;

	ops_assert(
		strcmp(m->topic, "alerts/firing/test/x") == 0 && strcmp(m->stream, "alerts") == 0);
	ops_assert(m->payload[m->len] == '\0' && m->payload[0] == '{');
	if (m->seq <= r->have)
		return 0;
	if (r->scene->refuse_each != 0 && m->seq % r->scene->refuse_each == 0 && r->refused < 2) {
		r->refused++;
		return -EAGAIN;
	}
	r->refused = 0;
	if (r->scene->slow_us != 0)
		usleep(r->scene->slow_us);
	ops_assert(write(r->file, &m->seq, sizeof(m->seq)) == (ssize_t)sizeof(m->seq));
	r->have = m->seq;
	return 0;
}

static void on_event(void *arg, enum ops_sub_event event, const char *stream, uint64_t count)
{
	(void)arg;
	(void)stream;
	(void)count;
	ops_assert(event == OPS_SUB_GAP); /* nothing may be lost or reset here */
}

static int open_results(const struct scene *scene)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/results", scene->dir);
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);

	ops_assert(fd >= 0);
	return fd;
}

static void run_subscriber(const void *arg)
{
	const struct scene *scene = arg;
	struct ops_loop *loop = ops_loop_new();
	OPS_CLEANUP(ops_freep) char *checkpoints = ops_xasprintf("%s/positions", scene->dir);
	struct receiver r = {.scene = scene, .file = open_results(scene)};
	struct ops_bus_key *key = test_key(scene->dir, 'k');
	struct ops_sub_config cfg = {.name = "tester",
		.url = scene->ports.pub_url,
		.checkpoint_dir = checkpoints,
		.key = key,
		.on_message = on_message,
		.on_event = on_event,
		.arg = &r};
	struct ops_sub *sub = NULL;
	off_t end = lseek(r.file, 0, SEEK_END);

	if (end >= 8)
		ops_assert(pread(r.file, &r.have, 8, end - 8) == 8);
	ops_assert(ops_sub_open(loop, &cfg, &sub, NULL) == 0);
	ops_loop_run(loop); /* until killed */
}

/* ---- the parent ---- */

static int setup(void **state)
{
	struct scene *scene = ops_xcalloc(1, sizeof(*scene));

	scene->dir = tempdir_make();
	test_write_key(scene->dir, 'k');
	scene->ports = test_make_ports("tcp");
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	tempdir_remove(scene->dir);
	free(scene);
	return 0;
}

static uint64_t results_count(const struct scene *scene)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/results", scene->dir);
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size / 8 : 0;
}

/* True when the file has that many numbers before the time is over. */
static bool wait_for(const struct scene *scene, uint64_t count)
{
	int64_t deadline_ms = ops_mono_ms() + 20000;

	while (results_count(scene) < count) {
		if (ops_mono_ms() > deadline_ms)
			return false;
		usleep(2000);
	}
	return true;
}

static void check_results(const struct scene *scene)
{
	int fd = open_results(scene);
	uint64_t numbers[512], expected = 1;

	for (ssize_t n = read(fd, numbers, sizeof(numbers)); n > 0;
		n = read(fd, numbers, sizeof(numbers))) {
		for (size_t i = 0; i < (size_t)n / 8; i++)
			assert_int_equal(numbers[i], expected++);
	}
	close(fd);
	assert_int_equal(expected, scene->total + 1);
}

static void finish(const struct scene *scene, pid_t pub, pid_t sub)
{
	bool complete = wait_for(scene, scene->total);

	usleep(20000); /* something too much would come now */
	assert_int_equal(test_kill(pub), -SIGKILL);
	assert_int_equal(test_kill(sub), -SIGKILL);
	if (!complete)
		print_error("only %llu messages came\n", (unsigned long long)results_count(scene));
	assert_true(complete);
	check_results(scene);
}

static void a_subscriber_that_comes_late_gets_everything(void **state)
{
	struct scene *scene = *state;

	scene->total = 20000;
	scene->per_tick = 100;
	pid_t pub = test_spawn(run_publisher, scene);
	usleep(150000);
	pid_t sub = test_spawn(run_subscriber, scene);
	finish(scene, pub, sub);
}

static void a_subscriber_is_killed_again_and_again(void **state)
{
	struct scene *scene = *state;

	scene->total = 5000;
	scene->per_tick = 10;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	for (uint64_t at = 800; at <= 4000; at += 800) {
		assert_true(wait_for(scene, at));
		assert_int_equal(test_kill(sub), -SIGKILL);
		usleep(20000);
		sub = test_spawn(run_subscriber, scene);
	}
	finish(scene, pub, sub);
}

static void a_publisher_is_killed_again_and_again(void **state)
{
	struct scene *scene = *state;

	scene->total = 5000;
	scene->per_tick = 10;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	for (uint64_t at = 800; at <= 4000; at += 800) {
		assert_true(wait_for(scene, at));
		assert_int_equal(test_kill(pub), -SIGKILL);
		pub = test_spawn(run_publisher, scene);
	}
	finish(scene, pub, sub);
}

static void either_side_is_stopped_for_a_while(void **state)
{
	struct scene *scene = *state;

	scene->total = 12000;
	scene->per_tick = 20;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	assert_true(wait_for(scene, 1000));
	kill(sub, SIGSTOP);
	usleep(400000);
	kill(sub, SIGCONT);
	assert_true(wait_for(scene, 5000));
	kill(pub, SIGSTOP);
	usleep(300000);
	kill(pub, SIGCONT);
	finish(scene, pub, sub);
}

static void a_subscriber_is_slower_than_the_publisher(void **state)
{
	struct scene *scene = *state;

	scene->total = 8000;
	scene->per_tick = 400;
	scene->slow_us = 100;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	finish(scene, pub, sub);
}

static void a_handler_that_refuses_gets_the_message_again(void **state)
{
	struct scene *scene = *state;

	scene->total = 1500;
	scene->per_tick = 10;
	scene->refuse_each = 500;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	finish(scene, pub, sub);
}

static void a_ring_in_memory_is_replayed_too(void **state)
{
	struct scene *scene = *state;

	scene->total = 20000;
	scene->per_tick = 500;
	scene->memory = true;
	pid_t pub = test_spawn(run_publisher, scene);
	pid_t sub = test_spawn(run_subscriber, scene);
	assert_true(wait_for(scene, 3000));
	assert_int_equal(test_kill(sub), -SIGKILL);
	sub = test_spawn(run_subscriber, scene);
	finish(scene, pub, sub);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_subscriber_that_comes_late_gets_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_subscriber_is_killed_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_publisher_is_killed_again_and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			either_side_is_stopped_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_subscriber_is_slower_than_the_publisher, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_handler_that_refuses_gets_the_message_again, setup, teardown),
		cmocka_unit_test_setup_teardown(a_ring_in_memory_is_replayed_too, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
