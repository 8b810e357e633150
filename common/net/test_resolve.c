/* SPDX-License-Identifier: Apache-2.0 */
/* Names: numbers need no question, the hosts file no server, and a question under way leaves
 * nothing behind when its asker, the resolver and the loop go. LeakSanitizer is the judge of that.
 */
#include "common/net/resolve.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct answers {
	int n;
	size_t addresses;
	uint16_t port;
	bool failed;
};

static void on_answer(void *arg, const struct ops_addresses *addresses, const char *error)
{
	struct answers *a = arg;

	a->n++;
	a->addresses = addresses->n;
	a->failed = error != NULL;
	if (addresses->n > 0 && addresses->items[0].ss_family == AF_INET)
		a->port = ntohs(
			((const struct sockaddr_in *)(const void *)&addresses->items[0])->sin_port);
}

static void numbers_are_answered_at_once(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "::1", "192.0.2.7"};
	struct ops_loop *loop = ops_loop_new();
	struct ops_resolver *r = ops_resolver_new(loop);

	(void)state;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct answers a = {.n = 0};
		struct ops_resolving *q;
		ops_resolve(r, hosts[i], 9100, on_answer, &a, &q);
		assert_null(q);
		assert_int_equal(a.n, 1);
		assert_int_equal(a.addresses, 1);
		assert_false(a.failed);
		if (i != 1)
			assert_int_equal(a.port, 9100);
	}
	ops_resolver_free(r);
	ops_loop_free(loop);
}

static void a_question_under_way_goes_with_the_loop(void **state)
{
	struct ops_loop *loop = ops_loop_new();
	struct ops_resolver *r = ops_resolver_new(loop);
	struct answers a[3] = {{.n = 0}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct ops_resolving *q;
		ops_resolve(r, "nobody.invalid", 80, on_answer, &a[i], &q);
		ops_resolve_cancel(q);
	}
	ops_resolver_free(r);
	ops_loop_free(loop);
	for (size_t i = 0; i < 3; i++)
		assert_true(
			a[i].n == 0 || a[i].failed); /* without any name server it fails at once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_answered_at_once),
		cmocka_unit_test(a_question_under_way_goes_with_the_loop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
