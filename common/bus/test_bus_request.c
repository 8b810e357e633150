/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests and answers: late answers in another order, a server that restarts while it is asked,
 * time-outs, keys; all of it also over TLS with certificates made here. Each part in a process of
 * its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "common/bus/counters.h"
#include "common/bus/test_support.h"

struct scene {
	char *dir;
	struct test_ports ports;
	struct ops_bus_tls tls, other_tls;
	bool use_tls, use_other_tls, wrong_key;
	unsigned requests;  /* of the serial client */
	int64_t timeout_ms; /* of the one request */
};

static int setup(void **state)
{
	struct scene *scene = ops_xcalloc(1, sizeof(*scene));

	scene->dir = tempdir_make();
	scene->ports = test_make_ports("tcp");
	scene->requests = 500;
	scene->timeout_ms = 400;
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

/* ---- the server's process ---- */

struct server {
	const struct scene *scene;
	struct ops_loop *loop;
	struct ops_rep *rep;
	struct ops_rep_call *held;
	bool now_seen; /* answered after the next one */
};

/* "hold" is answered behind the request after it; everything else at once, with what was asked. */
static void on_request(void *arg, struct ops_rep_call *call, const void *data, size_t len)
{
	struct server *s = arg;

	if (len == 4 && memcmp(data, "hold", 4) == 0 && s->held == NULL) {
		if (s->now_seen) { /* it came the slower way */
			ops_rep_answer(call, "held", 4);
		} else {
			s->held = call;
		}
		return;
	}
	s->now_seen = len == 3 && memcmp(data, "now", 3) == 0;
	ops_rep_answer(call, data, len);
	if (s->held != NULL) {
		ops_rep_answer(s->held, "held", 4);
		s->held = NULL;
	}
}

static void run_server(const void *arg)
{
	struct server s = {.scene = arg, .loop = ops_loop_new()};
	const struct ops_bus_tls *tls = s.scene->use_tls ? &s.scene->tls : NULL;
	struct ops_error err;

	if (ops_rep_open(s.loop, s.scene->ports.pub_url, test_key(s.scene->dir, 'k'), tls,
		    on_request, &s, &s.rep, &err) != 0) {
		fprintf(stderr, "server: %s\n", err.message);
		_exit(3);
	}
	ops_loop_run(s.loop); /* until killed */
}

/* ---- clients ---- */

struct client {
	const struct scene *scene;
	struct ops_loop *loop;
	struct ops_req *req[2];
	struct ops_bus_key *key;
	unsigned answers, want;
	int code; /* of the last answer */
	char order[8];
};

static void on_answer(void *arg, int code, const void *data, size_t len)
{
	struct client *c = arg;

	c->code = code;
	if (code == 0 && len > 0 && c->answers < sizeof(c->order) - 1)
		c->order[c->answers] = *(const char *)data;
	if (++c->answers >= c->want || code != 0)
		ops_loop_stop(c->loop);
}

static struct client client_begin(const void *arg)
{
	struct client c = {.scene = arg, .loop = ops_loop_new()};
	const struct ops_bus_tls *tls =
		c.scene->use_other_tls ? &c.scene->other_tls : &c.scene->tls;

	c.key = test_key(c.scene->dir, c.scene->wrong_key ? 'w' : 'k');
	for (int i = 0; i < 2; i++)
		ops_assert(ops_req_open(c.loop, c.scene->ports.pub_url, c.key,
				   c.scene->use_tls ? tls : NULL, &c.req[i], NULL) == 0);
	return c;
}

static void client_end(struct client *c, bool good)
{
	ops_req_close(c->req[0]);
	ops_req_close(c->req[1]);
	ops_loop_free(c->loop);
	ops_bus_key_free(c->key);
	_exit(good ? 0 : 1);
}

static void ask_again(void *arg, int code, const void *data, size_t len)
{
	struct client *c = arg;

	ops_assert(code == 0 && len == 5 && memcmp(data, "count", 5) == 0);
	if (++c->answers == c->want)
		ops_loop_stop(c->loop);
	else
		ops_assert(ops_req_send(c->req[0], "count", 5, 5000, ask_again, c) == 0);
}

static void run_serial_client(const void *arg)
{
	struct client c = client_begin(arg);

	c.want = c.scene->requests;
	ops_assert(ops_req_send(c.req[0], "count", 5, 5000, ask_again, &c) == 0);
	ops_assert(ops_req_send(c.req[0], "count", 5, 5000, ask_again, &c) == -EBUSY);
	ops_loop_run(c.loop);
	client_end(&c, c.answers == c.scene->requests);
}

static void run_ordering_client(const void *arg)
{
	struct client c = client_begin(arg);

	c.want = 1;
	for (int i = 0; i < 2; i++) { /* both connections stand before the order counts */
		ops_assert(ops_req_send(c.req[i], "warm", 4, 5000, on_answer, &c) == 0);
		ops_loop_run(c.loop);
		c.answers = 0;
	}
	c.want = 2;
	ops_assert(ops_req_send(c.req[0], "hold", 4, 5000, on_answer, &c) == 0);
	struct ops_timer *pause = test_stop_after(c.loop, 300);
	ops_loop_run(c.loop);
	ops_timer_free(pause);
	ops_assert(ops_req_send(c.req[1], "now", 3, 5000, on_answer, &c) == 0);
	ops_loop_run(c.loop);
	/* Two connections: which of the two answers is read first is nobody's promise. */
	client_end(&c, strcmp(c.order, "nh") == 0 || strcmp(c.order, "hn") == 0);
}

static void run_big_client(const void *arg)
{
	struct client c = client_begin(arg);
	char *big = ops_xcalloc(1, (1 << 20) + 1);

	c.want = 1;
	bool good = ops_req_send(c.req[0], big, (1 << 20) + 1, 5000, on_answer, &c) == -EMSGSIZE;
	ops_assert(ops_req_send(c.req[0], big, 1 << 20, 5000, on_answer, &c) == 0);
	ops_loop_run(c.loop);
	free(big);
	client_end(&c, good && c.code == 0 && c.answers == 1);
}

static void run_one_request(const void *arg)
{
	struct client c = client_begin(arg);
	int64_t start_ms = ops_mono_ms();

	c.want = 1;
	ops_assert(ops_req_send(c.req[0], "one", 3, c.scene->timeout_ms, on_answer, &c) == 0);
	ops_loop_run(c.loop);
	int64_t took_ms = ops_mono_ms() - start_ms;
	bool good = c.code == 0 || (c.code == -ETIMEDOUT && took_ms >= 390 && took_ms < 5000);
	ops_assert(good);
	/* 0 answered, 2 timed out */
	ops_req_close(c.req[0]);
	ops_req_close(c.req[1]);
	ops_loop_free(c.loop);
	_exit(c.code == 0 ? 0 : 2);
}

static void requests_are_answered(void **state)
{
	struct scene *scene = *state;
	pid_t server = test_spawn(run_server, scene);

	assert_int_equal(test_wait(test_spawn(run_serial_client, scene)), 0);
	assert_int_equal(test_wait(test_spawn(run_big_client, scene)), 0);
	test_kill(server);
}

static void answers_may_come_late_and_in_another_order(void **state)
{
	struct scene *scene = *state;
	pid_t server = test_spawn(run_server, scene);

	assert_int_equal(test_wait(test_spawn(run_ordering_client, scene)), 0);
	test_kill(server);
}

static void a_request_waits_for_its_server(void **state)
{
	struct scene *scene = *state;
	scene->requests = 4000;
	pid_t client = test_spawn(run_serial_client, scene);
	usleep(150000);
	pid_t server = test_spawn(run_server, scene);
	for (int i = 0; i < 3; i++) { /* it dies under the requests */
		usleep(60000);
		test_kill(server);
		server = test_spawn(run_server, scene);
	}
	assert_int_equal(test_wait(client), 0);
	test_kill(server);
}

static void a_request_without_a_server_times_out(void **state)
{
	assert_int_equal(test_wait(test_spawn(run_one_request, *state)), 2);
}

static void a_request_with_the_wrong_key_gets_no_answer(void **state)
{
	struct scene *scene = *state;
	pid_t server = test_spawn(run_server, scene);

	scene->wrong_key = true;
	assert_int_equal(test_wait(test_spawn(run_one_request, scene)), 2);
	scene->wrong_key = false;
	scene->timeout_ms = 10000;
	assert_int_equal(test_wait(test_spawn(run_one_request, scene)), 0);
	test_kill(server);
}

/* ---- TLS ---- */

struct authority {
	EVP_PKEY *key;
	X509 *cert;
};

static void name_cert(X509 *cert, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(cert);

	ops_assert(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
			   (const unsigned char *)common_name, -1, -1, 0) == 1);
	ops_assert(X509_set_version(cert, 2) == 1);
	ops_assert(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1);
	ops_assert(X509_gmtime_adj(X509_getm_notBefore(cert), -86400) != NULL);
	ops_assert(X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL);
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	ops_assert(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static struct authority make_cert(const char *common_name, const struct authority *issuer)
{
	struct authority a = {EVP_EC_gen("P-256"), X509_new()};

	ops_assert(a.key != NULL && a.cert != NULL);
	name_cert(a.cert, common_name);
	ops_assert(X509_set_pubkey(a.cert, a.key) == 1);
	if (issuer == NULL)
		add_extension(a.cert, NID_basic_constraints, "critical,CA:TRUE");
	else
		add_extension(a.cert, NID_subject_alt_name, "DNS:bus.test");
	issuer = issuer != NULL ? issuer : &a;
	ops_assert(X509_set_issuer_name(a.cert, X509_get_subject_name(issuer->cert)) == 1);
	ops_assert(X509_sign(a.cert, issuer->key, EVP_sha256()) > 0);
	return a;
}

static const char *write_pem(
	const struct scene *scene, const char *name, const struct authority *a, bool key)
{
	char *path = ops_xasprintf("%s/%s", scene->dir, name);
	FILE *f = fopen(path, "w");

	ops_assert(f != NULL);
	if (key)
		ops_assert(PEM_write_PrivateKey(f, a->key, NULL, NULL, 0, NULL, NULL) == 1);
	else
		ops_assert(PEM_write_X509(f, a->cert) == 1);
	fclose(f);
	return path;
}

static void free_authority(struct authority *a)
{
	EVP_PKEY_free(a->key);
	X509_free(a->cert);
}

/* A CA and a certificate by it, and one that another CA made. */
static void make_tls(struct scene *scene)
{
	struct authority ca = make_cert("ca", NULL), other = make_cert("other", NULL);
	struct authority good = make_cert("bus.test", &ca), bad = make_cert("bus.test", &other);

	scene->tls = (struct ops_bus_tls){write_pem(scene, "ca.pem", &ca, false),
		write_pem(scene, "cert.pem", &good, false),
		write_pem(scene, "key.pem", &good, true), "bus.test"};
	scene->other_tls = scene->tls;
	scene->other_tls.cert_file = write_pem(scene, "other-cert.pem", &bad, false);
	scene->other_tls.key_file = write_pem(scene, "other-key.pem", &bad, true);
	free_authority(&ca);
	free_authority(&other);
	free_authority(&good);
	free_authority(&bad);
}

static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

static void both_sides_of_tls_need_a_certificate(void **state)
{
	struct scene *scene = *state;

	make_tls(scene);
	scene->ports = test_make_ports("tls+tcp");
	scene->use_tls = true;
	pid_t server = test_spawn(run_server, scene);
	assert_int_equal(test_wait(test_spawn(run_serial_client, scene)), 0);
	scene->use_other_tls = true;
	assert_int_equal(test_wait(test_spawn(run_one_request, scene)), 2);
	test_kill(server);
	free_text(scene->tls.ca_file);
	free_text(scene->tls.cert_file);
	free_text(scene->tls.key_file);
	free_text(scene->other_tls.cert_file);
	free_text(scene->other_tls.key_file);
}

/* Opening fails before nng is called, so these need no process of their own. */
static void bad_addresses_are_refused_with_a_hint(void **state)
{
	static const char *const urls[] = {"ipc:///tmp/x", "inproc://x", "tcp://", "tcp://host",
		"tcp://host:", "tcp://:1", "http://host:1", "tcp://host:1/path", ""};
	struct ops_loop *loop = ops_loop_new();
	struct ops_req *req = NULL;
	struct ops_pub *pub = NULL;
	struct ops_error err;
	struct ops_pub_config cfg = {.stream = "s", .url = "tcp://*:1", .replay_url = "tcp://*:2"};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(urls); i++) {
		assert_int_equal(ops_req_open(loop, urls[i], NULL, NULL, &req, &err), -EINVAL);
		assert_non_null(strstr(err.hint, "tcp://host:port"));
	}
	assert_int_equal(ops_pub_open(loop, &cfg, &pub, &err), -EINVAL);
	assert_non_null(strstr(err.hint, "replay_advertise"));
	cfg.stream = "a stream";
	assert_int_equal(ops_pub_open(loop, &cfg, &pub, &err), -EINVAL);
	ops_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_addresses_are_refused_with_a_hint),
		cmocka_unit_test_setup_teardown(requests_are_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(
			answers_may_come_late_and_in_another_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_request_waits_for_its_server, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_request_without_a_server_times_out, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_request_with_the_wrong_key_gets_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(
			both_sides_of_tls_need_a_certificate, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
