/* SPDX-License-Identifier: Apache-2.0 */
/* nng waits for its callbacks: one that does not come back stands for the races that it loses
 * itself. */
#include "common/bus/socket_close.h"

#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

enum {
	LONG_MS = 60000,
	SHORT_MS = 20
};

struct pair {
	nng_socket pub, sub;
	sem_t connected, leaving, may_leave;
};

static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct pair *p = arg;

	(void)pipe;
	if (event == NNG_PIPE_EV_ADD_POST) {
		sem_post(&p->connected);
		return;
	}
	sem_post(&p->leaving);
	sem_wait(&p->may_leave);
}

static int connect_pair(void **state)
{
	static struct pair p;

	sem_init(&p.connected, 0, 0);
	sem_init(&p.leaving, 0, 0);
	sem_init(&p.may_leave, 0, 0);
	assert_int_equal(nng_pub0_open(&p.pub), 0);
	assert_int_equal(nng_sub0_open(&p.sub), 0);
	assert_int_equal(nng_pipe_notify(p.sub, NNG_PIPE_EV_ADD_POST, on_pipe, &p), 0);
	assert_int_equal(nng_pipe_notify(p.sub, NNG_PIPE_EV_REM_POST, on_pipe, &p), 0);
	assert_int_equal(nng_listen(p.pub, "inproc://socket_close", NULL, 0), 0);
	assert_int_equal(nng_dial(p.sub, "inproc://socket_close", NULL, 0), 0);
	sem_wait(&p.connected);
	*state = &p;
	return 0;
}

static void a_close_that_ends_is_waited_for(void **state)
{
	struct pair *p = *state;

	sem_post(&p->may_leave);
	assert_true(ops_nng_close_within(p->sub, LONG_MS));
	assert_int_equal(nng_close(p->sub), NNG_ECLOSED);
	assert_true(ops_nng_close_within(p->pub, LONG_MS));
}

static void a_close_that_hangs_is_left_to_itself(void **state)
{
	struct pair *p = *state;

	assert_false(ops_nng_close_within(p->sub, SHORT_MS));
	sem_wait(&p->leaving); /* its callback does run, after the call gave up or before */
	sem_post(&p->may_leave);
	assert_true(ops_nng_close_within(p->pub, LONG_MS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_close_that_ends_is_waited_for, connect_pair),
		cmocka_unit_test_setup(a_close_that_hangs_is_left_to_itself, connect_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
