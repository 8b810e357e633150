/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocm-portal: three public services in one small program, for the hands-on lab. It does what a real
 * service does for its operators (metrics, JSON log lines with a trace id, W3C trace context, a
 * release it can name) and breaks on demand: by the release that is deployed, or by POST /chaos.
 */
#include "examples/ocm/portal/release.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/net/http_server.h"

static const double seconds_buckets[] = {.05, .1, .3, .5, 1, 2, 5, 10};
static const double ms_buckets[] = {1, 2, 5, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10000};

static struct ops_metric requests[OCM_SERVICES] = {
	OPS_COUNTER("claims_requests_total", "Claims submitted."),
	OPS_COUNTER("refund_requests_total", "Refund status checks."),
	OPS_COUNTER("passport_requests_total", "Passport photos received."),
};
static struct ops_metric errors[OCM_SERVICES] = {
	OPS_COUNTER("claims_errors_total", "Claims that failed."),
	OPS_COUNTER("refund_errors_total", "Refund status checks that failed."),
	OPS_COUNTER("passport_errors_total", "Passport photos that failed."),
};
static struct ops_metric latency_seconds[OCM_SERVICES] = {
	OPS_HISTOGRAM("claims_latency_seconds", "Time to answer a claim.", seconds_buckets),
	OPS_HISTOGRAM("refund_latency_seconds", "Time to answer a refund check.", seconds_buckets),
	OPS_HISTOGRAM("passport_latency_seconds", "Time to check a photo.", seconds_buckets),
};
static struct ops_metric latency_ms =
	OPS_HISTOGRAM("http_latency_ms", "Time to answer, all services.", ms_buckets, "service");
static struct ops_metric in_flight =
	OPS_GAUGE("http_requests_in_flight", "Requests being answered.", "service");
static struct ops_metric release_info =
	OPS_GAUGE("portal_release_info", "The release that runs.", "version");

struct portal {
	struct ops_loop *loop;
	struct ops_http_server *http;
	struct ops_timer *poll; /* looks at the release file twice a second */
	const char *release_file;
	struct timespec release_mtime;
	struct ocm_release release;
	struct ocm_fault chaos[OCM_SERVICES];
};

struct answer { /* a request whose answer is delayed */
	struct portal *portal;
	struct ops_http_req *req;
	struct ops_timer *timer;
	enum ocm_service service;
	int64_t start_ms;
	bool fails;
};

static void answer_free(void *arg)
{
	struct answer *a = arg;
	ops_metric_add(&in_flight, -1, ocm_service_name(a->service));
	ops_timer_free(a->timer);
	free(a);
}

static void on_answer(void *arg)
{
	struct answer *a = arg;
	double ms = (double)(ops_mono_ms() - a->start_ms);
	const char *service = ocm_service_name(a->service);
	ops_metric_observe(&latency_ms, ms, service);
	ops_metric_observe(&latency_seconds[a->service], ms / 1000);
	ops_log_set_trace(ops_http_trace_id(a->req));
	if (a->fails) {
		ops_metric_add(&errors[a->service], 1);
		log_warn("request failed", F_STR("endpoint", service), F_DOUBLE("duration_ms", ms),
			F_STR("cause", "no connection in the database pool"));
	} else {
		log_info("request answered", F_STR("endpoint", service),
			F_DOUBLE("duration_ms", ms));
	}
	ops_log_set_trace(NULL);
	ops_http_reply_header(a->req, "traceparent", ops_http_traceparent(a->req));
	json_t *body = json_object();
	ops_json_set_string(body, "status", a->fails ? "error" : "accepted");
	ops_json_set_string(body, "release", a->portal->release.version);
	ops_json_set_string(body, "trace_id", ops_http_trace_id(a->req));
	ops_http_reply_json(a->req, a->fails ? 500 : 200, body);
	ops_loop_defer(a->portal->loop, answer_free, a);
}

static void on_gone(struct ops_http_req *req, void *arg)
{
	(void)req;
	struct answer *a = arg;
	ops_timer_stop(a->timer);
	ops_loop_defer(a->portal->loop, answer_free, a);
}

/* Faults of the release and of /chaos add up. */
static bool fails_now(const struct portal *p, enum ocm_service s)
{
	double ratio = p->release.faults[s].error_ratio + p->chaos[s].error_ratio;
	return (double)(ops_random_u64() >> 11) * 0x1p-53 < ratio;
}

static void serve(struct ops_http_req *req, struct portal *p, enum ocm_service s)
{
	struct answer *a = ops_xcalloc(1, sizeof(*a));
	*a = (struct answer){.portal = p, .req = req, .service = s, .start_ms = ops_mono_ms()};
	a->fails = fails_now(p, s);
	a->timer = ops_timer_new(p->loop, on_answer, a);
	ops_metric_add(&requests[s], 1);
	ops_metric_add(&in_flight, 1, ocm_service_name(s));
	ops_http_on_abort(req, on_gone, a);
	ops_timer_start(a->timer, p->release.faults[s].latency_ms + p->chaos[s].latency_ms);
}

static void on_claims(struct ops_http_req *req, void *arg)
{
	serve(req, arg, OCM_CLAIMS);
}

static void on_refund(struct ops_http_req *req, void *arg)
{
	serve(req, arg, OCM_REFUND);
}

static void on_passport(struct ops_http_req *req, void *arg)
{
	serve(req, arg, OCM_PASSPORT);
}

static json_t *chaos_json(const struct portal *p)
{
	json_t *all = json_object();
	for (int s = 0; s < OCM_SERVICES; s++) {
		json_t *one = json_object();
		ops_json_set(one, "errors", json_real(p->chaos[s].error_ratio));
		ops_json_set_i64(one, "latency_ms", p->chaos[s].latency_ms);
		ops_json_set(all, ocm_service_name((enum ocm_service)s), one);
	}
	return all;
}

static int chaos_decode(const json_t *body, enum ocm_service *ret_service, struct ocm_fault *ret,
	struct ops_error *err)
{
	static const char *const allowed[] = {"service", "errors", "latency_ms", NULL};
	const char *service = NULL;
	if (ops_json_only(body, allowed, err) < 0 ||
		ops_json_get_string(body, "service", &service, err) < 0 ||
		ops_json_get_double(body, "errors", &ret->error_ratio, err) < 0 ||
		ops_json_get_i64(body, "latency_ms", &ret->latency_ms, err) < 0) {
		return -EINVAL;
	}
	*ret_service = service != NULL ? ocm_service_find(service) : OCM_CLAIMS;
	if (*ret_service == OCM_SERVICES) {
		ops_error_set(err, -EINVAL, "there is no service '%s'", service);
		ops_error_hint(err, "claims, refund or passport");
		return -EINVAL;
	}
	if (!(ret->error_ratio >= 0 && ret->error_ratio <= 1) || ret->latency_ms < 0 ||
		ret->latency_ms > 60000) {
		return ops_error_set(
			err, -EINVAL, "errors must be 0 to 1, and latency_ms 0 to 60000");
	}
	return 0;
}

/* {"service": "claims", "errors": 0.5, "latency_ms": 0}: what is left out is 0, so {} heals claims.
 */
static void on_chaos(struct ops_http_req *req, void *arg)
{
	struct portal *p = arg;
	OPS_JSON_AUTO *body = NULL;
	if (ops_http_json(req, &body) != 0) {
		return;
	}
	struct ops_error err;
	struct ocm_fault fault = {0, 0};
	enum ocm_service service;
	if (chaos_decode(body, &service, &fault, &err) != 0) {
		ops_http_reply_error(req, 400, &err);
		return;
	}
	p->chaos[service] = fault;
	log_info("chaos changed", F_STR("endpoint", ocm_service_name(service)),
		F_DOUBLE("errors", fault.error_ratio), F_INT("latency_ms", fault.latency_ms));
	ops_http_reply_json(req, 200, chaos_json(p));
}

static void on_chaos_get(struct ops_http_req *req, void *arg)
{
	ops_http_reply_json(req, 200, chaos_json(arg));
}

static void on_release(struct ops_http_req *req, void *arg)
{
	struct portal *p = arg;
	json_t *body = json_object();
	ops_json_set_string(body, "version", p->release.version);
	ops_http_reply_json(req, 200, body);
}

static void on_index(struct ops_http_req *req, void *arg)
{
	struct portal *p = arg;
	struct ops_strbuf page = OPS_STRBUF_INIT;
	ops_strbuf_printf(&page,
		"demo portal, release %s\n\n"
		"  POST /claims/submit   GET /refund/status   POST /passport/photo\n"
		"  GET  /metrics         GET /release         GET /-/healthy\n"
		"  POST /chaos           {\"service\": \"claims\", \"errors\": 0.5, "
		"\"latency_ms\": 0}\n",
		p->release.version);
	ops_http_reply_text(req, 200, ops_strbuf_text(&page));
	ops_strbuf_done(&page);
}

static void on_healthy(struct ops_http_req *req, void *arg)
{
	(void)arg;
	ops_http_reply_text(req, 200, "healthy\n");
}

static void on_metrics(struct ops_http_req *req, void *arg)
{
	(void)arg;
	struct ops_strbuf page = OPS_STRBUF_INIT;
	ops_metrics_expose(&page);
	ops_http_reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", page.data, page.len);
	ops_strbuf_done(&page);
}

/* A release that cannot be read is reported and changes nothing: the portal goes on with the old
 * one. */
static int load_release(struct portal *p, struct ops_error *err)
{
	struct stat st;
	if (stat(p->release_file, &st) != 0) {
		int code = -errno;
		return ops_error_set(err, code, "could not read release file %s: %s",
			p->release_file, strerror(errno));
	}
	if (st.st_mtim.tv_sec == p->release_mtime.tv_sec &&
		st.st_mtim.tv_nsec == p->release_mtime.tv_nsec) {
		return 0;
	}
	p->release_mtime = st.st_mtim;
	struct ocm_release next;
	int rc = ocm_release_load(p->release_file, &next, err);
	if (rc != 0) {
		return rc;
	}
	if (p->release.version[0] != '\0') {
		ops_metric_forget(&release_info, p->release.version);
	}
	p->release = next;
	ops_metric_set(&release_info, 1, p->release.version);
	log_info("release is live", F_STR("version", p->release.version));
	return 0;
}

static void on_poll(void *arg)
{
	struct portal *p = arg;
	struct ops_error err;
	if (load_release(p, &err) != 0) {
		log_warn("could not load the release", F_STR("error", err.message));
	}
	ops_timer_start(p->poll, 500);
}

static void on_signal(int signo, void *arg)
{
	(void)signo;
	ops_loop_stop(arg);
}

static void add_routes(struct portal *p)
{
	unsigned both = OPS_GET | OPS_POST;
	ops_http_route(p->http, both, "/claims/submit", OPS_ROLE_NONE, on_claims, p);
	ops_http_route(p->http, both, "/refund/status", OPS_ROLE_NONE, on_refund, p);
	ops_http_route(p->http, both, "/passport/photo", OPS_ROLE_NONE, on_passport, p);
	ops_http_route(p->http, OPS_POST, "/chaos", OPS_ROLE_NONE, on_chaos, p);
	ops_http_route(p->http, OPS_GET, "/chaos", OPS_ROLE_NONE, on_chaos_get, p);
	ops_http_route(p->http, OPS_GET, "/release", OPS_ROLE_NONE, on_release, p);
	ops_http_route(p->http, OPS_GET, "/metrics", OPS_ROLE_NONE, on_metrics, p);
	ops_http_route(p->http, OPS_GET, "/-/healthy", OPS_ROLE_NONE, on_healthy, p);
	ops_http_route(p->http, OPS_GET, "/", OPS_ROLE_NONE, on_index, p);
}

static void register_metrics(void)
{
	for (int s = 0; s < OCM_SERVICES; s++) {
		ops_metric_add(&requests[s], 0);
		ops_metric_add(&errors[s], 0);
		ops_metric_add(&in_flight, 0, ocm_service_name((enum ocm_service)s));
	}
}

static int run(struct portal *p, const char *listen)
{
	struct ops_error err;
	if (load_release(p, &err) != 0) {
		char text[1024];
		log_error("could not start",
			F_STR("error", ops_error_text(&err, text, sizeof(text))));
		return 3;
	}
	const struct ops_http_config cfg = {.service = "ocm-portal", .listen = listen};
	if (ops_http_server_new(p->loop, &cfg, &p->http, &err) != 0 ||
		ops_loop_on_signal(p->loop, SIGTERM, on_signal, p->loop) != 0 ||
		ops_loop_on_signal(p->loop, SIGINT, on_signal, p->loop) != 0) {
		log_error("could not listen", F_STR("error", err.message));
		return 70;
	}
	register_metrics();
	add_routes(p);
	p->poll = ops_timer_new(p->loop, on_poll, p);
	ops_timer_start(p->poll, 500);
	log_info("portal is up", F_STR("listen", listen));
	ops_loop_run(p->loop);
	ops_timer_free(p->poll);
	ops_http_server_free(p->http);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
		{"release-file", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0}};
	const char *listen = "127.0.0.1:8001";
	struct portal p = {.release_file = "release"};
	for (int c = getopt_long(argc, argv, "", options, NULL); c != -1;
		c = getopt_long(argc, argv, "", options, NULL)) {
		if (c == 'l') {
			listen = optarg;
		} else if (c == 'r') {
			p.release_file = optarg;
		} else {
			fprintf(c == 'h' ? stdout : stderr,
				"usage: ocm-portal [--listen ADDRESS:PORT] [--release-file "
				"FILE]\n");
			return c == 'h' ? 0 : 2;
		}
	}
	ops_log_init("ocm-portal", OPS_LOG_INFO);
	p.loop = ops_loop_new();
	int rc = run(&p, listen);
	ops_loop_free(p.loop);
	return rc;
}
