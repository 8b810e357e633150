/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of collectors into a real store: layouts that change and come back, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/bus/test_support.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"
#include "services/detector/ingest.h"

#define T0 1700000000000LL

static int64_t now_ms = T0;

static int64_t fake_now(void)
{
	return now_ms;
}

struct world {
	struct ops_loop *loop;
	struct det_store *store;
	struct ops_pub *alerts;
	struct det_ingest *in;
};

static int setup(void **state)
{
	struct world *w = ops_xcalloc(1, sizeof(*w));
	const struct det_store_options options = {.retention_ms = 3600000};
	const struct test_ports ports = test_make_ports("tcp");
	char samples_url[64];
	struct ops_error err;
	now_ms = T0;
	ops_clock_fake(fake_now);
	ops_log_set_level(OPS_LOG_ERROR);
	snprintf(samples_url, sizeof(samples_url), "tcp://127.0.0.1:%d", test_free_port());
	w->loop = ops_loop_new();
	w->store = det_store_new(&options);
	const struct ops_pub_config pub = {
		.stream = "alerts", .url = ports.pub_url, .replay_url = ports.replay_url};
	assert_int_equal(ops_pub_open(w->loop, &pub, &w->alerts, &err), 0);
	const struct det_ingest_config cfg = {
		.loop = w->loop, .store = w->store, .alerts = w->alerts, .listen = samples_url};
	assert_int_equal(det_ingest_open(&cfg, &w->in, &err), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	det_ingest_close(w->in);
	ops_pub_close(w->alerts);
	det_store_free(w->store);
	ops_loop_free(w->loop);
	ops_clock_fake(NULL);
	free(w);
	return 0;
}

static void hand(struct world *w, const char *topic, const void *payload, size_t len)
{
	const struct ops_bus_message m = {
		.stream = "samples/c1", .topic = topic, .payload = payload, .len = len};
	det_ingest_message(w->in, &m);
}

/* Announces a layout of the target "i" with these metrics; returns its id. */
static uint64_t layout(struct world *w, const char *names)
{
	struct ops_labels *series[8];
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_layout l = {.job = "j", .instance = "i", .series = series};
	uint32_t family[8];
	for (const char *n = names; *n != '\0'; n++) {
		const char name[2] = {*n, '\0'};
		family[l.n] = UINT32_MAX;
		series[l.n++] = ops_labels_of("__name__", name, "job", "j", NULL);
	}
	l.family = family;
	assert_int_equal(ops_layout_encode(&l, &out), 0);
	hand(w, "layout/x", out.data, out.len);
	for (size_t i = 0; i < l.n; i++) {
		ops_labels_unref(series[i]);
	}
	ops_strbuf_done(&out);
	return l.id;
}

static void batch(struct world *w, uint64_t id, size_t n, double value)
{
	double values[8];
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (size_t i = 0; i < n; i++) {
		values[i] = value;
	}
	const struct ops_batch b = {.layout_id = id, .time_ms = now_ms, .values = values, .n = n};
	ops_batch_encode(&b, &out);
	hand(w, "batch/x", out.data, out.len);
	ops_strbuf_done(&out);
	now_ms += 1000;
}

/* Newest value of a metric: -1 none, -2 stale. */
static double last(struct world *w, const char *name)
{
	struct ops_labels *ls = ops_labels_of("__name__", name, "job", "j", NULL);
	struct ops_arena arena;
	ops_arena_init(&arena);
	const struct det_series *s = det_store_find(w->store, ls, &arena);
	struct det_samples samples = {0};
	double v = -1;
	ops_labels_unref(ls);
	if (s != NULL) {
		det_series_read(s, 0, INT64_MAX, &samples);
		v = samples.n > 0 ? samples.v[samples.n - 1] : -1;
	}
	det_samples_done(&samples);
	ops_arena_done(&arena);
	return ops_is_stale(v) ? -2 : v;
}

/* The value of a line of /metrics that starts so; 0 when there is none. */
static double metric(const char *start)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	double v = 0;
	ops_metrics_expose(&text);
	const char *at = strstr(ops_strbuf_text(&text), start);
	if (at != NULL) {
		at += strlen(start);
		at += strspn(at, " ");
		assert_int_equal(ops_parse_double(at, strcspn(at, "\n"), &v), 0);
	}
	ops_strbuf_done(&text);
	return v;
}

static void test_layout_change_marks_stale(void **state)
{
	struct world *w = *state;
	uint64_t ab = layout(w, "ab");
	batch(w, ab, 2, 1);
	uint64_t bc = layout(w, "bc");
	assert_true(last(w, "a") == 1); /* not before the first batch of the new one */
	batch(w, bc, 2, 2);
	assert_true(last(w, "a") == -2);
	assert_true(last(w, "b") == 2 && last(w, "c") == 2);
	assert_false(det_store_has_layout(w->store, ab));
	/* late samples of the old layout are not stored any more */
	double unknown = metric("ops_detector_batches_total{outcome=\"layout_unknown\"}");
	batch(w, ab, 2, 3);
	assert_true(last(w, "b") == 2);
	assert_true(
		metric("ops_detector_batches_total{outcome=\"layout_unknown\"}") == unknown + 1);
}

static void test_layout_comes_back(void **state)
{
	struct world *w = *state;
	uint64_t a = layout(w, "a");
	batch(w, a, 1, 1);
	/* changed and changed back before any batch: nothing happened */
	uint64_t b = layout(w, "b");
	assert_int_equal(layout(w, "a"), a);
	assert_false(det_store_has_layout(w->store, b));
	batch(w, a, 1, 2);
	assert_true(last(w, "a") == 2);
	/* two changes before a batch: the middle one goes, the first is stale with the last's batch
	 */
	b = layout(w, "b");
	uint64_t c = layout(w, "c");
	assert_false(det_store_has_layout(w->store, b));
	batch(w, c, 1, 3);
	assert_true(last(w, "a") == -2 && last(w, "c") == 3);
	/* and back after batches */
	a = layout(w, "a");
	batch(w, a, 1, 4);
	assert_true(last(w, "a") == 4 && last(w, "c") == -2);
}

static void test_unknown_layout(void **state)
{
	struct world *w = *state;
	double before = metric("ops_detector_batches_total{outcome=\"layout_unknown\"}");
	batch(w, 4711, 2, 1);
	assert_true(metric("ops_detector_batches_total{outcome=\"layout_unknown\"}") == before + 1);
}

static void test_batches_together(void **state)
{
	struct world *w = *state;
	uint64_t ab = layout(w, "ab"), c = layout(w, "c");
	const double values[] = {7, 8};
	const char *stored = "ops_detector_batches_total{outcome=\"stored\"}";
	const char *refused = "ops_detector_batches_total{outcome=\"refused\"}";
	double stored_before = metric(stored), refused_before = metric(refused);
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_batch_encode(
		&(struct ops_batch){.layout_id = ab, .time_ms = now_ms, .values = values, .n = 2},
		&out);
	ops_batch_encode(
		&(struct ops_batch){.layout_id = c, .time_ms = now_ms, .values = values, .n = 1},
		&out);
	hand(w, "batches", out.data, out.len);
	assert_true(metric(stored) == stored_before + 2);
	now_ms += 1000;
	hand(w, "batches", out.data, out.len - 1); /* the last one is cut off */
	assert_true(metric(refused) == refused_before + 1);
	ops_strbuf_done(&out);
}

static void test_refused(void **state)
{
	struct world *w = *state;
	static const struct {
		const char *topic, *payload, *metric;
	} cases[] = {
		{"layout/x", "garbage", "ops_detector_layouts_total{outcome=\"refused\"}"},
		{"layout/x", "", "ops_detector_layouts_total{outcome=\"refused\"}"},
		{"batch/x", "garbage", "ops_detector_batches_total{outcome=\"refused\"}"},
		{"batch/x", "", "ops_detector_batches_total{outcome=\"refused\"}"},
		{"members/collector", "{",
			"ops_detector_messages_refused_total{reason=\"bad_announcement\"}"},
		{"members/collector", "{\"specversion\":\"1.0\"}",
			"ops_detector_messages_refused_total{reason=\"bad_announcement\"}"},
		{"else", "", "ops_detector_messages_refused_total{reason=\"unknown_topic\"}"},
	};
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		double before = metric(cases[i].metric);
		hand(w, cases[i].topic, cases[i].payload, strlen(cases[i].payload));
		assert_true(metric(cases[i].metric) == before + 1);
	}
	/* a batch that is not as wide as its layout */
	uint64_t ab = layout(w, "ab");
	double before = metric("ops_detector_batches_total{outcome=\"refused\"}");
	batch(w, ab, 1, 1);
	assert_true(metric("ops_detector_batches_total{outcome=\"refused\"}") == before + 1);
	assert_true(last(w, "a") == -1);
	struct det_store_stats stats;
	det_store_stats(w->store, &stats);
	assert_int_equal(stats.samples, 0);
}

static void announce(struct world *w, const char *instance, int64_t started_ms)
{
	char name[32], url[] = "tcp://127.0.0.1:7501";
	snprintf(name, sizeof(name), "%s", instance);
	const struct ops_member m = {name, url, NULL, started_ms};
	struct ops_strbuf payload = OPS_STRBUF_INIT;
	const struct ops_event e = {
		.source = "ops-collector", .type = "ops.members", .data = ops_member_to_json(&m)};
	ops_event_encode(&e, &payload);
	hand(w, "members/collector", payload.data, payload.len);
	ops_strbuf_done(&payload);
}

static void test_members(void **state)
{
	struct world *w = *state;
	announce(w, "one", T0);
	announce(w, "two", T0);
	announce(w, "one", T0 + 5);
	assert_int_equal(det_ingest_members(w->in), 2);
	assert_false(det_ingest_live(w->in)); /* announced, but no heartbeat was heard */
	assert_int_equal(det_ingest_lag(w->in), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout_change_marks_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layout_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batches_together, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_members, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
