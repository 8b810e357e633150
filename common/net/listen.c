/* SPDX-License-Identifier: Apache-2.0 */
#include "common/net/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/number.h"

enum {
	BACKLOG = 511
};

/* "host:port", "[v6]:port" or ":port" into host (may be "") and port. */
static int split_listen(const char *listen, char *host, size_t size, const char **ret_port)
{
	const char *colon = strrchr(listen, ':');
	int64_t port = 0;

	if (colon == NULL || ops_parse_i64(colon + 1, strlen(colon + 1), &port) != 0 || port < 0 ||
		port > 65535)
		return -EINVAL;
	size_t len = (size_t)(colon - listen);
	if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
		listen++;
		len -= 2;
	} else if (memchr(listen, ':', len) != NULL) {
		return -EINVAL;
	}
	if (len >= size)
		return -EINVAL;
	memcpy(host, listen, len);
	host[len] = '\0';
	*ret_port = colon + 1;
	return 0;
}

static int bind_one(const struct addrinfo *ai, int *ret_fd)
{
	int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, zero = 0;
	bool stream = ai->ai_socktype == SOCK_STREAM;

	if (fd < 0)
		return -errno;
	if (stream)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || (stream && listen(fd, BACKLOG) != 0)) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

/* IPv6 first for ":port": one socket that serves both families; a host without IPv6 falls back. */
static int bind_any(const char *host, const char *port, int type, int *ret_fd)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = type};
	static const int families[] = {AF_INET6, AF_INET};
	struct addrinfo *list = NULL;
	int rc = -EADDRNOTAVAIL;

	if (getaddrinfo(*host != '\0' ? host : NULL, port, &hints, &list) != 0)
		return -EADDRNOTAVAIL;
	for (size_t f = 0; f < OPS_LENGTH(families) && rc != 0; f++) {
		for (const struct addrinfo *ai = list; ai != NULL && rc != 0 && rc != -EADDRINUSE;
			ai = ai->ai_next) {
			if (ai->ai_family == families[f])
				rc = bind_one(ai, ret_fd);
		}
	}
	freeaddrinfo(list);
	return rc;
}

unsigned ops_listen_port(int fd)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return 0;
	memcpy(&v4, &ss, sizeof(v4));
	memcpy(&v6, &ss, sizeof(v6));
	return ntohs(ss.ss_family == AF_INET6 ? v6.sin6_port : v4.sin_port);
}

int ops_listen(const char *at, int type, int *ret_fd, struct ops_error *err)
{
	char host[256];
	const char *port = NULL;

	if (split_listen(at, host, sizeof(host), &port) != 0) {
		int rc = ops_error_set(
			err, -EINVAL, "could not understand listen address \"%s\"", at);
		ops_error_hint(err, "127.0.0.1:9093, :9093 or [::1]:9093");
		return rc;
	}
	int rc = bind_any(host, port, type, ret_fd);
	return rc == 0 ? 0
		       : ops_error_set(err, rc, "could not listen on %s: %s", at, strerror(-rc));
}
