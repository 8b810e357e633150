/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the HTTP server: head, chunked coding, parameters, traceparent, router, guard.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/net/http_guard.h"
#include "common/net/http_params.h"
#include "common/net/http_parse.h"
#include "common/net/http_router.h"
#include "common/net/http_trace.h"

/* ---- head ---- */

/* A head that drips in is found at the same place, whatever the pieces. */
static void test_scan_in_pieces(void **state)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
	const char *reason = NULL;

	(void)state;
	for (size_t step = 1; step < sizeof(text); step++) {
		size_t scan = 0, head = 0;
		for (size_t n = 0; head == 0 && n < sizeof(text) - 1;) {
			n = OPS_MIN(n + step, sizeof(text) - 1);
			assert_int_equal(ops_http_head_scan(text, n, &scan, &head, &reason), 0);
		}
		assert_int_equal(head, 27);
	}
}

static void test_head_fields(void **state)
{
	static const char text[] = "GET /a?b=c HTTP/1.1\r\nHost: x\r\nEmpty:\r\nSpaced: \t v w "
				   "\t\r\nConnection: foo, Close\r\n\r\n";
	struct ops_arena a;
	struct ops_http_head h;
	const char *reason = NULL;

	(void)state;
	ops_arena_init(&a);
	assert_int_equal(ops_http_head_parse(&a, text, sizeof(text) - 1, &h, &reason), 0);
	assert_string_equal(h.path, "/a");
	assert_string_equal(h.query, "b=c");
	assert_string_equal(ops_http_head_get(&h, "spaced"), "v w");
	assert_string_equal(ops_http_head_get(&h, "EMPTY"), "");
	assert_null(ops_http_head_get(&h, "absent"));
	assert_false(h.keep_alive);
	ops_arena_done(&a);
}

/* ---- chunked ---- */

static int decode(const char *text, size_t step, size_t limit, struct ops_strbuf *out, size_t *used)
{
	struct ops_http_chunked c = {.left = 0};
	size_t len = strlen(text);

	*used = 0;
	while (*used < len && c.state != OPS_CHUNK_DONE) {
		size_t n = 0;
		int rc = ops_http_chunked_feed(
			&c, text + *used, OPS_MIN(step, len - *used), limit, out, &n);
		if (rc != 0)
			return rc;
		*used += n;
	}
	return c.state == OPS_CHUNK_DONE ? 0 : 1;
}

static void test_chunked(void **state)
{
	static const struct {
		const char *text, *body;
		int rc; /* 1 = not at its end */
	} table[] = {
		{"0\r\n\r\n", "", 0},
		{"3\r\nabc\r\n0\r\n\r\n", "abc", 0},
		{"3;a=b;c\r\nabc\r\n2\r\nde\r\n000\r\nT: x\r\nU: y\r\n\r\n", "abcde", 0},
		{"a\r\n0123456789\r\n0\r\n\r\n", "0123456789", 0},
		{"A\r\n0123456789\r\n0\r\n", "0123456789", 1},
		{"3\r\nab", "ab", 1},
		{"\r\n", "", 400},
		{"g\r\n", "", 400},
		{"-1\r\n", "", 400},
		{"0x3\r\nabc\r\n", "", 400},
		{"3 \r\nabc\r\n", "", 400},
		{"3\nabc\r\n", "", 400},
		{"3\r\rabc", "", 400},
		{"3\r\nabcd\r\n", "abc", 400},
		{"3\r\nabc\n0\r\n\r\n", "abc", 400},
		{"3;\001\r\nabc\r\n", "", 400},
		{"0\r\nT: \001\r\n\r\n", "", 400},
		{"0\r\n\n", "", 400},
		{"1000000000000000\r\n", "", 400},
		{"65\r\n", "", 413},
		{"60\r\n", "", 1},
		{"ffffffffffffff\r\n", "", 413},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		for (size_t step = 1; step <= 7; step += 3) {
			struct ops_strbuf out = OPS_STRBUF_INIT;
			size_t used = 0;
			int rc = decode(table[i].text, step, 100, &out, &used);
			if (rc != table[i].rc ||
				(rc < 400 && strcmp(ops_strbuf_text(&out), table[i].body) != 0))
				fail_msg("%zu step %zu: %d \"%s\"", i, step, rc,
					ops_strbuf_text(&out));
			ops_strbuf_done(&out);
		}
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	size_t used = 0;
	assert_int_equal(decode("0\r\n\r\nGET", 100, 100, &out, &used), 0);
	assert_int_equal(used, 5); /* what follows is not touched */
}

/* ---- parameters ---- */

static void test_params(void **state)
{
	static const struct {
		const char *text;
		int rc;
		size_t n;
		const char *name, *value; /* of the last */
	} table[] = {
		{"", 0, 0, NULL, NULL},
		{"a=b", 0, 1, "a", "b"},
		{"a", 0, 1, "a", ""},
		{"=b", 0, 1, "", "b"},
		{"a=b=c", 0, 1, "a", "b=c"},
		{"&&a=1&&b=2&", 0, 2, "b", "2"},
		{"match%5B%5D=up%7Bjob%3D%22x%22%7D", 0, 1, "match[]", "up{job=\"x\"}"},
		{"q=a+b%2Bc", 0, 1, "q", "a b+c"},
		{"q=%e2%82%ac", 0, 1, "q", "\xe2\x82\xac"},
		{"q=%", -EINVAL, 0, NULL, NULL},
		{"q=%4", -EINVAL, 0, NULL, NULL},
		{"q=%4g", -EINVAL, 0, NULL, NULL},
		{"q=%00", -EINVAL, 0, NULL, NULL},
		{"%=q", -EINVAL, 0, NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct ops_arena a;
		struct ops_http_params p = {.n = 0};
		ops_arena_init(&a);
		assert_int_equal(
			ops_http_params_parse(&a, table[i].text, strlen(table[i].text), &p),
			table[i].rc);
		if (table[i].rc == 0)
			assert_int_equal(p.n, table[i].n);
		if (table[i].rc == 0 && p.n > 0) {
			assert_string_equal(p.items[p.n - 1].name, table[i].name);
			assert_string_equal(p.items[p.n - 1].value, table[i].value);
		}
		ops_http_params_done(&p);
		ops_arena_done(&a);
	}
}

static void test_too_many_params(void **state)
{
	static char text[2 * (OPS_HTTP_MAX_PARAMS + 1)];
	struct ops_arena a;
	struct ops_http_params p = {.n = 0};

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 == 0 ? 'a' : '&';
	ops_arena_init(&a);
	assert_int_equal(ops_http_params_parse(&a, text, sizeof(text), &p), -E2BIG);
	ops_http_params_done(&p);
	ops_arena_done(&a);
}

/* ---- traceparent ---- */

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void test_traceparent(void **state)
{
	static const struct {
		const char *text;
		int rc;
		unsigned flags;
	} table[] = {
		{"00-" TRACE "-" SPAN "-01", 0, 1},
		{"00-" TRACE "-" SPAN "-00", 0, 0},
		{"00-" TRACE "-" SPAN "-ff", 0, 1}, /* only the bit that is known */
		{"cc-" TRACE "-" SPAN "-01-what-comes", 0, 1},
		{"cc-" TRACE "-" SPAN "-01", 0, 1},
		{"cc-" TRACE "-" SPAN "-01.what", -EINVAL, 0},
		{"00-" TRACE "-" SPAN "-01-what", -EINVAL, 0},
		{"ff-" TRACE "-" SPAN "-01", -EINVAL, 0},
		{"00-00000000000000000000000000000000-" SPAN "-01", -EINVAL, 0},
		{"00-" TRACE "-0000000000000000-01", -EINVAL, 0},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", -EINVAL, 0},
		{"00-" TRACE "-" SPAN "-0", -EINVAL, 0},
		{"00_" TRACE "-" SPAN "-01", -EINVAL, 0},
		{"0-" TRACE "-" SPAN "-011", -EINVAL, 0},
		{"00-" TRACE SPAN "-01", -EINVAL, 0},
		{"", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		char id[33] = "";
		unsigned flags = 0;
		int rc = ops_trace_parse(table[i].text, id, &flags);
		if (rc != table[i].rc || flags != table[i].flags ||
			(rc == 0 && strcmp(id, TRACE) != 0))
			fail_msg("%s: %d %u %s", table[i].text, rc, flags, id);
	}
}

static void test_trace_goes_on(void **state)
{
	struct ops_trace t, other;
	char id[33];
	unsigned flags = 9;

	(void)state;
	ops_trace_init(&t, "00-" TRACE "-" SPAN "-00");
	assert_string_equal(t.trace_id, TRACE);
	assert_string_not_equal(t.span_id, SPAN);
	assert_int_equal(ops_trace_parse(t.traceparent, id, &flags), 0);
	assert_string_equal(id, TRACE);
	assert_int_equal(flags, 0);
	ops_trace_init(&t, "nonsense");
	ops_trace_init(&other, NULL);
	assert_string_not_equal(t.trace_id, other.trace_id);
	assert_int_equal(ops_trace_parse(t.traceparent, id, &flags), 0);
	assert_int_equal(flags, 1);
}

/* ---- router ---- */

static void handler(struct ops_http_req *req, void *arg)
{
	(void)req;
	(void)arg;
}

static void test_router(void **state)
{
	static const struct {
		unsigned methods;
		const char *pattern;
	} routes[] = {
		{OPS_GET, "/"},
		{OPS_GET, "/api/v1/label/{name}/values"},
		{OPS_GET, "/api/v2/silence/{id}"},
		{OPS_DELETE, "/api/v2/silence/{id}"},
		{OPS_GET, "/api/v2/silence/latest"},
		{OPS_POST, "/api/v2/silences"},
		{OPS_GET, "/files/{path...}"},
		{OPS_GET, "/v1/{kind}/{id}"},
	};
	static const struct {
		enum ops_http_method method;
		const char *path, *pattern, *capture; /* pattern NULL: none; capture "name=value" */
		unsigned allowed;
	} table[] = {
		{OPS_GET, "/", "/", NULL, OPS_GET | OPS_HEAD},
		{OPS_HEAD, "/", "/", NULL, OPS_GET | OPS_HEAD},
		{OPS_GET, "//", NULL, NULL, 0},
		{OPS_GET, "/api/v1/label/job/values", "/api/v1/label/{name}/values", "name=job",
			OPS_GET | OPS_HEAD},
		{OPS_GET, "/api/v1/label/a%2Fb%20c/values", "/api/v1/label/{name}/values",
			"name=a/b c", OPS_GET | OPS_HEAD},
		{OPS_GET, "/api/v1/label//values", NULL, NULL, 0},
		{OPS_GET, "/api/v2/silence/latest", "/api/v2/silence/latest", NULL,
			OPS_GET | OPS_HEAD | OPS_DELETE},
		{OPS_GET, "/api/v2/silence/x", "/api/v2/silence/{id}", "id=x",
			OPS_GET | OPS_HEAD | OPS_DELETE},
		{OPS_DELETE, "/api/v2/silence/latest", "/api/v2/silence/{id}", "id=latest",
			OPS_GET | OPS_HEAD | OPS_DELETE},
		{OPS_POST, "/api/v2/silence/x", NULL, NULL, OPS_GET | OPS_HEAD | OPS_DELETE},
		{OPS_GET, "/api/v2/silences", NULL, NULL, OPS_POST},
		{OPS_GET, "/api/v2/silences/", NULL, NULL, 0},
		{OPS_GET, "/api/v2", NULL, NULL, 0},
		{OPS_GET, "/files/a/b%2Fc/d", "/files/{path...}", "path=a/b/c/d",
			OPS_GET | OPS_HEAD},
		{OPS_GET, "/files/", "/files/{path...}", "path=", OPS_GET | OPS_HEAD},
		{OPS_GET, "/files", NULL, NULL, 0},
		{OPS_GET, "/v1/a/b", "/v1/{kind}/{id}", "kind=a", OPS_GET | OPS_HEAD},
		{OPS_GET, "/v1/a/b/c", NULL, NULL, 0},
	};
	struct ops_http_router r = {.n = 0};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(routes); i++) {
		OPS_CLEANUP(ops_freep) char *pattern = ops_xstrdup(routes[i].pattern);
		const struct ops_http_route route = {
			pattern, routes[i].methods, OPS_ROLE_VIEWER, handler, NULL};
		ops_http_router_add(&r, &route);
	}
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct ops_arena a;
		struct ops_http_match m;
		char capture[64] = "";
		ops_arena_init(&a);
		assert_int_equal(
			ops_http_router_match(&r, &a, table[i].path, table[i].method, &m), 0);
		if (m.route != NULL && m.ncaptures > 0)
			snprintf(capture, sizeof(capture), "%s=%s", m.captures[0].name,
				m.captures[0].value);
		if (!ops_str_eq(m.route != NULL ? m.route->pattern : NULL, table[i].pattern) ||
			m.allowed != table[i].allowed ||
			strcmp(capture, table[i].capture != NULL ? table[i].capture : "") != 0)
			fail_msg("%s: %s %s %u", table[i].path,
				m.route != NULL ? m.route->pattern : "-", capture, m.allowed);
		ops_arena_done(&a);
	}
	ops_http_router_done(&r);
}

static void test_router_refuses(void **state)
{
	static const char *const bad[] = {"", "a", "/a/..", "/a/./b", "/%2e%2e/b", "/%", "/%00",
		"/a/%zz",
		"/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29/30/"
		"31/32/33"};
	struct ops_http_router r = {.n = 0};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(bad); i++) {
		struct ops_arena a;
		struct ops_http_match m;
		ops_arena_init(&a);
		assert_int_equal(ops_http_router_match(&r, &a, bad[i], OPS_GET, &m), -EINVAL);
		ops_arena_done(&a);
	}
}

/* ---- guard ---- */

static struct ops_http_addr *enter(struct ops_http_guard *g, const char *text)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct ops_http_addr *a = NULL;
	const char *reason = NULL;
	bool is_v6 = inet_pton(AF_INET6, text, &v6.sin6_addr) == 1;

	assert_true(is_v6 || inet_pton(AF_INET, text, &v4.sin_addr) == 1);
	const struct sockaddr *sa =
		is_v6 ? (const struct sockaddr *)&v6 : (const struct sockaddr *)&v4;
	return ops_http_guard_enter(g, sa, &a, &reason) == 0 ? a : NULL;
}

static void test_guard(void **state)
{
	struct ops_http_guard g = {.max_connections = 5, .max_per_addr = 2, .per_second = 2};

	(void)state;
	ops_http_guard_init(&g);
	struct ops_http_addr *a = enter(&g, "192.0.2.1");
	assert_non_null(a);
	assert_ptr_equal(
		enter(&g, "::ffff:192.0.2.1"), a); /* the same host through a dual-stack socket */
	assert_null(enter(&g, "192.0.2.1"));
	struct ops_http_addr *b = enter(&g, "2001:db8::1");
	assert_string_equal(b->text, "2001:db8::1");
	assert_ptr_equal(enter(&g, "2001:db8::2"), b); /* the same /64 */
	assert_null(enter(&g, "2001:db8::3"));
	assert_non_null(enter(&g, "2001:db8:0:1::1"));
	assert_null(enter(&g, "192.0.2.9")); /* five in all */
	ops_http_guard_leave(&g, a);
	assert_non_null(enter(&g, "192.0.2.9"));

	int64_t now = ops_mono_ms() + 10000;
	int taken = 0;
	while (ops_http_guard_take(&g, a, now))
		taken++;
	assert_int_equal(taken, 4); /* a burst of twice the rate */
	assert_false(ops_http_guard_take(&g, a, now + 400));
	assert_true(ops_http_guard_take(&g, a, now + 1000));
	assert_true(ops_http_guard_take(&g, b, now));
	ops_http_guard_done(&g);
}

/* Many addresses pass by; the table does not keep them for ever, and never drops one with a
 * connection. */
static void test_guard_is_bounded(void **state)
{
	struct ops_http_guard g = {.max_connections = 10, .max_per_addr = 2, .per_second = 1};
	char text[64];

	(void)state;
	ops_http_guard_init(&g);
	struct ops_http_addr *stays = enter(&g, "198.51.100.1");
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.%u", i >> 16, (i >> 8) & 255, i & 255);
		ops_http_guard_leave(&g, enter(&g, text));
	}
	assert_ptr_equal(enter(&g, "198.51.100.1"), stays);
	assert_int_equal(g.connections, 2);
	ops_http_guard_done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_in_pieces),
		cmocka_unit_test(test_head_fields),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_params),
		cmocka_unit_test(test_too_many_params),
		cmocka_unit_test(test_traceparent),
		cmocka_unit_test(test_trace_goes_on),
		cmocka_unit_test(test_router),
		cmocka_unit_test(test_router_refuses),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guard_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
