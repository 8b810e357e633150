/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages byte for byte, and whole lookups against a name server on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"
#include "services/collector/discovery/dns_lookup.h"

/* ---- messages ---- */

/* The answer to query: flags, and records as they lie behind the question. */
static size_t make_answer(const uint8_t *query, size_t query_len, unsigned flags, unsigned count,
	const void *records, size_t records_len, uint8_t *out)
{
	size_t question = query_len - 11;
	memcpy(out, query, question);
	out[2] = (uint8_t)(flags >> 8);
	out[3] = (uint8_t)flags;
	out[6] = 0;
	out[7] = (uint8_t)count;
	out[11] = 0;
	if (records_len > 0) {
		memcpy(out + question, records, records_len);
	}
	return question + records_len;
}

#define A_RECORD "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x03"
#define CNAME_RECORD "\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x0c"
/* priority 1, weight 2, port 9100, web.<question> */
#define SRV_RECORD                                                                                 \
	"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0c\x00\x01\x00\x02\x23\x8c\x03web\xc0\x0c"
#define RING_RECORD "\xc0\x2a\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x01\x02\x03"
#define CUT_RECORD "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x10\x0a\x01"
#define BAD_HOST                                                                                   \
	"\xc0\x0c\x00\x21\x00\x01\x00\x00\x00\x3c\x00\x0c\x00\x01\x00\x02\x23\x8c\x03w/b\xc0\x0c"

static void test_messages(void **state)
{
	static const struct {
		uint16_t type;
		unsigned flags, count;
		const char *records;
		size_t len;
		int result, rcode;
		size_t n;
		const char *host;
		unsigned port;
	} rows[] = {
		{COL_DNS_A, 0x8180, 1, A_RECORD, sizeof(A_RECORD) - 1, 0, 0, 1, "10.1.2.3", 0},
		{COL_DNS_A, 0x8180, 2, CNAME_RECORD A_RECORD, sizeof(CNAME_RECORD A_RECORD) - 1, 0,
			0, 1, "10.1.2.3", 0},
		{COL_DNS_AAAA, 0x8180, 1, A_RECORD, sizeof(A_RECORD) - 1, 0, 0, 0, NULL, 0},
		{COL_DNS_SRV, 0x8180, 1, SRV_RECORD, sizeof(SRV_RECORD) - 1, 0, 0, 1,
			"web.a.example", 9100},
		{COL_DNS_SRV, 0x8180, 1, BAD_HOST, sizeof(BAD_HOST) - 1, 0, 0, 0, NULL, 0},
		{COL_DNS_A, 0x8183, 0, "", 0, 0, COL_DNS_NXDOMAIN, 0, NULL, 0},
		{COL_DNS_A, 0x8182, 0, "", 0, 0, 2, 0, NULL, 0},
		{COL_DNS_A, 0x0100, 0, "", 0, -ENOMSG, 0, 0, NULL, 0},
		{COL_DNS_A, 0x8180, 1, RING_RECORD, sizeof(RING_RECORD) - 1, -EBADMSG, 0, 0, NULL,
			0},
		{COL_DNS_A, 0x8180, 1, CUT_RECORD, sizeof(CUT_RECORD) - 1, -EBADMSG, 0, 0, NULL, 0},
		{COL_DNS_A, 0x8180, 2, A_RECORD, sizeof(A_RECORD) - 1, -EBADMSG, 0, 0, NULL, 0},
		{COL_DNS_A, 0x8380, 2, A_RECORD, sizeof(A_RECORD) - 1, 0, 0, 1, "10.1.2.3", 0},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		uint8_t query[COL_DNS_QUERY_MAX], data[COL_DNS_QUERY_MAX];
		size_t query_len = 0;
		struct col_dns_answer answer = {.n = 0};
		assert_int_equal(
			col_dns_query("A.example", rows[i].type, 77, query, &query_len), 0);
		size_t len = make_answer(query, query_len, rows[i].flags, rows[i].count,
			rows[i].records, rows[i].len, data);
		data[13] = 'a'; /* the case of a name does not matter */
		assert_int_equal(
			col_dns_parse(data, len, query, query_len, &answer), rows[i].result);
		if (rows[i].result != 0) {
			continue;
		}
		assert_int_equal(answer.rcode, rows[i].rcode);
		assert_int_equal(answer.n, rows[i].n);
		if (rows[i].n > 0) {
			assert_int_equal(strcasecmp(answer.records[0].host, rows[i].host), 0);
			assert_int_equal(answer.records[0].port, rows[i].port);
		}
		col_dns_answer_done(&answer);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		int result;
	} rows[] = {{"a", 0}, {"a.b.", 0}, {"", -EINVAL}, {".", -EINVAL}, {"a..b", -EINVAL},
		{"0123456789012345678901234567890123456789012345678901234567890123", -EINVAL}};
	uint8_t query[COL_DNS_QUERY_MAX];
	size_t len = 0;
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		assert_int_equal(
			col_dns_query(rows[i].name, COL_DNS_A, 1, query, &len), rows[i].result);
	}
}

/* ---- lookups ---- */

enum {
	GIVE_UP_MS = 30000
};

struct world {
	struct ops_loop *loop;
	struct ops_watch *udp, *tcp, *peer;
	struct ops_timer *timer;
	int udp_fd, tcp_fd, peer_fd;
	int questions, over_tcp;
	char *dir;
	char asked[4][64]; /* names of the first questions, in wire form without the first byte */
	/* the answer */
	char host[64], error[160];
	size_t n;
	bool done;
};

/* big.example: only over TCP; servfail.example: code 2; long.lab: one address; else: no such name.
 */
static size_t serve(struct world *w, const uint8_t *query, size_t len, bool tcp, uint8_t *out)
{
	const char *name = (const char *)query + 13;
	if (w->questions < 4) {
		snprintf(w->asked[w->questions], sizeof(w->asked[0]), "%s", name);
	}
	w->questions++;
	w->over_tcp += tcp;
	if (strncmp(name, "big", 3) == 0 && !tcp) {
		return make_answer(query, len, 0x8380, 0, "", 0, out);
	}
	if (strncmp(name, "servfail", 8) == 0) {
		return make_answer(query, len, 0x8182, 0, "", 0, out);
	}
	if (strncmp(name, "big", 3) == 0 || strcmp(name, "long\003lab") == 0) {
		return make_answer(query, len, 0x8180, 1, A_RECORD, sizeof(A_RECORD) - 1, out);
	}
	return make_answer(query, len, 0x8183, 0, "", 0, out);
}

static void on_udp(int fd, unsigned what, void *arg)
{
	struct world *w = arg;
	uint8_t in[COL_DNS_QUERY_MAX], out[COL_DNS_QUERY_MAX];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	(void)what;
	ssize_t n = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from, &from_len);
	assert_true(n > 20);
	size_t len = serve(w, in, (size_t)n, false, out);
	assert_int_equal(sendto(fd, out, len, 0, (struct sockaddr *)&from, from_len), len);
}

static void on_peer(int fd, unsigned what, void *arg)
{
	struct world *w = arg;
	uint8_t in[COL_DNS_QUERY_MAX], out[2 + COL_DNS_QUERY_MAX];
	(void)what;
	ssize_t n = recv(fd, in, sizeof(in), 0);
	if (n <= 0) {
		ops_watch_set(w->peer, 0);
		return;
	}
	size_t len = serve(w, in + 2, (size_t)n - 2, true, out + 2);
	out[0] = 0;
	out[1] = (uint8_t)len;
	assert_int_equal(send(fd, out, 1, MSG_NOSIGNAL), 1); /* in pieces */
	assert_int_equal(send(fd, out + 1, len + 1, MSG_NOSIGNAL), len + 1);
}

static void on_tcp(int fd, unsigned what, void *arg)
{
	struct world *w = arg;
	(void)what;
	w->peer_fd = accept(fd, NULL, NULL);
	assert_true(w->peer_fd >= 0);
	w->peer = ops_watch_new(w->loop, w->peer_fd, OPS_READABLE, on_peer, w);
}

static void give_up(void *arg)
{
	(void)arg;
	fail_msg("no answer");
}

static void world_init(struct world *w)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	char conf[128];
	*w = (struct world){.loop = ops_loop_new(), .peer_fd = -1};
	w->tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
	w->udp_fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(bind(w->tcp_fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(w->tcp_fd, 4), 0);
	assert_int_equal(getsockname(w->tcp_fd, (struct sockaddr *)&addr, &len), 0);
	if (bind(w->udp_fd, (struct sockaddr *)&addr, len) != 0) {
		skip(); /* somebody has the same number as UDP */
	}
	w->udp = ops_watch_new(w->loop, w->udp_fd, OPS_READABLE, on_udp, w);
	w->tcp = ops_watch_new(w->loop, w->tcp_fd, OPS_READABLE, on_tcp, w);
	w->timer = ops_timer_new(w->loop, give_up, w);
	w->dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(w->dir, "resolv.conf");
	int n = snprintf(conf, sizeof(conf),
		"# a comment\nnameserver 127.0.0.1:%u\nsearch one.lab lab\noptions ndots:2\n",
		ntohs(addr.sin_port));
	assert_int_equal(ops_file_write_atomic(path, conf, (size_t)n, 0600), 0);
	assert_int_equal(setenv("OPS_RESOLV_CONF", path, 1), 0);
}

static void world_done(struct world *w)
{
	tempdir_remove(w->dir);
	ops_watch_free(w->udp);
	ops_watch_free(w->tcp);
	ops_watch_free(w->peer);
	ops_timer_free(w->timer);
	close(w->udp_fd);
	close(w->tcp_fd);
	ops_closep(&w->peer_fd);
	ops_loop_free(w->loop);
}

static void on_answer(void *arg, const struct col_dns_answer *answer, const char *error)
{
	struct world *w = arg;
	assert_false(w->done);
	w->done = true;
	if (answer != NULL) {
		w->n = answer->n;
		snprintf(w->host, sizeof(w->host), "%s",
			answer->n > 0 ? answer->records[0].host : "");
	} else {
		snprintf(w->error, sizeof(w->error), "%s", error);
	}
	ops_loop_stop(w->loop);
}

static void look_up(struct world *w, const char *name)
{
	struct col_dns_lookup *l = col_dns_lookup_start(w->loop, name, COL_DNS_A, on_answer, w);
	assert_non_null(l);
	assert_false(w->done);
	ops_timer_start(w->timer, GIVE_UP_MS);
	ops_loop_run(w->loop);
	assert_true(w->done);
}

static void test_lookups(void **state)
{
	static const struct {
		const char *name, *host, *error;
		int questions, over_tcp;
	} rows[] = {
		{"long", "10.1.2.3", "", 2, 0}, /* long.one.lab, long.lab */
		{"a.b.c", "", "", 3, 0},	/* as it is first, then the search list */
		{"absolute.", "", "", 1, 0},
		{"big.x.y", "10.1.2.3", "", 2, 1},
		{"servfail.x.y", "", "servfail.x.y: a name server answered code 2", 2, 0},
		{"a..b", "", "\"a..b\" is not a name", 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct world w;
		world_init(&w);
		look_up(&w, rows[i].name);
		assert_string_equal(w.host, rows[i].host);
		assert_string_equal(w.error, rows[i].error);
		assert_int_equal(w.questions, rows[i].questions);
		assert_int_equal(w.over_tcp, rows[i].over_tcp);
		world_done(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_lookups),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
