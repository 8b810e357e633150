/* SPDX-License-Identifier: Apache-2.0 */
/* The waiter and the thread share one small record; who leaves last frees it. */
#include "common/bus/socket_close.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/cond.h"
#include "common/base/text.h"

struct closing {
	nng_socket socket;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool closed, abandoned;
};

static void free_closing(struct closing *c)
{
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->over);
	free(c);
}

static void *close_socket(void *arg)
{
	struct closing *c = arg;

	nng_close(c->socket);
	pthread_mutex_lock(&c->lock);
	c->closed = true;
	bool last = c->abandoned;
	pthread_cond_signal(&c->over);
	pthread_mutex_unlock(&c->lock);
	if (last)
		free_closing(c);
	return NULL;
}

static struct closing *new_closing(nng_socket s)
{
	struct closing *c = ops_xcalloc(1, sizeof(*c));

	c->socket = s;
	pthread_mutex_init(&c->lock, NULL);
	ops_cond_init(&c->over);
	return c;
}

static int start_detached(struct closing *c)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = pthread_create(&thread, &attr, close_socket, c);
	pthread_attr_destroy(&attr);
	return rc;
}

static bool wait_closed(struct closing *c, int limit_ms)
{
	pthread_mutex_lock(&c->lock);
	while (!c->closed && ops_cond_wait_ms(&c->over, &c->lock, limit_ms))
		continue;
	bool closed = c->closed;
	c->abandoned = !closed;
	pthread_mutex_unlock(&c->lock);
	return closed;
}

bool ops_nng_close_within(nng_socket s, int limit_ms)
{
	struct closing *c = new_closing(s);

	if (start_detached(c) != 0) { /* no thread to be had: as nng means it */
		nng_close(s);
		free_closing(c);
		return true;
	}
	if (!wait_closed(c, limit_ms))
		return false;
	free_closing(c);
	return true;
}
