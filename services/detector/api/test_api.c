/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP API through a real server and client on one loop: bodies and codes as Prometheus'
 * clients expect. */
#include "services/detector/api/api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/net/http_client.h"

#define MINUTE_MS 60000
#define WORKERS 2

struct world {
	struct ops_loop *loop;
	struct ops_http_server *server;
	struct ops_http_client *client;
	struct det_store *store;
	struct det_api *api;
	int code;
	char retry_after[16];
	struct ops_strbuf body;
};

static int64_t fixed_now(void)
{
	return 1000 * 1000; /* 1000 s */
}

static void fill(struct det_store *s)
{
	struct ops_labels *series[3] = {
		ops_labels_of("__name__", "up", "instance", "a", "job", "x", NULL),
		ops_labels_of("__name__", "up", "instance", "b", "job", "x", NULL),
		ops_labels_of("__name__", "http_total", "instance", "a", "le", "0.1", NULL),
	};
	uint32_t family[3] = {0, 0, 1};
	struct ops_layout_family families[2] = {{"up", "Whether it answers.", "", OPS_T_GAUGE},
		{"http_total", "Requests \"all\".", "", OPS_T_COUNTER}};
	struct ops_layout layout = {.id = 1,
		.job = "x",
		.instance = "a",
		.series = series,
		.family = family,
		.n = 3,
		.families = families,
		.nfamilies = 2};
	assert_int_equal(det_store_layout(s, &layout), 0);
	for (int i = 0; i <= 16; i++) {
		const double values[] = {1, i % 2, i * 60.5};
		struct ops_batch b = {1, i * MINUTE_MS, values, 3, NULL};
		assert_int_equal(det_store_append_batch(s, &b), 0);
	}
	for (size_t i = 0; i < OPS_LENGTH(series); i++) {
		ops_labels_unref(series[i]);
	}
}

static void serve(struct world *w)
{
	struct ops_error err = {0};
	*w = (struct world){.loop = ops_loop_new()};
	struct ops_http_config cfg = {
		.service = "test", .listen = "127.0.0.1:0", .anonymous_role = OPS_ROLE_VIEWER};
	if (ops_http_server_new(w->loop, &cfg, &w->server, &err) != 0) {
		fail_msg("%s", err.message);
	}
	w->client = ops_http_client_new(w->loop, &(struct ops_http_client_config){0});
}

static void some_flags(void *arg, json_t *out)
{
	(void)arg;
	ops_json_set_string(out, "query.timeout", "2m");
}

static void open_api(struct world *w)
{
	static const struct det_engine_options options = {.timeout_ms = 5000};
	w->store = det_store_new(&(struct det_store_options){.retention_ms = 24 * 60 * MINUTE_MS});
	fill(w->store);
	struct det_api_config config = {.loop = w->loop,
		.workers = WORKERS,
		.store = w->store,
		.options = &options,
		.retention_ms = 24 * 60 * MINUTE_MS,
		.flags = some_flags};
	w->api = det_api_register(w->server, &config);
}

static void open_world(struct world *w)
{
	serve(w);
	open_api(w);
}

static void close_world(struct world *w)
{
	ops_http_client_free(w->client);
	ops_http_server_free(w->server);
	det_api_free(w->api);
	det_store_free(w->store);
	ops_strbuf_done(&w->body);
	ops_loop_free(w->loop);
}

static void on_answer(void *arg, const struct ops_http_response *res)
{
	struct world *w = arg;
	w->code = res->outcome == OPS_HTTP_DONE ? res->code : -1;
	snprintf(w->retry_after, sizeof(w->retry_after), "%s", res->header);
	ops_strbuf_reset(&w->body);
	ops_strbuf_add(&w->body, res->body, res->len);
	ops_loop_stop(w->loop);
}

/* form NULL: GET. */
static void ask(struct world *w, const char *path, const char *form)
{
	char url[512];
	static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded"};
	struct ops_http_call *call;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", ops_http_server_port(w->server), path);
	struct ops_http_request req = {
		.url = url, .timeout_ms = 5000, .want_header = "Retry-After"};
	if (form != NULL) {
		req.method = "POST";
		req.headers = headers;
		req.nheaders = 1;
		req.body = form;
		req.body_len = strlen(form);
	}
	assert_int_equal(ops_http_call_start(w->client, &req, on_answer, w, &call), 0);
	ops_loop_run(w->loop);
}

struct exchange {
	const char *path, *form;
	int code;
	const char *data; /* of a success, or errorType and error */
};

static const struct exchange exchanges[] = {
	{"/api/v1/query?query=up&time=960", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"up\","
		"\"instance\":"
		"\"a\",\"job\":\"x\"},\"value\":[960,\"1\"]},{\"metric\":{\"__name__\":\"up\","
		"\"instance\":\"b\",\"job\":\"x\"},\"value\":[960,\"0\"]}]}"},
	{"/api/v1/query", "query=1%2B1&time=12.5", 200,
		"{\"resultType\":\"scalar\",\"result\":[12.500,\"2\"]}"},
	{"/api/v1/query?query=1e30*1e-7&time=1970-01-01T00:00:01Z", NULL, 200,
		"{\"resultType\":\"scalar\",\"result\":[1,\"100000000000000000000000\"]}"},
	{"/api/v1/query?query=%22a%5C%22b%22", NULL, 200,
		"{\"resultType\":\"string\",\"result\":[1000,\"a\\\"b\"]}"},
	{"/api/v1/query?query=up%7Binstance=%22b%22%7D%5B2m%5D&time=960", NULL, 200,
		"{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"up\","
		"\"instance\":"
		"\"b\",\"job\":\"x\"},\"values\":[[900,\"1\"],[960,\"0\"]]}]}"},
	{"/api/v1/query_range?query=sum(up)&start=0&end=120&step=1m", NULL, 200,
		"{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[0,\"1\"],[60,"
		"\"2\"],"
		"[120,\"1\"]]}]}"},
	{"/api/v1/query?query=up&time=960&limit=1", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"up\","
		"\"instance\":"
		"\"a\",\"job\":\"x\"},\"value\":[960,\"1\"]}]},\"warnings\":[\"results truncated "
		"due to "
		"limit\"]"},
	{"/api/v1/query?query=up&time=1000&lookback_delta=30s", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[]}"},
	{"/api/v1/query?query=rate(", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": 1:6: parse error:"},
	{"/api/v1/query", NULL, 400, "\"bad_data\",\"error\":\"invalid parameter \\\"query\\\""},
	{"/api/v1/query?query=up&time=soon", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"time\\\": Invalid time "
		"value for 'time': cannot parse \\\"soon\\\" to a "
		"valid timestamp\""},
	{"/api/v1/query?query=up%2Bon()up", NULL, 422,
		"\"execution\",\"error\":\"found duplicate series"},
	{"/api/v1/query_range?query=up&start=10&end=0&step=1", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"end\\\": end timestamp must not be "
		"before "
		"start time\""},
	{"/api/v1/query_range?query=up&start=0&end=1000000&step=1", NULL, 400,
		"\"bad_data\",\"error\":\"exceeded maximum resolution of 11,000 points"},
	{"/api/v1/query_range?query=up&start=0&end=10&step=0", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"step\\\": zero or negative"},
	{"/api/v1/query_range?query=up%5B5m%5D&start=0&end=10&step=1", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"query\\\": invalid expression type "
		"\\\"range vector\\\""},
	{"/api/v1/series?match%5B%5D=up", NULL, 200,
		"[{\"__name__\":\"up\",\"instance\":\"a\",\"job\":\"x\"},{\"__name__\":\"up\","
		"\"instance\":\"b\",\"job\":\"x\"}]"},
	{"/api/v1/series", "match[]=up{instance=\"a\"}&match[]=http_total&limit=5", 200,
		"[{\"__name__\":\"http_total\",\"instance\":\"a\",\"le\":\"0.1\"},{\"__name__\":"
		"\"up\","
		"\"instance\":\"a\",\"job\":\"x\"}]"},
	{"/api/v1/series", NULL, 400, "\"bad_data\",\"error\":\"no match[] parameter provided\""},
	{"/api/v1/series?match%5B%5D=%7Ba=~%22.*%22%7D", NULL, 400, "\"bad_data\""},
	{"/api/v1/labels", NULL, 200, "[\"__name__\",\"instance\",\"job\",\"le\"]"},
	{"/api/v1/labels?match%5B%5D=http_total", NULL, 200, "[\"__name__\",\"instance\",\"le\"]"},
	{"/api/v1/label/instance/values", NULL, 200, "[\"a\",\"b\"]"},
	{"/api/v1/label/__name__/values?match%5B%5D=%7Ble=~%22.%2B%22%7D", NULL, 200,
		"[\"http_total\"]"},
	{"/api/v1/label/U__le/values?limit=1", NULL, 200, "[\"0.1\"]"},
	{"/api/v1/metadata?metric=http_total", NULL, 200,
		"{\"http_total\":[{\"type\":\"counter\",\"help\":\"Requests "
		"\\\"all\\\".\",\"unit\":\"\"}]}"},
	{"/api/v1/metadata?limit=1", NULL, 200, "{\"http_total\":["},
	{"/api/v1/format_query?query=sum(up)by(job)", NULL, 200, "\"sum by (job) (up)\""},
	{"/api/v1/parse_query?query=-up%20offset%205m", NULL, 200,
		"{\"type\":\"unaryExpr\",\"op\":\"-\",\"expr\":{\"type\":\"vectorSelector\","
		"\"name\":\"up\","
		"\"matchers\":[{\"type\":\"=\",\"name\":\"__name__\",\"value\":\"up\"}],\"offset\":"
		"300000,"
		"\"offsetExpr\":null,\"timestamp\":null,\"startOrEnd\":null,\"anchored\":false,"
		"\"smoothed\":false}}"},
	{"/api/v1/status/flags", NULL, 200, "{\"query.timeout\":\"2m\"}"},
	{"/api/v1/status/tsdb?limit=1", NULL, 200,
		"{\"headStats\":{\"numSeries\":3,\"numLabelPairs\":6,\"chunkCount\":2,\"minTime\":"
		"0,"
		"\"maxTime\":960000},\"seriesCountByMetricName\":[{\"name\":\"up\",\"value\":2}]"},
	{"/api/v1/status/tsdb/blocks", NULL, 200, "{\"blocks\":[]}"},
	{"/api/v1/status/tsdb?limit=none", NULL, 400,
		"\"bad_data\",\"error\":\"limit must be a positive number\""},
	{"/api/v1/query?query=up&limit=-1", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"limit\\\": limit must be "
		"non-negative\""},
	{"/api/v1/query?query=up&limit=few", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"limit\\\": strconv.Atoi: parsing"},
	{"/api/v1/query?query=up&timeout=-1", NULL, 503,
		"\"timeout\",\"error\":\"query timed out in query queue\""},
	{"/api/v1/targets/metadata?match_target=x%7B", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"match_target\\\": 1:3: parse "
		"error"},
	{"/api/v1/query_exemplars?query=up&start=2&end=1", NULL, 400,
		"\"bad_data\",\"error\":\"end timestamp must not be before start timestamp\""},
	{"/api/v1/query_exemplars", NULL, 400,
		"\"bad_data\",\"error\":\"1:1: parse error: no expression found in input\""},
	{"/api/v1/query_exemplars?query=up%2Bon(job)up", NULL, 200, "[]"},
	{"/api/v1/series?match%5B%5D=up&start=2000&end=1000", NULL, 200, "[]"},
	{"/api/v1/targets", NULL, 200,
		"{\"activeTargets\":[{\"discoveredLabels\":{\"__address__\":\"a\",\"job\":\"x\"},"
		"\"labels\":{\"instance\":\"a\",\"job\":\"x\"},\"scrapePool\":\"x\","
		"\"scrapeUrl\":\"http://a/metrics\",\"globalUrl\":\"http://a/metrics\","
		"\"lastError\":\"\",\"lastScrape\":\"1970-01-01T00:16:00.000Z\","
		"\"lastScrapeDuration\":0,\"health\":\"up\",\"scrapeInterval\":\"1m\","
		"\"scrapeTimeout\":\"1m\"},"},
	{"/api/v1/scrape_pools", NULL, 200, "{\"scrapePools\":[\"x\"]}"},
	{"/api/v1/targets/metadata?metric=up", NULL, 200,
		"[{\"target\":{\"instance\":\"a\",\"job\":\"x\"},\"type\":\"gauge\""},
	{"/api/v1/query?query=vector(1)&stats=all", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1000,\"1\"]}],"
		"\"stats\":{\"timings\":{\"evalTotalTime\":"},
	{"/api/v1/query?query=vector(1e21)", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1000,\"1e+21\"]}]"
		"}"},
	{"/api/v1/query?query=1e21", NULL, 200,
		"{\"resultType\":\"scalar\",\"result\":[1000,\"1000000000000000000000\"]}"},
	{"/api/v1/query?query=-Inf", NULL, 200,
		"{\"resultType\":\"scalar\",\"result\":[1000,\"-Inf\"]}"},
	{"/api/v1/query?query=up&lookback_delta=x", NULL, 400,
		"\"bad_data\",\"error\":\"error parsing lookback delta duration: cannot parse "
		"\\\"x\\\" to a valid duration\"}"},
	{"/api/v1/query?query=up&limit=99999999999999999999", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"limit\\\": strconv.Atoi: parsing "
		"\\\"99999999999999999999\\\": value out of range\"}"},
	{"/api/v1/series?match%5B%5D=%7B%7D", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"match[]\\\": match[] must contain "
		"at "
		"least one non-empty matcher\"}"},
	{"/api/v1/labels?match%5B%5D=%7B%7D", NULL, 400,
		"\"bad_data\",\"error\":\"match[] must contain at least one non-empty matcher\"}"},
	{"/api/v1/label/job/values?match%5B%5D=up%7B", NULL, 400,
		"\"bad_data\",\"error\":\"1:4: parse error: unexpected end of input inside "
		"braces\"}"},
	{"/api/v1/label/U__l_65_/values", NULL, 200, "[\"0.1\"]}"},
	{"/api/v1/label/U__l_zz_/values", NULL, 200, "[]}"},
	{"/api/v1/label/U__/values", NULL, 400,
		"\"bad_data\",\"error\":\"invalid label name: \\\"\\\"\"}"},
	{"/api/v1/targets?state=dropped", NULL, 200, "{\"activeTargets\":[],\"droppedTargets\":[]"},
	{"/api/v1/targets?state=all", NULL, 200, "{\"activeTargets\":[],"},
	{"/api/v1/targets?state=ANY&scrapePool=x", NULL, 200, "{\"activeTargets\":[{"},
	{"/api/v1/targets/metadata?metric=up&match_target=%7B%7D", NULL, 200,
		"[{\"target\":{\"instance\":\"a\",\"job\":\"x\"},\"type\":\"gauge\""},
	{"/api/v1/targets/metadata?limit=0", NULL, 200, "[]}"},
	{"/api/v1/metadata?limit=0", NULL, 200, "{}}"},
	{"/api/v1/metadata?metric=up&limit=-1&limit_per_metric=-1", NULL, 200, "{\"up\":[{"},
	{"/api/v1/metadata?limit=1.5", NULL, 400,
		"\"bad_data\",\"error\":\"limit must be a number\"}"},
	{"/api/v1/query?query=1&time=3", "query=2", 200,
		"{\"resultType\":\"scalar\",\"result\":[3,\"2\"]}}"},
	{"/api/v1/label/job/values?start=-9223372036854775.808&end=9223372036854775.807", NULL, 200,
		"[\"x\"]}"},
	{"/api/v1/series?match%5B%5D=http_total&start=-292273086-05-16T16:47:06Z&"
	 "end=292277025-08-18T07:12:54.999999999Z",
		NULL, 200, "[{\"__name__\":\"http_total\","},
	{"/api/v1/query?query=up&time=9223372036854775.807", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[]}}"},
	{"/api/v1/query?query=up&time=-9223372036854775.808", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[]}}"},
	{"/api/v1/query?query=up%5B1y%5D+offset+-1y&time=-9223372036854775", NULL, 200,
		"{\"resultType\":\"matrix\",\"result\":[]}}"},
	{"/api/v1/query_range?query=up&start=-9223372036854775&end=9223372036854775&step=1e9", NULL,
		400, "\"bad_data\",\"error\":\"exceeded maximum resolution"},
	{"/api/v1/query?query=up&time=1e30", NULL, 400,
		"\"bad_data\",\"error\":\"invalid parameter \\\"time\\\""},
	{"/api/v1/status/buildinfo", NULL, 200, "{\"version\":\"3."},
	{"/api/v1/status/runtimeinfo", NULL, 200, "{\"startTime\":\"1970-01-01T00:16:40.000Z\""},
};

static void run_exchanges(struct world *w, const struct exchange *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct exchange *x = &list[i];
		char want[1024];
		ask(w, x->path, x->form);
		snprintf(want, sizeof(want), "{\"status\":\"%s\",\"%s\":%s",
			x->code == 200 ? "success" : "error", x->code == 200 ? "data" : "errorType",
			x->data);
		if (w->code != x->code ||
			strncmp(ops_strbuf_text(&w->body), want, strlen(want)) != 0) {
			fail_msg("%s: %d %s\n  wanted %s", x->path, w->code,
				ops_strbuf_text(&w->body), want);
		}
	}
}

static void test_exchanges(void **state)
{
	struct world w;
	(void)state;
	ops_clock_fake(fixed_now);
	open_world(&w);
	run_exchanges(&w, exchanges, OPS_LENGTH(exchanges));
	close_world(&w);
	ops_clock_fake(NULL);
}

/* A float, then two histograms. */
static void add_histograms(struct det_store *s)
{
	struct ops_labels *labels = ops_labels_of("__name__", "lat", NULL);
	struct ops_histogram_bucket items[] = {{.index = 0, .count = 1}, {.index = 1, .count = 2}};
	struct ops_histogram h = {.sum = 3.5, .count = 3, .positive = {items, 2, 2}};
	assert_int_equal(det_store_append(s, labels, 14 * MINUTE_MS, 7), 0);
	for (int i = 15; i <= 16; i++) {
		assert_int_equal(det_store_append_histogram(s, labels, i * MINUTE_MS, &h), 0);
		items[0].count += 4;
		h.count += 4;
	}
	ops_labels_unref(labels);
}

#define LAT_15                                                                                     \
	"[900,{\"count\":\"3\",\"sum\":\"3.5\",\"buckets\":[[0,\"0.5\",\"1\",\"1\"],[0,\"1\","     \
	"\"2\",\"2\"]]}]"
#define LAT_16                                                                                     \
	"[960,{\"count\":\"7\",\"sum\":\"3.5\",\"buckets\":[[0,\"0.5\",\"1\",\"5\"],[0,\"1\","     \
	"\"2\",\"2\"]]}]"

static const struct exchange of_histograms[] = {
	{"/api/v1/query?query=lat&time=960", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{\"__name__\":\"lat\"},"
		"\"histogram\":" LAT_16 "}]}"},
	{"/api/v1/query_range?query=lat&start=840&end=960&step=60", NULL, 200,
		"{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"lat\"},"
		"\"values\":[[840,\"7\"]],\"histograms\":[" LAT_15 "," LAT_16 "]}]}"},
	{"/api/v1/query?query=lat%5B1m30s%5D&time=960", NULL, 200,
		"{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"lat\"},"
		"\"histograms\":[" LAT_15 "," LAT_16 "]}]}"},
	{"/api/v1/query?query=histogram_count(lat)&time=960", NULL, 200,
		"{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[960,\"7\"]}]}"},
};

/* Custom buckets leave as a classic histogram, others not at all. */
static void check_federation(struct world *w)
{
	struct ops_labels *labels = ops_labels_of("__name__", "nhcb", "a", "b", NULL);
	const double bounds[] = {0.1, 1, 5};
	struct ops_histogram_bucket items[] = {
		{.index = 0, .count = 1}, {.index = 2, .count = 2}, {.index = 3, .count = 4}};
	struct ops_histogram h = {.schema = -53,
		.sum = 30.5,
		.count = 7,
		.positive = {items, 3, 3},
		.custom = bounds,
		.ncustom = 3};
	assert_int_equal(det_store_append_histogram(w->store, labels, 16 * MINUTE_MS, &h), 0);
	ops_labels_unref(labels);
	ask(w, "/federate?match%5B%5D=%7B__name__=~%22lat|nhcb%22%7D", NULL);
	assert_int_equal(w->code, 200);
	assert_string_equal(ops_strbuf_text(&w->body),
		"# TYPE nhcb histogram\n"
		"nhcb_bucket{a=\"b\",instance=\"\",le=\"0.1\"} 1 960000\n"
		"nhcb_bucket{a=\"b\",instance=\"\",le=\"1\"} 1 960000\n"
		"nhcb_bucket{a=\"b\",instance=\"\",le=\"5\"} 3 960000\n"
		"nhcb_bucket{a=\"b\",instance=\"\",le=\"+Inf\"} 7 960000\n"
		"nhcb_sum{a=\"b\",instance=\"\"} 30.5 960000\n"
		"nhcb_count{a=\"b\",instance=\"\"} 7 960000\n");
}

static void test_histograms(void **state)
{
	struct world w;
	(void)state;
	ops_clock_fake(fixed_now);
	open_world(&w);
	add_histograms(w.store);
	run_exchanges(&w, of_histograms, OPS_LENGTH(of_histograms));
	check_federation(&w);
	close_world(&w);
	ops_clock_fake(NULL);
}

/* ---- queries beside the writer ---- */

struct crowd {
	struct world *w;
	int left, failed;
	int64_t next_ms;
};

static void ask_again(struct crowd *c);

static void on_crowd_answer(void *arg, const struct ops_http_response *res)
{
	struct crowd *c = arg;
	c->failed += res->outcome != OPS_HTTP_DONE || res->code != 200;
	/* the writer goes on while others are on their way */
	const double values[] = {1, 0, (double)c->next_ms};
	struct ops_batch b = {1, c->next_ms, values, 3, NULL};
	c->next_ms += 1000;
	assert_int_equal(det_store_append_batch(c->w->store, &b), 0);
	if (c->left % 50 == 0) {
		det_store_maintain(c->w->store, c->next_ms);
	}
	if (--c->left <= 0) {
		ops_loop_stop(c->w->loop);
	} else {
		ask_again(c);
	}
}

static void ask_again(struct crowd *c)
{
	static const char *const paths[] = {"query?query=sum(rate(http_total%5B10m%5D))&time=2000",
		"query_range?query=up%20%2B%20on(instance)%20up&start=0&end=3000&step=10",
		"series?match[]=up", "labels", "label/job/values", "targets",
		"query?query=%7Bjob=~%22x.*%7Cy.%2Bz%22%7D"};
	char url[300];
	struct ops_http_call *call;
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/api/v1/%s",
		ops_http_server_port(c->w->server), paths[(size_t)c->left % OPS_LENGTH(paths)]);
	struct ops_http_request req = {.url = url, .timeout_ms = 20000};
	assert_int_equal(ops_http_call_start(c->w->client, &req, on_crowd_answer, c, &call), 0);
}

static void test_beside_the_writer(void **state)
{
	struct world w;
	(void)state;
	open_world(&w);
	struct crowd c = {.w = &w, .left = 400, .next_ms = 1000 * 1000};
	for (int i = 0; i < 6; i++) {
		ask_again(&c);
	}
	ops_loop_run(w.loop);
	assert_int_equal(c.failed, 0);
	close_world(&w); /* some are still on their way */
}

static void test_while_the_store_opens(void **state)
{
	static const struct {
		const char *path, *form;
		int before, after;
	} rows[] = {
		{"/api/v1/query?query=1", NULL, 503, 200},
		{"/api/v1/query", "query=1", 503, 200},
		{"/api/v1/label/job/values", NULL, 503, 200},
		{"/federate?match%5B%5D=up", NULL, 503, 200},
		{"/api/v1/write", "x=y", 503, 403},
		{"/api/v1/targets", "x=y", 503, 405},
		{"/api/v1/nothing", NULL, 503, 404},
		{"/api/v2/query", NULL, 404, 404},
		{"/", NULL, 404, 404},
	};
	struct world w;
	(void)state;
	serve(&w);
	det_api_opening(w.server);
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		ask(&w, rows[i].path, rows[i].form);
		assert_int_equal(w.code, rows[i].before);
		bool refused = rows[i].before == 503;
		assert_string_equal(w.retry_after, refused ? "5" : "");
		if (refused) {
			assert_string_equal(ops_strbuf_text(&w.body),
				"{\"status\":\"error\",\"errorType\":\"unavailable\","
				"\"error\":\"the store is still being opened\"}");
		}
	}
	open_api(&w);
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		ask(&w, rows[i].path, rows[i].form);
		assert_int_equal(w.code, rows[i].after);
	}
	close_world(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_the_store_opens),
		cmocka_unit_test(test_exchanges),
		cmocka_unit_test(test_histograms),
		cmocka_unit_test(test_beside_the_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
