/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a scraper can cost: every target's body is asked for over a kept connection, in
 * slots of a fifth of a second as the collector does it, received into one buffer and discarded.
 *
 * usage: bench_null PORT TARGETS INTERVAL_MS ENCODING; a line on standard input is answered with
 * "SCRAPES BYTES", its end ends the program.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/def.h"
#include "common/base/number.h"

enum {
	SLOT_MS = 200,
	BUFFER = 1 << 20,
	EVENTS = 256
};

struct connection {
	int fd;
	bool busy;
	size_t missing; /* of the body; SIZE_MAX: its head has not come */
};

static struct connection *connections;
static size_t ntargets;
static int64_t interval_ms;
static const char *encoding;
static struct sockaddr_in address;
static int poller;
static char *buffer;
static uint64_t scrapes, bytes;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t number(const char *text)
{
	uint64_t v;
	if (ops_parse_u64(text, strlen(text), &v) != 0) {
		fprintf(stderr, "bench_null: \"%s\" is not a number\n", text);
		exit(2);
	}
	return v;
}

static void open_connection(size_t i)
{
	struct connection *c = &connections[i];
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
		fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0) {
		die("connect");
	}
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = i + 1};
	if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e) != 0) {
		die("epoll_ctl");
	}
}

static void ask(size_t i)
{
	struct connection *c = &connections[i];
	if (c->busy) {
		return;
	}
	if (c->fd < 0) {
		open_connection(i);
	}
	char head[256];
	int len = snprintf(head, sizeof(head),
		"GET /%zu HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: %s\r\n\r\n", i, encoding);
	if (send(c->fd, head, (size_t)len, MSG_NOSIGNAL) != len) {
		die("send");
	}
	c->busy = true;
	c->missing = SIZE_MAX;
}

/* How much of the n bytes belongs to the head, which comes whole. */
static size_t read_head(struct connection *c, size_t n)
{
	static const char name[] = "Content-Length: ";
	const char *end = memmem(buffer, n, "\r\n\r\n", 4);
	const char *length = memmem(buffer, n, name, sizeof(name) - 1);
	if (end == NULL || length == NULL) {
		fprintf(stderr, "bench_null: an answer without a length\n");
		exit(1);
	}
	length += sizeof(name) - 1;
	uint64_t v;
	if (ops_parse_u64(length, (size_t)((const char *)memchr(length, '\r', 32) - length), &v) !=
		0) {
		exit(1);
	}
	c->missing = (size_t)v;
	return (size_t)(end + 4 - buffer);
}

static void receive(struct connection *c)
{
	for (;;) {
		ssize_t got = recv(c->fd, buffer, BUFFER, 0);
		if (got < 0 && errno == EAGAIN) {
			return;
		}
		if (got <= 0) {
			die("recv");
		}
		size_t n = (size_t)got;
		bytes += n;
		n -= c->missing == SIZE_MAX ? read_head(c, n) : 0;
		c->missing -= OPS_MIN(n, c->missing);
		if (c->missing == 0) {
			c->busy = false;
			scrapes++;
			return;
		}
	}
}

static void answer(void)
{
	char line[64];
	if (read(0, line, sizeof(line)) <= 0) {
		exit(0);
	}
	printf("%llu %llu\n", (unsigned long long)scrapes, (unsigned long long)bytes);
	fflush(stdout);
}

static void wait_until(int64_t at_ms)
{
	struct epoll_event events[EVENTS];
	for (;;) {
		int64_t left = at_ms - ops_mono_ms();
		if (left <= 0) {
			return;
		}
		int n = epoll_wait(poller, events, EVENTS, (int)left);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == 0) {
				answer();
			} else {
				receive(&connections[events[i].data.u64 - 1]);
			}
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: bench_null PORT TARGETS INTERVAL_MS ENCODING\n");
		return 2;
	}
	address = (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)number(argv[1])),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ntargets = (size_t)number(argv[2]);
	interval_ms = (int64_t)number(argv[3]);
	encoding = argv[4];
	connections = ops_xcalloc(ntargets, sizeof(*connections));
	buffer = ops_xmalloc(BUFFER);
	poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0};
	if (poller < 0 || epoll_ctl(poller, EPOLL_CTL_ADD, 0, &e) != 0) {
		die("epoll");
	}
	for (size_t i = 0; i < ntargets; i++) {
		connections[i].fd = -1;
	}
	size_t slots = (size_t)OPS_MAX(interval_ms / SLOT_MS, (int64_t)1), slot = 0;
	for (int64_t at = ops_mono_ms();; at += SLOT_MS, slot = (slot + 1) % slots) {
		wait_until(at);
		for (size_t i = slot; i < ntargets; i += slots) {
			ask(i);
		}
	}
}
