/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocm-sink: the pager of the lab. Takes what the alert router posts, appends it as one JSON line
 * with its time to a file, and shows the last ones at GET /pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/net/http_server.h"

enum {
	PAGES_SHOWN = 100
};

static struct ops_metric pages_total = OPS_COUNTER("sink_pages_total", "Notifications received.");

struct sink {
	int fd;
	json_t *recent; /* array, newest last */
};

static void on_hook(struct ops_http_req *req, void *arg)
{
	struct sink *s = arg;
	json_t *body = NULL;
	if (ops_http_json(req, &body) != 0) {
		return;
	}
	json_t *page = json_object();
	ops_json_set_time(page, "received", ops_now_ms());
	ops_json_set(page, "page", body);
	struct ops_strbuf line = OPS_STRBUF_INIT;
	ops_json_dump(page, &line);
	ops_strbuf_addc(&line, '\n');
	int rc = ops_write_all(s->fd, line.data, line.len);
	ops_strbuf_done(&line);
	json_array_append_new(s->recent, page);
	if (json_array_size(s->recent) > PAGES_SHOWN) {
		json_array_remove(s->recent, 0);
	}
	if (rc != 0) {
		log_error("could not store a page", F_ERR(rc));
		ops_http_reply_text(req, 500, "could not store the page\n");
		return;
	}
	ops_metric_add(&pages_total, 1);
	log_info("paged", F_STR("receiver", json_string_value(json_object_get(body, "receiver"))),
		F_STR("status", json_string_value(json_object_get(body, "status"))));
	ops_http_reply_text(req, 200, "ok\n");
}

static void on_pages(struct ops_http_req *req, void *arg)
{
	struct sink *s = arg;
	ops_http_reply_json(req, 200, json_incref(s->recent));
}

static void on_metrics(struct ops_http_req *req, void *arg)
{
	(void)arg;
	struct ops_strbuf page = OPS_STRBUF_INIT;
	ops_metrics_expose(&page);
	ops_http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", page.data, page.len);
	ops_strbuf_done(&page);
}

static void on_signal(int signo, void *arg)
{
	(void)signo;
	ops_loop_stop(arg);
}

static int run(struct ops_loop *loop, const char *listen, struct sink *s)
{
	struct ops_error err;
	struct ops_http_server *http = NULL;
	const struct ops_http_config cfg = {.service = "ocm-sink", .listen = listen};
	if (ops_http_server_new(loop, &cfg, &http, &err) != 0) {
		log_error("could not listen", F_STR("error", err.message));
		return 70;
	}
	ops_metric_add(&pages_total, 0);
	ops_http_route(http, OPS_POST, "/{path...}", OPS_ROLE_NONE, on_hook, s);
	ops_http_route(http, OPS_GET, "/pages", OPS_ROLE_NONE, on_pages, s);
	ops_http_route(http, OPS_GET, "/metrics", OPS_ROLE_NONE, on_metrics, s);
	int rc = ops_loop_on_signal(loop, SIGTERM, on_signal, loop);
	if (rc == 0) {
		rc = ops_loop_on_signal(loop, SIGINT, on_signal, loop);
	}
	if (rc == 0) {
		ops_loop_run(loop);
	}
	ops_http_server_free(http);
	return rc == 0 ? 0 : 70;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
		{"file", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const char *listen = "127.0.0.1:5001", *file = "pages.jsonl";
	for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
		c = getopt_long(argc, argv, "", options, NULL)) {
		if (c == 'l') {
			listen = optarg;
		} else if (c == 'f') {
			file = optarg;
		} else {
			fprintf(c == 'h' ? stdout : stderr,
				"usage: ocm-sink [--listen ADDRESS:PORT] [--file FILE]\n");
			return c == 'h' ? 0 : 2;
		}
	}
	ops_log_init("ocm-sink", OPS_LOG_INFO);
	struct sink s = {.fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640)};
	if (s.fd < 0) {
		log_error("could not open the file", F_STR("file", file), F_ERR(errno));
		return 3;
	}
	s.recent = json_array();
	struct ops_loop *loop = ops_loop_new();
	int rc = run(loop, listen, &s);
	ops_loop_free(loop);
	json_decref(s.recent);
	close(s.fd);
	return rc;
}
