/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers that are not as they should be: without the key, garbage on the ports, many at once, a log
 * that was lost or overflowed; and requests and answers. Each part runs in a process of its own,
 * because nng must not have been called before a fork.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/resource.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/counters.h"
#include "common/bus/test_support.h"

struct scene {
	char *dir;
	struct test_ports ports;
	struct ops_bus_tls tls;
	bool use_tls;
};

static int setup(void **state)
{
	struct scene *scene = ops_xcalloc(1, sizeof(*scene));

	scene->dir = tempdir_make();
	scene->ports = test_make_ports("tcp");
	test_write_key(scene->dir, 'k');
	test_write_key(scene->dir, 'w');
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

/* Everything that a child has opened on its loop. */
struct child {
	const struct scene *scene;
	struct ops_loop *loop;
	struct ops_timer *timer, *stopper;
	struct ops_pub *pub;
	struct ops_sub *sub;
	uint64_t want, got, lost, resets, last, volatile_got, stop_at;
	bool ordered;
};

static struct child child_begin(const void *scene)
{
	struct child c = {.scene = scene, .loop = ops_loop_new(), .ordered = true};

	c.stopper = test_stop_after(c.loop, 15000);
	return c;
}

static void child_end(struct child *c, bool good)
{
	ops_sub_close(c->sub);
	ops_pub_close(c->pub);
	ops_timer_free(c->timer);
	ops_timer_free(c->stopper);
	ops_loop_free(c->loop);
	_exit(good ? 0 : 1);
}

static void open_pub(struct child *c, struct ops_pub_config *cfg)
{
	struct ops_error err;

	cfg->url = cfg->url != NULL ? cfg->url : c->scene->ports.pub_url;
	cfg->heartbeat_ms = 50;
	cfg->tls = c->scene->use_tls ? &c->scene->tls : NULL;
	if (ops_pub_open(c->loop, cfg, &c->pub, &err) != 0) {
		fprintf(stderr, "publisher: %s\n", err.message);
		_exit(3);
	}
}

static void send_n(struct ops_pub *pub, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		ops_assert(ops_pub_send(pub, "t/x", "payload", 7, NULL) == 0);
}

static int on_message(void *arg, const struct ops_bus_message *m)
{
	struct child *c = arg;

	if (m->seq == 0) {
		c->volatile_got++;
		return 0;
	}
	ops_assert(strcmp(m->topic, "t/x") == 0 && m->len == 7 && m->payload[7] == '\0');
	c->ordered = c->ordered && m->seq > c->last;
	c->last = m->seq;
	if ((++c->got + c->lost >= c->want && c->want != 0) || m->seq == c->stop_at)
		ops_loop_stop(c->loop);
	return 0;
}

static void on_event(void *arg, enum ops_sub_event event, const char *stream, uint64_t count)
{
	struct child *c = arg;

	(void)stream;
	if (event == OPS_SUB_LOST)
		c->lost += count;
	if (event == OPS_SUB_RESET) {
		c->resets++;
		c->last = 0;
	}
}

static void open_sub(struct child *c, struct ops_sub_config *cfg)
{
	struct ops_error err;

	cfg->name = cfg->name != NULL ? cfg->name : "tester";
	cfg->url = c->scene->ports.pub_url;
	cfg->on_message = cfg->on_message != NULL ? cfg->on_message : on_message;
	cfg->on_event = on_event;
	cfg->arg = c;
	cfg->tls = c->scene->use_tls ? &c->scene->tls : NULL;
	if (ops_sub_open(c->loop, cfg, &c->sub, &err) != 0) {
		fprintf(stderr, "subscriber: %s\n", err.message);
		_exit(3);
	}
}

/* ---- keys ---- */

static void run_keyed_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_pub_config cfg = {.stream = "s",
		.replay_url = c.scene->ports.replay_url,
		.key = test_key(c.scene->dir, 'k')};

	open_pub(&c, &cfg);
	send_n(c.pub, 1000);
	ops_loop_run(c.loop); /* until killed */
}

static void stop_when_refused(void *arg)
{
	struct child *c = arg;

	if (ops_metric_value(&ops_bus_refused, "bad_mac") >= 5)
		ops_loop_stop(c->loop);
	ops_timer_start(c->timer, 10);
}

/* Nothing is delivered, live or by replay, and it is counted. */
static void run_wrong_key_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_bus_key *key = test_key(c.scene->dir, 'w');
	struct ops_sub_config cfg = {.key = key};

	open_sub(&c, &cfg);
	c.timer = ops_timer_new(c.loop, stop_when_refused, &c);
	ops_timer_start(c.timer, 0);
	ops_loop_run(c.loop);
	bool good = c.got == 0 && ops_metric_value(&ops_bus_refused, "bad_mac") >= 5 &&
		    !ops_sub_live(c.sub);
	ops_bus_key_free(key);
	child_end(&c, good);
}

static void run_right_key_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_bus_key *key = test_key(c.scene->dir, 'k');
	struct ops_sub_config cfg = {.key = key};

	c.want = 1000;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	bool good = c.got == 1000 && c.ordered && c.lost == 0 && ops_sub_live(c.sub) &&
		    ops_sub_lag(c.sub) == 0;
	child_end(&c, good);
}

static void without_the_key_nothing_is_delivered(void **state)
{
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_keyed_publisher, scene);
	pid_t wrong = test_spawn(run_wrong_key_subscriber, scene);
	pid_t right = test_spawn(run_right_key_subscriber, scene);

	assert_int_equal(test_wait(wrong), 0);
	assert_int_equal(test_wait(right), 0);
	test_kill(pub);
}

/* ---- garbage ---- */

static void throw_bytes(int port, const void *data, size_t len)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		(void)n;
		usleep(500);
	}
	close(fd);
}

/* An SP handshake of that protocol, then one message of `len` bytes, `have` of them really there.
 */
static void throw_message(int port, unsigned char protocol, uint64_t len, size_t have)
{
	unsigned char bytes[8 + 8 + 512] = {0, 'S', 'P', 0, 0, protocol, 0, 0};

	for (int i = 0; i < 8; i++)
		bytes[8 + i] = (unsigned char)(len >> (56 - 8 * i));
	ops_random_bytes(bytes + 16, OPS_MIN(have, 512));
	throw_bytes(port, bytes, 16 + OPS_MIN(have, 512));
}

static void garbage_on_the_ports_harms_nobody(void **state)
{
	enum {
		SP_SUB = 0x21,
		SP_REQ = 0x30
	};
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_keyed_publisher, scene);
	unsigned char noise[64];

	usleep(100000);
	for (int i = 0; i < 60; i++) {
		int port = i % 2 == 0 ? scene->ports.pub_port : scene->ports.replay_port;
		unsigned char protocol = i % 2 == 0 ? SP_SUB : SP_REQ;
		ops_random_bytes(noise, sizeof(noise));
		throw_bytes(port, noise, (size_t)i);
		throw_bytes(port, "\0SP\0\0", (size_t)i % 6);
		throw_message(port, protocol, 100, 100);
		throw_message(port, protocol, 100, 3);
		throw_message(port, protocol, UINT64_MAX >> (i % 60), 512);
	}
	pid_t sub = test_spawn(run_right_key_subscriber, scene);
	assert_int_equal(test_wait(sub), 0);
	test_kill(pub);
}

/* ---- one subscriber, many publishers ---- */

enum {
	PUBLISHERS = 5,
	EACH = 1000
};

static void send_batch(void *arg)
{
	struct child *c = arg;

	if (ops_pub_head(c->pub) < EACH)
		send_n(c->pub, 50);
	/* Volatile ones go on until somebody has heard one. */
	ops_assert(ops_pub_send_volatile(c->pub, "members/x", "{}", 2) == 0);
	ops_timer_start(c->timer, ops_pub_head(c->pub) < EACH ? 1 : 20);
}

static void run_dialling_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	OPS_CLEANUP(ops_freep) char *name = ops_xasprintf("samples/%d", (int)getpid());
	struct test_ports own = test_make_ports("tcp");
	struct ops_pub_config cfg = {.stream = name, .dial = true, .replay_url = own.replay_url};

	open_pub(&c, &cfg);
	c.timer = ops_timer_new(c.loop, send_batch, &c);
	ops_timer_start(c.timer, 0);
	ops_loop_run(c.loop); /* until killed */
}

struct many {
	struct child c;
	char names[PUBLISHERS][64];
	uint64_t last[PUBLISHERS];
};

static void stop_when_all(struct many *many)
{
	if (many->c.got == PUBLISHERS * EACH && many->c.volatile_got > 0)
		ops_loop_stop(many->c.loop);
}

static int on_one_of_many(void *arg, const struct ops_bus_message *m)
{
	struct many *many = arg;
	int i = 0;

	if (m->seq == 0) {
		many->c.volatile_got++;
		stop_when_all(many);
		return 0;
	}
	ops_assert(ops_str_starts(m->stream, "samples/"));
	while (i < PUBLISHERS && many->names[i][0] != '\0' &&
		strcmp(many->names[i], m->stream) != 0)
		i++;
	ops_assert(i < PUBLISHERS);
	snprintf(many->names[i], sizeof(many->names[i]), "%s", m->stream);
	ops_assert(m->seq == many->last[i] + 1);
	many->last[i] = m->seq;
	many->c.got++;
	stop_when_all(many);
	return 0;
}

static void run_listening_subscriber(const void *arg)
{
	struct many many = {.c = child_begin(arg)};
	struct ops_sub_config cfg = {.listen = true, .on_message = on_one_of_many};

	open_sub(&many.c, &cfg);
	ops_loop_run(many.c.loop);
	child_end(&many.c, many.c.got == PUBLISHERS * EACH && many.c.volatile_got > 0);
}

static void many_publishers_dial_one_subscriber(void **state)
{
	struct scene *scene = *state;
	pid_t pubs[PUBLISHERS];

	for (int i = 0; i < PUBLISHERS; i++)
		pubs[i] = test_spawn(run_dialling_publisher, scene);
	usleep(50000);
	assert_int_equal(test_wait(test_spawn(run_listening_subscriber, scene)), 0);
	for (int i = 0; i < PUBLISHERS; i++)
		test_kill(pubs[i]);
}

/* ---- logs that were lost, or were too small ---- */

static void run_small_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	/* A record takes 11 + 48 bytes in the ring. */
	struct ops_pub_config cfg = {
		.stream = "s", .replay_url = c.scene->ports.replay_url, .ring_bytes = 59 * 300};

	open_pub(&c, &cfg);
	send_n(c.pub, 400);
	ops_loop_run(c.loop); /* until killed */
}

/* First it takes 100 messages and leaves; then it comes back to a publisher with another epoch. */
static int take_hundred(void *arg, const struct ops_bus_message *m)
{
	struct child *c = arg;

	if (m->seq == 0)
		return 0;
	c->last = m->seq;
	if (++c->got == c->want) {
		ops_sub_close(c->sub); /* from inside the handler */
		c->sub = NULL;
		ops_loop_stop(c->loop);
	}
	return 0;
}

static void run_hundred_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/positions", c.scene->dir);
	struct ops_sub_config cfg = {.checkpoint_dir = dir, .on_message = take_hundred};

	c.want = 100;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	child_end(&c, c.got == 100 && c.last == 200 && c.resets == 0);
}

static void run_returning_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/positions", c.scene->dir);
	struct ops_sub_config cfg = {.checkpoint_dir = dir};

	c.want = 300;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	child_end(&c, c.got == 300 && c.resets == 1 && c.last == 400 && c.lost == 0);
}

static void another_epoch_starts_over_from_the_oldest(void **state)
{
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_small_publisher, scene);

	assert_int_equal(test_wait(test_spawn(run_hundred_subscriber, scene)), 0);
	test_kill(pub);
	pub = test_spawn(run_small_publisher, scene);
	assert_int_equal(test_wait(test_spawn(run_returning_subscriber, scene)), 0);
	test_kill(pub);
}

/* The subscriber is stopped while the ring turns over. */
static void send_burst(void *arg)
{
	struct child *c = arg;

	send_n(c->pub, 400);
	if (ops_pub_head(c->pub) < 8000)
		ops_timer_start(c->timer, 1);
}

static void run_bursting_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_pub_config cfg = {
		.stream = "s", .replay_url = c.scene->ports.replay_url, .ring_bytes = 59 * 300};

	open_pub(&c, &cfg);
	send_n(c.pub, 10);
	c.timer = ops_timer_new(c.loop, send_burst, &c);
	ops_timer_start(c.timer, 400);
	ops_loop_run(c.loop); /* until killed */
}

static int pause_after_ten(void *arg, const struct ops_bus_message *m)
{
	struct child *c = arg;

	if (m->seq == 10)
		usleep(800000);
	return on_message(arg, m) == 0 && c->lost < 100000 ? 0 : -EIO;
}

static void run_overtaken_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_sub_config cfg = {.on_message = pause_after_ten};

	c.want = 8010;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	bool good = c.ordered && c.got + c.lost == 8010 && c.lost > 0 &&
		    (uint64_t)ops_metric_value(&ops_bus_lost, "s") == c.lost;
	child_end(&c, good);
}

static void what_the_ring_lost_is_told_exactly(void **state)
{
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_bursting_publisher, scene);

	assert_int_equal(test_wait(test_spawn(run_overtaken_subscriber, scene)), 0);
	test_kill(pub);
}

static int count_wanted(void *arg, const struct ops_bus_message *m)
{
	struct child *c = arg;

	ops_assert(strcmp(m->topic, "wanted/a") == 0);
	if (++c->got == 3)
		ops_loop_stop(c->loop);
	return 0;
}

static void send_mixed(void *arg)
{
	struct child *c = arg;

	ops_assert(ops_pub_send(c->pub, "wanted/a", "1", 1, NULL) == 0);
	ops_assert(ops_pub_send(c->pub, "wanted/ab", "1", 1, NULL) == 0);
	ops_assert(ops_pub_send(c->pub, "other", "1", 1, NULL) == 0);
	ops_assert(ops_pub_send(c->pub, "bad\ntopic", "1", 1, NULL) == -EINVAL);
	ops_timer_start(c->timer, 20);
}

static void run_mixed_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_pub_config cfg = {.stream = "s"}; /* no replay, no log */

	open_pub(&c, &cfg);
	c.timer = ops_timer_new(c.loop, send_mixed, &c);
	ops_timer_start(c.timer, 0);
	ops_loop_run(c.loop); /* until killed */
}

static void run_choosy_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	const char *const topics[] = {"wanted/a\n", "nothing/"};
	struct ops_sub_config cfg = {
		.topics = topics, .ntopics = 2, .from_now = true, .on_message = count_wanted};

	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	child_end(&c, c.got == 3 && c.lost == 0);
}

static void topics_are_filtered_whole(void **state)
{
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_mixed_publisher, scene);

	assert_int_equal(test_wait(test_spawn(run_choosy_subscriber, scene)), 0);
	test_kill(pub);
}

/* The publisher may forget what a subscriber with a checkpoint has. */
static void run_acknowledged_publisher(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_pub_config cfg = {.stream = "s", .replay_url = c.scene->ports.replay_url};

	open_pub(&c, &cfg);
	send_n(c.pub, 3000);
	ops_loop_run(c.loop); /* until killed */
}

static void run_acknowledging_subscriber(const void *arg)
{
	struct child c = child_begin(arg);
	OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/positions", c.scene->dir);
	struct ops_sub_config cfg = {.checkpoint_dir = dir, .name = "one"};

	c.want = 3000;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	child_end(&c, c.got == 3000);
}

static void run_second_consumer(const void *arg)
{
	struct child c = child_begin(arg);
	struct ops_sub_config cfg = {.name = "two"};

	c.stop_at = 3000;
	open_sub(&c, &cfg);
	ops_loop_run(c.loop);
	child_end(&c, c.got > 0 && c.got <= 2000 && c.last == 3000);
}

static void acknowledged_records_are_trimmed(void **state)
{
	struct scene *scene = *state;
	pid_t pub = test_spawn(run_acknowledged_publisher, scene);

	/* Three batches; with the request for the third, two are acknowledged. */
	assert_int_equal(test_wait(test_spawn(run_acknowledging_subscriber, scene)), 0);
	assert_int_equal(test_wait(test_spawn(run_second_consumer, scene)), 0);
	test_kill(pub);
}

/* A file size limit stands for a full disk. */
static void run_publisher_on_a_full_disk(const void *arg)
{
	struct child c = child_begin(arg);
	OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/log", c.scene->dir);
	struct ops_pub_config cfg = {.stream = "s", .dir = dir};
	struct rlimit limit = {4000, 4000};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	char payload[1000] = {0};
	uint64_t sent = 0;
	int r = 0;

	open_pub(&c, &cfg);
	sigaction(SIGXFSZ, &ignore, NULL);
	ops_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	while ((r = ops_pub_send(c.pub, "t/x", payload, sizeof(payload), NULL)) == 0)
		sent++;
	bool good = r == -EFBIG && sent == 3 && ops_pub_head(c.pub) == 3;
	ops_pub_cork(c.pub);
	good = good && ops_pub_send(c.pub, "t/x", payload, sizeof(payload), NULL) == -EFBIG;
	good = good && ops_pub_send(c.pub, "t/x", payload, 10, NULL) == 0 &&
	       ops_pub_head(c.pub) == 3;
	good = good && ops_pub_uncork(c.pub) == 0 && ops_pub_head(c.pub) == 4;
	child_end(&c, good);
}

static void what_cannot_be_logged_is_not_published(void **state)
{
	assert_int_equal(test_wait(test_spawn(run_publisher_on_a_full_disk, *state)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			without_the_key_nothing_is_delivered, setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_on_the_ports_harms_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(
			many_publishers_dial_one_subscriber, setup, teardown),
		cmocka_unit_test_setup_teardown(
			another_epoch_starts_over_from_the_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_the_ring_lost_is_told_exactly, setup, teardown),
		cmocka_unit_test_setup_teardown(topics_are_filtered_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(acknowledged_records_are_trimmed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_cannot_be_logged_is_not_published, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
