/* SPDX-License-Identifier: Apache-2.0 */
/* The client against an audit log that plays hard to get: refusals, half a batch taken, a record it
 * will never take. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/audit/audit.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/base/test_tempdir.h"

struct log_double {
	struct ops_loop *loop;
	struct ops_rep *rep;
	struct ops_timer *limit, *look;
	struct ops_audit *client;
	char url[64], *dir;
	int requests, taken;
	char objects[64][40]; /* of what was taken, in order */
	bool refuse_first, half_second;
};

static void on_limit(void *arg)
{
	(void)arg;
	fail_msg("not within the time limit");
}

/* Watches the client from outside: done when nothing waits. */
static void on_look(void *arg)
{
	struct log_double *l = arg;

	if (ops_audit_waiting(l->client) == 0)
		ops_loop_stop(l->loop);
	else
		ops_timer_start(l->look, 5);
}

static json_t *result_of(struct log_double *l, const json_t *record, size_t index)
{
	const char *object = json_string_value(json_object_get(record, "object"));
	json_t *result = json_object();

	assert_non_null(object);
	if (l->half_second && l->requests == 2 && index >= 2) {
		ops_json_set_string(result, "error", "no space left");
	} else if (strcmp(object, "never") == 0) {
		ops_json_set_string(result, "error", "not a record");
		ops_json_set_bool(result, "permanent", true);
	} else {
		snprintf(l->objects[l->taken++ % 64], sizeof(l->objects[0]), "%s", object);
		ops_json_set_i64(result, "seq", l->taken);
		ops_json_set_string(result, "durable", "postgresql");
	}
	return result;
}

static void on_request(void *arg, struct ops_rep_call *call, const void *data, size_t len)
{
	struct log_double *l = arg;
	OPS_JSON_AUTO *request = NULL;
	OPS_JSON_AUTO *answer = json_object();
	json_t *results = json_array();

	assert_int_equal(ops_json_parse(data, len, 1000000, &request, NULL), 0);
	assert_string_equal(json_string_value(json_object_get(request, "op")), "append");
	l->requests++;
	bool refuse = l->refuse_first && l->requests == 1;
	const json_t *records = json_object_get(request, "records");
	assert_true(json_array_size(records) <= OPS_AUDIT_BATCH);
	for (size_t i = 0; i < json_array_size(records) && !refuse; i++)
		json_array_append_new(results, result_of(l, json_array_get(records, i), i));
	ops_json_set_bool(answer, "ok", !refuse);
	ops_json_set(answer, "results", results);
	OPS_CLEANUP(ops_freep) char *text = ops_json_text(answer);
	ops_rep_answer(call, text, strlen(text));
}

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static int setup(void **state)
{
	struct log_double *l = ops_xcalloc(1, sizeof(*l));
	struct ops_error err;

	l->dir = tempdir_make();
	l->loop = ops_loop_new();
	l->limit = ops_timer_new(l->loop, on_limit, l);
	l->look = ops_timer_new(l->loop, on_look, l);
	ops_timer_start(l->limit, 15000);
	ops_timer_start(l->look, 5);
	snprintf(l->url, sizeof(l->url), "tcp://127.0.0.1:%d", free_port());
	assert_int_equal(
		ops_rep_open(l->loop, l->url, NULL, NULL, on_request, l, &l->rep, &err), 0);
	*state = l;
	return 0;
}

static int teardown(void **state)
{
	struct log_double *l = *state;

	ops_audit_close(l->client);
	ops_rep_close(l->rep);
	ops_timer_free(l->limit);
	ops_timer_free(l->look);
	ops_loop_free(l->loop);
	tempdir_remove(l->dir);
	free(l);
	return 0;
}

static void open_client(struct log_double *l, const char *url)
{
	const struct ops_audit_config cfg = {.service = "ops-test", .url = url, .dir = l->dir};
	struct ops_error err;

	assert_int_equal(ops_audit_open(l->loop, &cfg, &l->client, &err), 0);
}

static int record(struct log_double *l, const char *object, json_t *after)
{
	const struct ops_audit_entry e = {.actor = "alice",
		.actor_type = "user",
		.action = "test",
		.object = object,
		.after = after};

	return ops_audit_log(l->client, &e);
}

static void record_numbers(struct log_double *l, int first, int last)
{
	char object[40];

	for (int i = first; i <= last; i++) {
		snprintf(object, sizeof(object), "thing/%d", i);
		assert_int_equal(record(l, object, NULL), 0);
	}
}

static void test_records_wait_for_the_log_and_come_in_order(void **state)
{
	struct log_double *l = *state;

	open_client(l, NULL);
	record_numbers(l, 1, 3);
	assert_int_equal(ops_audit_waiting(l->client), 3);
	ops_audit_close(l->client);
	open_client(l, l->url);
	assert_int_equal(ops_audit_waiting(l->client), 3);
	record_numbers(l, 4, 6);
	ops_loop_run(l->loop);
	assert_int_equal(l->taken, 6);
	for (int i = 0; i < 6; i++) {
		char object[40];
		snprintf(object, sizeof(object), "thing/%d", i + 1);
		assert_string_equal(l->objects[i], object);
	}
}

static void test_refusals_and_half_batches_are_repeated(void **state)
{
	struct log_double *l = *state;

	l->refuse_first = true;
	l->half_second = true;
	open_client(l, l->url);
	record_numbers(l, 1, 5);
	ops_loop_run(l->loop);
	assert_true(l->requests >= 3);
	assert_int_equal(l->taken, 5);
	for (int i = 0; i < 5; i++) {
		char object[40];
		snprintf(object, sizeof(object), "thing/%d", i + 1);
		assert_string_equal(l->objects[i], object);
	}
}

static void test_what_is_never_taken_does_not_block(void **state)
{
	struct log_double *l = *state;
	struct ops_strbuf dead = OPS_STRBUF_INIT;

	open_client(l, l->url);
	record_numbers(l, 1, 1);
	assert_int_equal(record(l, "never", NULL), 0);
	record_numbers(l, 2, 2);
	ops_loop_run(l->loop);
	assert_int_equal(l->taken, 2);
	assert_string_equal(l->objects[1], "thing/2");
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(l->dir, "dead/records.jsonl");
	assert_int_equal(ops_file_read(path, 10000, &dead), 0);
	assert_non_null(strstr(ops_strbuf_text(&dead), "\"error\":\"not a record\""));
	assert_non_null(strstr(ops_strbuf_text(&dead), "\"object\":\"never\""));
	ops_strbuf_done(&dead);
}

static void test_what_is_no_record_is_refused_here(void **state)
{
	struct log_double *l = *state;
	char long_object[400];

	open_client(l, NULL);
	memset(long_object, 'x', sizeof(long_object) - 1);
	long_object[sizeof(long_object) - 1] = '\0';
	assert_int_equal(record(l, long_object, NULL), -EINVAL);
	assert_int_equal(record(l, "o", json_integer(9007199254740993)), -ERANGE);
	assert_int_equal(ops_audit_waiting(l->client), 0);
	assert_int_equal(record(l, "o", json_string("9007199254740993")), 0);
	assert_int_equal(ops_audit_waiting(l->client), 1);
}

static void test_many_go_in_batches(void **state)
{
	struct log_double *l = *state;

	open_client(l, NULL);
	record_numbers(l, 1, 200);
	ops_audit_close(l->client);
	open_client(l, l->url);
	ops_loop_run(l->loop);
	assert_int_equal(l->taken, 200);
	assert_true(l->requests <= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_records_wait_for_the_log_and_come_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_refusals_and_half_batches_are_repeated, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_never_taken_does_not_block, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_what_is_no_record_is_refused_here, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_go_in_batches, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
