/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A server with a few handlers on the test's thread, and a client on another one with blocking
 * sockets.
 */
#include "common/base/strbuf.h"
#include "common/net/http_server.h"

enum {
	READ_MS = 3000
};

struct world {
	struct ops_loop *loop;
	struct ops_http_server *server;
	struct ops_timer *later;
	struct ops_http_req *held;
	int aborts;
	size_t swallowed, body_pieces; /* of /swallow: bytes, and in how many pieces they came */
	size_t pieces, most_waiting;   /* of /pieces: to come, and bytes that ever waited at once */
};

struct client {
	void (*fn)(struct client *c);
	unsigned port;
	int done_fd;
	struct world *world;
	struct ops_strbuf got; /* complaints; empty = good */
};

/* /echo /item/{name} /write (operator) /open (none) /big /json /late (80 ms) /watched (never,
 * reports abort)
 * /swallow (counts its body; refuses one that begins with "no")
 * /pieces/{n} (a reply in n pieces of 100,000 bytes) */
void open_world(struct world *w, const struct ops_http_config *cfg);
void close_world(struct world *w);
/* Runs fn on its own thread while the loop serves, then fails the test when c->got is not empty. */
void run_client(struct world *w, struct client *c);
/* Client side: reports go to c->got. */
void complain(struct client *c, const char *what, const char *text);

int dial(unsigned port);
void say(int fd, const void *data, size_t len);
void says(int fd, const char *text);
/* Until the peer closes, or nothing comes for ms. True: closed. */
bool listen_until_close(int fd, struct ops_strbuf *out, int ms);
/* One request on its own connection; the whole answer. */
char *ask(unsigned port, const char *request);
size_t count(const char *text, const char *what);
void sleep_ms(int ms);
