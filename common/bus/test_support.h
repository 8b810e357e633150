/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Processes for the bus tests. The parent never calls nng (it forks); children open their sockets,
 * run a loop, and end by _exit: 0 when everything was as it should be.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/bus/bus.h"
#include "common/base/test_tempdir.h"

struct test_ports {
	char pub_url[64], replay_url[64];
	int pub_port, replay_port;
};

/* Below the range that outgoing connections take theirs from: a port that is free now stays so. */
static inline int test_free_port(void)
{
	for (;;) {
		int port = 20000 + (int)(ops_random_u64() % 12000);
		struct sockaddr_in a = {.sin_family = AF_INET,
			.sin_port = htons((uint16_t)port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int fd = socket(AF_INET, SOCK_STREAM, 0);

		ops_assert(fd >= 0);
		bool is_free = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
		close(fd);
		if (is_free)
			return port;
	}
}

static inline struct test_ports test_make_ports(const char *scheme)
{
	struct test_ports p = {.pub_port = test_free_port()};

	do
		p.replay_port = test_free_port();
	while (p.replay_port == p.pub_port);
	snprintf(p.pub_url, sizeof(p.pub_url), "%s://127.0.0.1:%d", scheme, p.pub_port);
	snprintf(p.replay_url, sizeof(p.replay_url), "%s://127.0.0.1:%d", scheme, p.replay_port);
	return p;
}

static inline pid_t test_spawn(void (*fn)(const void *arg), const void *arg)
{
	fflush(NULL);
	pid_t child = fork();

	ops_assert(child >= 0);
	if (child == 0) {
		fn(arg);
		_exit(99); /* children end themselves */
	}
	return child;
}

/* Exit code, or minus the signal. */
static inline int test_wait(pid_t child)
{
	int status = 0;

	ops_assert(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int test_kill(pid_t child)
{
	kill(child, SIGCONT);
	kill(child, SIGKILL);
	return test_wait(child);
}

/* The parent writes the key before children load it. */
static inline void test_write_key(const char *dir, char fill)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/key-%c", dir, fill);
	char text[41];

	memset(text, fill, 40);
	text[40] = '\n';
	FILE *f = fopen(path, "w");
	ops_assert(f != NULL && fwrite(text, 1, 41, f) == 41 && fclose(f) == 0);
}

static inline struct ops_bus_key *test_key(const char *dir, char fill)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/key-%c", dir, fill);
	struct ops_bus_key *key = NULL;

	ops_assert(ops_bus_key_load(path, &key, NULL) == 0);
	return key;
}

/* The child stops its loop after this long, whatever happens. */
static inline void test_stop_loop(void *loop)
{
	ops_loop_stop(loop);
}

static inline struct ops_timer *test_stop_after(struct ops_loop *loop, int64_t delay_ms)
{
	struct ops_timer *t = ops_timer_new(loop, test_stop_loop, loop);

	ops_timer_start(t, delay_ms);
	return t;
}
