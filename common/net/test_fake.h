/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server in a thread that does what a test says, and the result of a call against it. */
#include <pthread.h>

#include "common/base/strbuf.h"
#include "common/net/http_client.h"

struct ssl_st;

/* A listening socket whose connections run fn, one after another. */
struct fake {
	void (*fn)(struct fake *f, int fd);
	int fd;
	unsigned port;
	pthread_t thread;
	const char *arg; /* for fn */
	const char *dir; /* with server.pem and server.key */
	pthread_mutex_t lock;
	struct ops_strbuf seen; /* under lock */
};

/* Listens; fake_go starts the thread. */
void fake_start(struct fake *f, void (*fn)(struct fake *f, int fd), const char *arg);
void fake_go(struct fake *f);
void fake_stop(struct fake *f);
void note(struct fake *f, const char *text);
bool has_seen(struct fake *f, const char *text);
void put(int fd, const char *text);
/* NULL: the peer did not like it. */
struct ssl_st *tls_accept(struct fake *f, int fd);

struct result {
	struct ops_loop *loop; /* stopped by the answer */
	int calls;
	enum ops_http_outcome outcome;
	int code;
	char body[32], type[32], error[256];
	size_t len, wire_bytes;
	int64_t retry_after_ms, duration_ms;
};
void on_result(void *arg, const struct ops_http_response *res);
