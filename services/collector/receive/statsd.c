/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams are read in batches (recvmmsg) and at most so many in a turn of the loop: a flood of
 * them is dropped by the kernel, whose count of drops is not ours to see, and delays nobody else. A
 * TCP sender that sends no line end within the longest line is cut off.
 *
 * The protocol has no authentication: the door is closed unless configured, and belongs on loopback
 * or a network of its own. What a forged line can do is bounded by the table: numbers of the job
 * `statsd`, at most so many series.
 */
#include "services/collector/receive/statsd.h"

#include <errno.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/net/listen.h"
#include "services/collector/config.h"
#include "services/collector/receive/feed.h"

enum {
	DATAGRAM_BYTES = 65536,
	BATCH = 16,
	BATCHES_PER_TURN = 8,
	LINE_BYTES = 8192,
	MAX_CONNECTIONS = 256,
	RECEIVE_BUFFER_BYTES = 8 << 20
};

static struct ops_metric publish_failures_total = OPS_COUNTER("ops_statsd_publish_failures_total",
	"Times that the sums could not be published; the lines stay in the next ones.");
static struct ops_metric lines_total =
	OPS_COUNTER("ops_statsd_lines_total", "Lines that were added up.");
static struct ops_metric refused_total =
	OPS_COUNTER("ops_statsd_lines_refused_total", "Lines that were not, and why.", "reason");
static struct ops_metric packets_total =
	OPS_COUNTER("ops_statsd_packets_total", "Datagrams received.");
static struct ops_metric connections_gauge =
	OPS_GAUGE("ops_statsd_connections", "TCP connections of senders.");
static struct ops_metric series_gauge =
	OPS_GAUGE("ops_statsd_series", "Series that the lines add up to.");

struct sender {
	LIST_ENTRY(sender) link;
	struct col_statsd *owner;
	int fd;
	struct ops_watch *watch;
	size_t len;
	char line[LINE_BYTES];
};

struct col_statsd {
	struct ops_loop *loop;
	struct col_statsd_config cfg;
	struct col_statsd_mapping *mapping;
	struct col_statsd_table *table;
	struct col_limits limits; /* none: the table has its own */
	struct col_feed *feed;
	struct ops_timer *tick;
	int udp, tcp;
	struct ops_watch *udp_watch, *tcp_watch;
	LIST_HEAD(sender_list, sender) senders;
	size_t nsenders;
	char *buffers; /* BATCH datagrams */
};

/* ---- lines ---- */

static void take_line(struct col_statsd *s, const char *line, size_t len, int64_t now_ms)
{
	struct col_statsd_event e;
	const char *why = "line";
	if (len > 0 && line[len - 1] == '\r') {
		len--;
	}
	if (len == 0) {
		return;
	}
	int r = col_statsd_parse(line, len, &e, &why);
	if (r == 1) {
		ops_metric_add(&refused_total, 1, "event");
		return;
	}
	if (r == 0) {
		r = col_statsd_table_add(s->table, s->mapping, &e, now_ms, &why);
	}
	if (r == 0) {
		ops_metric_add(&lines_total, 1);
	} else {
		ops_metric_add(&refused_total, 1, r == 1 ? "dropped" : why);
	}
}

/* Returns how many bytes were whole lines; a rest without an end is a line when last is set. */
static size_t take_lines(struct col_statsd *s, const char *data, size_t len, bool last)
{
	int64_t now = ops_now_ms();
	size_t at = 0;
	while (at < len) {
		const char *end = memchr(data + at, '\n', len - at);
		if (end == NULL && !last) {
			return at;
		}
		size_t n = end != NULL ? (size_t)(end - data) - at : len - at;
		take_line(s, data + at, n, now);
		at += n + (end != NULL);
	}
	return at;
}

/* ---- UDP ---- */

static void on_datagrams(int fd, unsigned what, void *arg)
{
	struct col_statsd *s = arg;
	struct iovec parts[BATCH];
	struct mmsghdr heads[BATCH];

	(void)what;
	for (int turn = 0; turn < BATCHES_PER_TURN; turn++) {
		memset(heads, 0, sizeof(heads));
		for (size_t i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){s->buffers + i * DATAGRAM_BYTES, DATAGRAM_BYTES};
			heads[i].msg_hdr.msg_iov = &parts[i];
			heads[i].msg_hdr.msg_iovlen = 1;
		}
		int n = recvmmsg(fd, heads, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			(void)take_lines(s, parts[i].iov_base, heads[i].msg_len, true);
		}
		ops_metric_add(&packets_total, n > 0 ? n : 0);
		if (n < BATCH) {
			return;
		}
	}
}

/* ---- TCP ---- */

static void sender_free(struct sender *c)
{
	LIST_REMOVE(c, link);
	c->owner->nsenders--;
	ops_watch_free(c->watch);
	close(c->fd);
	free(c);
}

static void on_bytes(int fd, unsigned what, void *arg)
{
	struct sender *c = arg;
	struct col_statsd *s = c->owner;

	(void)what;
	ssize_t n = recv(fd, c->line + c->len, sizeof(c->line) - c->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	c->len += n > 0 ? (size_t)n : 0;
	size_t used = take_lines(s, c->line, c->len, n <= 0);
	memmove(c->line, c->line + used, c->len - used);
	c->len -= used;
	if (n > 0 && c->len == sizeof(c->line)) {
		ops_metric_add(&refused_total, 1, "too_long");
		n = 0;
	}
	if (n <= 0) {
		sender_free(c);
	}
}

static void on_connection(int fd, unsigned what, void *arg)
{
	struct col_statsd *s = arg;

	(void)what;
	int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (got < 0) {
		return;
	}
	if (s->nsenders >= MAX_CONNECTIONS) {
		ops_metric_add(&refused_total, 1, "connections");
		close(got);
		return;
	}
	struct sender *c = ops_xcalloc(1, sizeof(*c));
	c->owner = s;
	c->fd = got;
	c->watch = ops_watch_new(s->loop, got, OPS_READABLE, on_bytes, c);
	LIST_INSERT_HEAD(&s->senders, c, link);
	s->nsenders++;
}

/* ---- publishing ---- */

static void on_tick(void *arg)
{
	struct col_statsd *s = arg;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct ops_error err;
	int64_t now = ops_now_ms();

	ops_timer_start(s->tick, s->cfg.interval_ms);
	col_statsd_table_expose(s->table, now, &text);
	const struct ops_exposition_text body = {ops_strbuf_text(&text), text.len};
	if (col_feed_publish(s->feed, body, now, &err) != 0) {
		ops_metric_add(&publish_failures_total, 1);
		log_warn("could not publish what StatsD lines add up to",
			F_STR("error", err.message));
	}
	ops_strbuf_done(&text);
	ops_metric_set(&series_gauge, (double)col_statsd_table_series(s->table));
	ops_metric_set(&connections_gauge, (double)s->nsenders);
}

/* ---- sockets ---- */

static int open_sockets(struct col_statsd *s, struct ops_error *err)
{
	const char *udp = s->cfg.listen_udp, *tcp = s->cfg.listen_tcp;
	if (udp != NULL && udp[0] != '\0') {
		int r = ops_listen(udp, SOCK_DGRAM, &s->udp, err);
		if (r != 0) {
			return r;
		}
		static const int room = RECEIVE_BUFFER_BYTES;
		/* The kernel caps it at its own limit, which is fine. */
		(void)setsockopt(s->udp, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
		s->buffers = ops_xcalloc(BATCH, DATAGRAM_BYTES);
		s->udp_watch = ops_watch_new(s->loop, s->udp, OPS_READABLE, on_datagrams, s);
	}
	if (tcp != NULL && tcp[0] != '\0') {
		int r = ops_listen(tcp, SOCK_STREAM, &s->tcp, err);
		if (r != 0) {
			return r;
		}
		s->tcp_watch = ops_watch_new(s->loop, s->tcp, OPS_READABLE, on_connection, s);
	}
	return 0;
}

unsigned col_statsd_udp_port(const struct col_statsd *s)
{
	return s->udp >= 0 ? ops_listen_port(s->udp) : 0;
}

unsigned col_statsd_tcp_port(const struct col_statsd *s)
{
	return s->tcp >= 0 ? ops_listen_port(s->tcp) : 0;
}

/* ---- life ---- */

static void log_notes(const struct ops_conf_warnings *w)
{
	for (size_t i = 0; i < w->n; i++) {
		log_warn("configuration", F_STR("note", w->items[i]));
	}
}

int col_statsd_reload(struct col_statsd *s, const char *mapping_file, struct ops_error *err)
{
	struct ops_arena a;
	struct col_statsd_mapping *next = NULL;
	ops_arena_init(&a);
	struct ops_conf_warnings notes = {.arena = &a};
	int r = col_statsd_mapping_load(mapping_file, &notes, &next, err);
	log_notes(&notes);
	ops_arena_done(&a);
	if (r == 0) {
		col_statsd_mapping_free(s->mapping);
		s->mapping = next;
	}
	return r;
}

int col_statsd_open(struct ops_loop *loop, struct col_publisher *publisher,
	const struct col_statsd_config *cfg, struct col_statsd **ret, struct ops_error *err)
{
	struct col_statsd *s = ops_xcalloc(1, sizeof(*s));
	s->loop = loop;
	s->cfg = *cfg;
	s->udp = s->tcp = -1;
	s->table = col_statsd_table_new(&cfg->limits);
	LIST_INIT(&s->senders);
	struct ops_labels *labels = ops_labels_of("job", "statsd", "instance", cfg->instance, NULL);
	s->feed = col_feed_new(publisher, labels, "statsd", &s->limits);
	ops_labels_unref(labels);
	int r = col_statsd_reload(s, cfg->mapping_file, err);
	r = r != 0 ? r : open_sockets(s, err);
	if (r != 0) {
		col_statsd_close(s);
		return r;
	}
	ops_metric_register(&lines_total);
	ops_metric_register(&packets_total);
	ops_metric_register(&publish_failures_total);
	ops_metric_register(&connections_gauge);
	ops_metric_register(&series_gauge);
	s->tick = ops_timer_new(loop, on_tick, s);
	ops_timer_start(s->tick, cfg->interval_ms);
	*ret = s;
	return 0;
}

void col_statsd_close(struct col_statsd *s)
{
	if (s == NULL) {
		return;
	}
	for (struct sender *c = LIST_FIRST(&s->senders), *next; c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		sender_free(c);
	}
	ops_timer_free(s->tick);
	if (s->udp_watch != NULL) {
		ops_watch_free(s->udp_watch);
	}
	if (s->tcp_watch != NULL) {
		ops_watch_free(s->tcp_watch);
	}
	if (s->udp >= 0) {
		close(s->udp);
	}
	if (s->tcp >= 0) {
		close(s->tcp);
	}
	col_feed_free(s->feed);
	col_statsd_table_free(s->table);
	col_statsd_mapping_free(s->mapping);
	free(s->buffers);
	free(s);
}
