/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are tried as the resolver of the C library tries them: with at least `ndots` dots the name
 * itself comes first, else the search list; a trailing dot means "as it is". Servers are asked one
 * after the other, twice each; only "no error" and "no such name" count as answers. A truncated
 * answer is asked for again over TCP. The socket is connected, so that only its server is heard,
 * and ids and ports are random.
 *
 * A name server may be written with a port, which the C library does not know: 127.0.0.1:5353.
 */
#include "services/collector/discovery/dns_lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	SERVERS_MAX = 8,
	NAMES_MAX = 8,
	TRIES = 2,
	WAIT_MS = 3000,
	MESSAGE_MAX = 65535
};

struct server {
	struct sockaddr_storage addr;
	socklen_t len;
};

struct col_dns_lookup {
	struct ops_loop *loop;
	struct server servers[SERVERS_MAX];
	size_t nservers;
	char names[NAMES_MAX][COL_DNS_NAME_MAX];
	size_t nnames, name; /* the one that is asked for */
	unsigned attempt;    /* server number and try */
	uint16_t type;
	int fd;
	bool tcp, connected;
	struct ops_watch *watch;
	struct ops_timer *timer;
	uint8_t query[2 + COL_DNS_QUERY_MAX]; /* with its length before it, for TCP */
	size_t query_len;
	uint8_t *in; /* TCP */
	size_t in_len;
	char error[160];
	void (*fn)(void *arg, const struct col_dns_answer *answer, const char *error);
	void *arg;
};

/* ---- resolv.conf ---- */

static void add_server(struct col_dns_lookup *l, const char *text)
{
	struct server *s = &l->servers[l->nservers];
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(53)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(53)};
	char host[64];
	uint64_t port = 53;
	snprintf(host, sizeof(host), "%.63s", text);
	char *colon = strchr(host, ':');
	if (colon != NULL && strchr(colon + 1, ':') == NULL &&
		ops_parse_u64(colon + 1, strlen(colon + 1), &port) == 0 && port <= 65535) {
		*colon = '\0';
		v4.sin_port = htons((uint16_t)port);
	}
	if (l->nservers == SERVERS_MAX) {
		return;
	}
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
		memcpy(&s->addr, &v4, sizeof(v4));
		s->len = sizeof(v4);
		l->nservers++;
	} else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
		memcpy(&s->addr, &v6, sizeof(v6));
		s->len = sizeof(v6);
		l->nservers++;
	}
}

static void add_name(struct col_dns_lookup *l, const char *name, const char *domain)
{
	if (l->nnames < NAMES_MAX) {
		snprintf(l->names[l->nnames], COL_DNS_NAME_MAX, "%.126s%s%.126s", name,
			domain[0] != '\0' ? "." : "", domain);
		l->nnames++;
	}
}

struct resolv {
	char search[NAMES_MAX][COL_DNS_NAME_MAX];
	size_t nsearch;
	uint64_t ndots;
};

static void read_option(struct resolv *to, const char *word)
{
	if (ops_str_starts(word, "ndots:")) {
		(void)!ops_parse_u64(word + 6, strlen(word + 6), &to->ndots);
	}
}

static void read_line(struct col_dns_lookup *l, struct resolv *to, char *line)
{
	char *rest = NULL;
	const char *key = strtok_r(line, " \t", &rest);
	if (key == NULL) {
		return;
	}
	bool search = strcmp(key, "search") == 0 || strcmp(key, "domain") == 0;
	to->nsearch = search ? 0 : to->nsearch;
	for (const char *w = strtok_r(NULL, " \t", &rest); w != NULL;
		w = strtok_r(NULL, " \t", &rest)) {
		if (strcmp(key, "nameserver") == 0) {
			add_server(l, w);
		} else if (search && to->nsearch < NAMES_MAX - 1) {
			snprintf(to->search[to->nsearch++], COL_DNS_NAME_MAX, "%.255s", w);
		} else if (strcmp(key, "options") == 0) {
			read_option(to, w);
		}
	}
}

static void read_resolv(struct col_dns_lookup *l, struct resolv *to)
{
	const char *path = getenv("OPS_RESOLV_CONF");
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	char *rest = NULL;
	*to = (struct resolv){.ndots = 1};
	if (ops_file_read(path != NULL ? path : "/etc/resolv.conf", 65536, &text) == 0 &&
		text.data != NULL) {
		for (char *line = strtok_r(text.data, "\r\n", &rest); line != NULL;
			line = strtok_r(NULL, "\r\n", &rest)) {
			read_line(l, to, line);
		}
	}
	if (l->nservers == 0) {
		add_server(l, "127.0.0.1");
	}
}

static void make_names(struct col_dns_lookup *l, const struct resolv *conf, const char *name)
{
	uint64_t dots = 0;
	for (const char *s = name; *s != '\0'; s++) {
		dots += *s == '.';
	}
	bool first = dots >= conf->ndots || ops_str_ends(name, ".");
	if (first) {
		add_name(l, name, "");
	}
	for (size_t i = 0; i < conf->nsearch && !ops_str_ends(name, "."); i++) {
		add_name(l, name, conf->search[i]);
	}
	if (!first) {
		add_name(l, name, "");
	}
}

/* ---- one question ---- */

static void ask(struct col_dns_lookup *l);

static void hang_up(struct col_dns_lookup *l)
{
	ops_watch_free(l->watch);
	l->watch = NULL;
	ops_closep(&l->fd);
	free(l->in);
	l->in = NULL;
	l->in_len = 0;
}

static void lookup_free(void *arg)
{
	struct col_dns_lookup *l = arg;
	hang_up(l);
	ops_timer_free(l->timer);
	free(l);
}

void col_dns_lookup_cancel(struct col_dns_lookup *l)
{
	if (l != NULL) {
		lookup_free(l);
	}
}

static void finish(struct col_dns_lookup *l, const struct col_dns_answer *answer)
{
	hang_up(l);
	l->fn(l->arg, answer, answer != NULL ? NULL : l->error);
	ops_timer_stop(l->timer);
	ops_loop_defer(l->loop, lookup_free, l);
}

/* The same question to the next server. */
static void next_try(struct col_dns_lookup *l, const char *why)
{
	hang_up(l);
	snprintf(l->error, sizeof(l->error), "%.100s: %.50s", l->names[l->name], why);
	l->tcp = false;
	l->attempt++;
	if (l->attempt == TRIES * l->nservers) {
		finish(l, NULL);
		return;
	}
	ask(l);
}

static void next_name(struct col_dns_lookup *l, const struct col_dns_answer *answer)
{
	if (l->name + 1 == l->nnames) {
		finish(l, answer);
		return;
	}
	hang_up(l);
	l->name++;
	l->attempt = 0;
	l->tcp = false;
	ask(l);
}

static void take(struct col_dns_lookup *l, const uint8_t *data, size_t len)
{
	struct col_dns_answer answer;
	int r = col_dns_parse(data, len, l->query + 2, l->query_len, &answer);
	if (r == -ENOMSG) {
		return; /* somebody else's; ours may still come */
	}
	if (r != 0) {
		next_try(l, "a name server sent a broken answer");
		return;
	}
	if (answer.truncated && !l->tcp) {
		hang_up(l);
		l->tcp = true;
		ask(l);
	} else if (answer.rcode != 0 && answer.rcode != COL_DNS_NXDOMAIN) {
		char why[64];
		snprintf(why, sizeof(why), "a name server answered code %d", answer.rcode);
		next_try(l, why);
	} else if (answer.n == 0) {
		next_name(l, &answer);
	} else {
		finish(l, &answer);
	}
	col_dns_answer_done(&answer);
}

static void on_udp(struct col_dns_lookup *l)
{
	uint8_t data[4096];
	ssize_t n = recv(l->fd, data, sizeof(data), 0);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		next_try(l, strerror(errno));
	} else if (n > 0) {
		take(l, data, (size_t)n);
	}
}

static void on_tcp(struct col_dns_lookup *l, unsigned what)
{
	if ((what & OPS_WRITABLE) != 0 && !l->connected) {
		size_t len = 2 + l->query_len;
		if (send(l->fd, l->query, len, MSG_NOSIGNAL) != (ssize_t)len) {
			next_try(l, strerror(errno));
			return;
		}
		l->connected = true;
		ops_watch_set(l->watch, OPS_READABLE);
		return;
	}
	ssize_t n = recv(l->fd, l->in + l->in_len, 2 + MESSAGE_MAX - l->in_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	if (n <= 0) {
		next_try(l, n < 0 ? strerror(errno) : "a name server hung up");
		return;
	}
	l->in_len += (size_t)n;
	size_t wanted = l->in_len >= 2 ? (size_t)l->in[0] << 8 | l->in[1] : SIZE_MAX;
	if (wanted != SIZE_MAX && l->in_len >= 2 + wanted) {
		take(l, l->in + 2, wanted);
	}
}

static void on_ready(int fd, unsigned what, void *arg)
{
	struct col_dns_lookup *l = arg;
	(void)fd;
	if (l->tcp) {
		on_tcp(l, what);
	} else {
		on_udp(l);
	}
}

static void on_timeout(void *arg)
{
	struct col_dns_lookup *l = arg;
	if (l->nservers == 0 || l->query_len == 0) {
		finish(l, NULL); /* what was wrong from the start */
		return;
	}
	next_try(l, "no answer in time");
}

/* A socket for this try, connected or connecting. */
static int dial(struct col_dns_lookup *l)
{
	const struct server *s = &l->servers[l->attempt % l->nservers];
	int type = (l->tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	l->fd = socket(s->addr.ss_family, type, 0);
	if (l->fd < 0) {
		return -errno;
	}
	const struct sockaddr *addr = (const struct sockaddr *)&s->addr;
	return connect(l->fd, addr, s->len) == 0 || errno == EINPROGRESS ? 0 : -errno;
}

/* What fails at once is found out by the timer, so that fn is never called from the start. */
static void ask(struct col_dns_lookup *l)
{
	uint16_t id = (uint16_t)ops_random_u64();
	l->connected = false;
	l->query_len = 0;
	if (col_dns_query(l->names[l->name], l->type, id, l->query + 2, &l->query_len) != 0) {
		snprintf(l->error, sizeof(l->error), "\"%.100s\" is not a name", l->names[l->name]);
		ops_timer_start(l->timer, 0);
		return;
	}
	l->query[0] = (uint8_t)(l->query_len >> 8);
	l->query[1] = (uint8_t)l->query_len;
	int r = dial(l);
	if (r == 0 && !l->tcp &&
		send(l->fd, l->query + 2, l->query_len, MSG_NOSIGNAL) != (ssize_t)l->query_len) {
		r = -errno;
	}
	if (r != 0) {
		ops_timer_start(l->timer, 0);
		return;
	}
	if (l->tcp) {
		l->in = ops_xmalloc(2 + MESSAGE_MAX);
		l->in_len = 0;
	}
	l->watch = ops_watch_new(l->loop, l->fd, l->tcp ? OPS_WRITABLE : OPS_READABLE, on_ready, l);
	ops_timer_start(l->timer, WAIT_MS);
}

struct col_dns_lookup *col_dns_lookup_start(struct ops_loop *loop, const char *name, uint16_t type,
	void (*fn)(void *arg, const struct col_dns_answer *answer, const char *error), void *arg)
{
	struct col_dns_lookup *l = ops_xcalloc(1, sizeof(*l));
	struct resolv conf;
	l->loop = loop;
	l->type = type;
	l->fd = -1;
	l->fn = fn;
	l->arg = arg;
	l->timer = ops_timer_new(loop, on_timeout, l);
	read_resolv(l, &conf);
	make_names(l, &conf, name);
	ask(l);
	return l;
}
