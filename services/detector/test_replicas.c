/* SPDX-License-Identifier: Apache-2.0 */
/* Two collectors send one target: what is stored, who leads, and that nothing is missing or there
 * twice when the leader goes. */
#include "services/detector/replicas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/strbuf.h"

#define T0 1700000000000LL

enum {
	INTERVAL = 10000
};

struct world {
	struct det_store *store;
	struct det_replicas *r;
};

static int setup(void **state)
{
	struct world *w = ops_xcalloc(1, sizeof(*w));
	const struct det_store_options options = {
		.retention_ms = 3600000, .out_of_order_ms = 600000};
	w->store = det_store_new(&options);
	w->r = det_replicas_new(w->store);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	det_replicas_free(w->r);
	det_store_free(w->store);
	free(w);
	return 0;
}

/* Announces a layout of the target "i" with the metrics that these letters name. */
static uint64_t announce(struct world *w, const char *stream, const char *names)
{
	struct ops_labels *series[8];
	uint32_t family[8];
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_layout l = {.job = "j", .instance = "i", .series = series, .family = family};
	for (const char *n = names; *n != '\0'; n++) {
		const char letter[2] = {*n, '\0'}, *name = *n == 'u' ? "up" : letter;
		family[l.n] = UINT32_MAX;
		series[l.n++] = ops_labels_of("__name__", name, "job", "j", NULL);
	}
	assert_int_equal(ops_layout_encode(&l, &out), 0);
	int rc = det_store_layout(w->store, &l);
	assert_in_range(rc, 0, 1);
	det_replicas_layout(w->r, stream, &l);
	for (size_t i = 0; i < l.n; i++) {
		ops_labels_unref(series[i]);
	}
	ops_strbuf_done(&out);
	return l.id;
}

/* Every column has this value, at T0 + at_ms. */
static void row(struct world *w, const char *stream, uint64_t id, int64_t at_ms, double value)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	double values[8];
	size_t n = 2;
	for (size_t i = 0; i < n; i++) {
		values[i] = value;
	}
	const struct ops_batch b = {
		.layout_id = id, .time_ms = T0 + at_ms, .values = values, .n = n};
	ops_batch_encode(&b, &out);
	const struct ops_bus_message m = {
		.stream = stream, .topic = "batch/x", .payload = out.data, .len = out.len};
	uint64_t got = 0;
	int wanted = det_store_has_layout(w->store, id) ? 0 : 1;
	assert_int_equal(det_replicas_batch(w->r, &m, &got), wanted);
	assert_true(got == id);
	ops_strbuf_done(&out);
}

#define A "samples/a"
#define B "samples/b"

/* Both announce the same layout. */
static uint64_t announce_both(struct world *w)
{
	uint64_t id = announce(w, A, "xy");
	assert_true(announce(w, B, "xy") == id);
	return id;
}

/* Both send the target, A leads; the next row is that of 2 * INTERVAL. */
static uint64_t a_leads(struct world *w)
{
	uint64_t id = announce_both(w);
	row(w, A, id, 0, 1);
	row(w, B, id, 0, 101);
	row(w, A, id, INTERVAL, 2);
	return id;
}

/* "0=1 10=2": seconds and values of a metric, "s" for stale. */
static void assert_series(struct world *w, const char *name, const char *wanted)
{
	struct ops_labels *ls = ops_labels_of("__name__", name, "job", "j", NULL);
	struct ops_arena arena;
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct det_samples samples = {0};
	ops_arena_init(&arena);
	const struct det_series *s = det_store_find(w->store, ls, &arena);
	assert_non_null(s);
	det_series_read(s, 0, INT64_MAX, &samples);
	for (size_t i = 0; i < samples.n; i++) {
		ops_strbuf_printf(
			&text, "%s%g=", i > 0 ? " " : "", (double)(samples.t[i] - T0) / 1000);
		if (ops_is_stale(samples.v[i])) {
			ops_strbuf_addc(&text, 's');
		} else {
			ops_strbuf_printf(&text, "%g", samples.v[i]);
		}
	}
	assert_string_equal(ops_strbuf_text(&text), wanted);
	ops_strbuf_done(&text);
	det_samples_done(&samples);
	ops_arena_done(&arena);
	ops_labels_unref(ls);
}

static void test_one_series(void **state)
{
	struct world *w = *state;
	uint64_t id = announce_both(w);
	for (int i = 0; i < 4; i++) {
		row(w, A, id, i * INTERVAL, i);
		row(w, B, id, i * INTERVAL + (i % 2) * 7, 100 + i);
	}
	assert_series(w, "x", "0=0 10=1 20=2 30=3");
	struct det_replicas_stats stats;
	det_replicas_stats(w->r, &stats);
	assert_int_equal(stats.targets, 1);
	assert_int_equal(stats.replicated, 1);
	assert_int_equal(det_replicas_led(w->r, A), 1);
	assert_int_equal(det_replicas_led(w->r, B), 0);
	/* the follower is a little earlier: its row waits and is dropped when the leader's comes */
	row(w, B, id, 4 * INTERVAL - 3, 104);
	row(w, A, id, 4 * INTERVAL, 4);
	row(w, B, id, 5 * INTERVAL, 105);
	row(w, A, id, 5 * INTERVAL, 5);
	assert_series(w, "x", "0=0 10=1 20=2 30=3 40=4 50=5");
}

static void test_leader_falls_silent(void **state)
{
	struct world *w = *state;
	uint64_t id = announce_both(w);
	for (int i = 0; i < 2; i++) {
		row(w, A, id, i * INTERVAL, i);
		row(w, B, id, i * INTERVAL, 100 + i);
	}
	row(w, B, id, 2 * INTERVAL, 102);
	assert_series(w, "x", "0=0 10=1"); /* it may still come */
	row(w, B, id, 3 * INTERVAL, 103);
	assert_series(w, "x", "0=0 10=1 20=102 30=103");
	assert_int_equal(det_replicas_led(w->r, B), 1);
	/* what the one that was ahead brings later is behind now */
	for (int i = 2; i < 5; i++) {
		row(w, A, id, i * INTERVAL + 1, i);
	}
	row(w, B, id, 4 * INTERVAL, 104);
	assert_series(w, "x", "0=0 10=1 20=102 30=103 40=104");
}

static void test_leader_lets_go(void **state)
{
	struct world *w = *state;
	uint64_t id = announce(w, A, "xy");
	row(w, A, id, 0, 1);
	row(w, A, id, INTERVAL, 2);
	/* the new owner is heard before the old one has let go */
	(void)announce(w, B, "xy");
	row(w, B, id, 2 * INTERVAL, 3);
	assert_series(w, "x", "0=1 10=2");
	det_replicas_release(w->r, A, id);
	assert_series(w, "x", "0=1 10=2 20=3");
	/* and back, this time in order */
	det_replicas_release(w->r, B, id);
	assert_true(announce(w, A, "xy") == id);
	row(w, A, id, 2 * INTERVAL + 1000, 9); /* scraped twice for a moment */
	row(w, A, id, 3 * INTERVAL, 4);
	assert_series(w, "x", "0=1 10=2 20=3 30=4");
	det_replicas_release(w->r, A, 4711); /* unknown: nothing happens */
	row(w, A, id, 4 * INTERVAL, 5);
	assert_series(w, "x", "0=1 10=2 20=3 30=4 40=5");
}

static void test_leader_dies(void **state)
{
	struct world *w = *state;
	uint64_t id = announce_both(w);
	row(w, A, id, 0, 1);
	row(w, A, id, INTERVAL, 2);
	row(w, B, id, 2 * INTERVAL, 103);
	det_replicas_gone(w->r, A);
	assert_series(w, "x", "0=1 10=2 20=103");
	/* it was only cut off: the past before its successor is welcome, the rest is told already
	 */
	row(w, A, id, INTERVAL + 4000, 8);
	row(w, A, id, 2 * INTERVAL - 4000, 9);
	row(w, A, id, 2 * INTERVAL, 3);
	row(w, "samples/c", id, INTERVAL + 2000, 200); /* it never led */
	assert_series(w, "x", "0=1 10=2 14=8 20=103");
	det_replicas_gone(w->r, "samples/unknown");
}

static void test_target_ends(void **state)
{
	struct world *w = *state;
	uint64_t id = a_leads(w);
	/* the leader's configuration has it no more, the other's still has */
	row(w, A, id, INTERVAL + 500, ops_stale_nan());
	assert_series(w, "x", "0=1 10=2");
	row(w, B, id, 2 * INTERVAL, 103);
	row(w, B, id, 2 * INTERVAL + 500, ops_stale_nan());
	assert_series(w, "x", "0=1 10=2 20=103 20.5=s");
	/* both end before the follower has sent anything that was stored */
	row(w, A, id, 3 * INTERVAL, 4);
	row(w, B, id, 3 * INTERVAL, 104);
	row(w, A, id, 3 * INTERVAL + 100, ops_stale_nan());
	row(w, B, id, 3 * INTERVAL + 50, ops_stale_nan());
	assert_series(w, "x", "0=1 10=2 20=103 20.5=s 30=4 30.05=s");
}

/* The other one was dead already, but nobody knew. */
static void test_target_ends_late(void **state)
{
	struct world *w = *state;
	uint64_t id = a_leads(w);
	row(w, B, id, INTERVAL + 500, ops_stale_nan());
	assert_series(w, "x", "0=1 10=2");
	det_replicas_gone(w->r, A);
	assert_series(w, "x", "0=1 10=2 10.5=s");
	/* it was not dead at all */
	assert_true(announce(w, A, "xy") == id);
	row(w, A, id, 2 * INTERVAL, 3);
	assert_series(w, "x", "0=1 10=2 10.5=s 20=3");
	/* a target that goes on is not ended */
	(void)announce(w, B, "xy");
	row(w, B, id, 2 * INTERVAL, 103);
	row(w, B, id, 2 * INTERVAL + 500, ops_stale_nan());
	row(w, A, id, 3 * INTERVAL, 4);
	det_replicas_gone(w->r, A);
	assert_series(w, "x", "0=1 10=2 10.5=s 20=3 30=4");
}

static void test_other_layouts(void **state)
{
	struct world *w = *state;
	uint64_t xy = announce(w, A, "xy"), yz = announce(w, B, "yz");
	row(w, A, xy, 0, 1);
	row(w, B, yz, 0, 101);
	row(w, A, xy, INTERVAL, 2);
	row(w, B, yz, INTERVAL, 102);
	assert_series(w, "y", "0=1 10=2");
	det_replicas_release(w->r, A, xy);
	row(w, B, yz, 2 * INTERVAL, 103);
	/* what only the old leader had ends with the first row of the new one */
	assert_series(w, "x", "0=1 10=2 20=s");
	assert_series(w, "y", "0=1 10=2 20=103");
	assert_series(w, "z", "20=103");
	assert_false(det_store_has_layout(w->store, xy));
	/* a follower's change of layout ends nothing */
	assert_true(announce(w, A, "xy") == xy);
	row(w, A, xy, 2 * INTERVAL, 3);
	uint64_t xz = announce(w, A, "xz");
	row(w, A, xz, 2 * INTERVAL, 4);
	assert_false(det_store_has_layout(w->store, xy));
	row(w, B, yz, 3 * INTERVAL, 104);
	assert_series(w, "y", "0=1 10=2 20=103 30=104");
}

/* What a dead collector had does not keep series alive that nobody sends. */
static void test_dead_layout(void **state)
{
	struct world *w = *state;
	uint64_t xy = announce(w, A, "xy"), yz = announce(w, B, "yz");
	row(w, A, xy, 0, 1);
	row(w, A, xy, INTERVAL, 2);
	row(w, B, yz, INTERVAL, 102);
	det_replicas_gone(w->r, A);
	row(w, B, yz, 2 * INTERVAL, 103);
	assert_series(w, "x", "0=1 10=2 20=s");
	assert_series(w, "y", "0=1 10=2 20=103");
	row(w, A, xy, 3 * INTERVAL,
		4); /* it was only silent: unknown, until it is announced again */
	assert_true(announce(w, A, "xy") == xy);
	det_replicas_release(w->r, B, yz);
	row(w, A, xy, 3 * INTERVAL, 4);
	assert_series(w, "x", "0=1 10=2 20=s 30=4");
}

/* After a restart the store knows layouts that nobody has announced since. */
static void test_layout_of_before(void **state)
{
	struct world *w = *state;
	uint64_t id = announce(w, A, "xy");
	row(w, A, id, 0, 1);
	det_replicas_free(w->r);
	w->r = det_replicas_new(w->store);
	const struct det_store_resumed resumed = {id, A "\nj\ni", T0, INTERVAL};
	det_replicas_resume(w->r, &resumed);
	row(w, A, id, INTERVAL, 2);
	row(w, B, id, INTERVAL, 102);
	assert_series(w, "x", "0=1 10=2");
	assert_true(announce(w, B, "xy") == id);
	row(w, B, id, 2 * INTERVAL, 103);
	row(w, A, id, 2 * INTERVAL, 3);
	assert_series(w, "x", "0=1 10=2 20=3");
	row(w, A, 4711, 3 * INTERVAL, 4); /* known to nobody */
	assert_series(w, "x", "0=1 10=2 20=3");
}

/* A scrape of a target with the layouts "xu", of a success, and "u", of a failure. */
struct scraped {
	struct world *w;
	uint64_t good, bad;
	bool down[2]; /* of A and B: the scrape before failed */
};

static void scrape(struct scraped *s, const char *stream, int64_t at_ms, double value, bool up)
{
	const double values[] = {up ? value : ops_stale_nan(), up ? 1 : 0};
	struct ops_batch rows[] = {
		{.layout_id = s->good, .time_ms = T0 + at_ms, .values = values, .n = 2},
		{.layout_id = s->bad, .time_ms = T0 + at_ms, .values = values + 1, .n = 1}};
	bool *down = &s->down[strcmp(stream, B) == 0];
	size_t first = !up && *down ? 1 : 0; /* the layout before is ended once */
	if (*down == up) {
		(void)announce(s->w, stream, up ? "xu" : "u");
	}
	*down = !up;
	for (size_t i = first; i < (up ? 1U : 2U); i++) {
		struct ops_strbuf out = OPS_STRBUF_INIT;
		uint64_t got = 0;
		ops_batch_encode(&rows[i], &out);
		const struct ops_bus_message m = {
			.stream = stream, .topic = "batch/x", .payload = out.data, .len = out.len};
		assert_int_equal(det_replicas_batch(s->w->r, &m, &got), 0);
		ops_strbuf_done(&out);
	}
}

static struct scraped scraped_by_both(struct world *w)
{
	struct scraped s = {.w = w};
	s.bad = announce(w, A, "u");
	(void)announce(w, B, "u");
	s.good = announce(w, A, "xu");
	(void)announce(w, B, "xu");
	return s;
}

static void test_leader_fails(void **state)
{
	struct world *w = *state;
	struct scraped s = scraped_by_both(w);
	for (int i = 0; i < 4; i++) {
		scrape(&s, A, i * INTERVAL, i, true);
		scrape(&s, B, i * INTERVAL + 5, 100 + i, true);
	}
	assert_series(w, "x", "0=0 10=1 20=2 30=3");
	/* no hole, no marker: the other one's row of the same time is stored */
	scrape(&s, A, 4 * INTERVAL, 0, false);
	assert_int_equal(det_replicas_led(w->r, B), 1);
	scrape(&s, B, 4 * INTERVAL + 5, 104, true);
	assert_series(w, "x", "0=0 10=1 20=2 30=3 40.005=104");
	scrape(&s, B, 5 * INTERVAL + 5, 105, true);
	scrape(&s, A, 5 * INTERVAL, 0, false);
	/* it succeeds again, and does not take over for that */
	for (int i = 6; i < 9; i++) {
		scrape(&s, A, i * INTERVAL, i, true);
		scrape(&s, B, i * INTERVAL + 5, 100 + i, true);
	}
	assert_int_equal(det_replicas_led(w->r, B), 1);
	assert_series(w, "x",
		"0=0 10=1 20=2 30=3 40.005=104 50.005=105 60.005=106 70.005=107 80.005=108");
	assert_series(w, "up", "0=1 10=1 20=1 30=1 40.005=1 50.005=1 60.005=1 70.005=1 80.005=1");
	/* now the other way round, its row being the first */
	scrape(&s, A, 9 * INTERVAL, 9, true);
	scrape(&s, B, 9 * INTERVAL + 5, 0, false);
	assert_int_equal(det_replicas_led(w->r, A), 1);
	assert_series(
		w, "up", "0=1 10=1 20=1 30=1 40.005=1 50.005=1 60.005=1 70.005=1 80.005=1 90=1");
}

static void test_both_fail(void **state)
{
	struct world *w = *state;
	struct scraped s = scraped_by_both(w);
	for (int i = 0; i < 3; i++) {
		scrape(&s, A, i * INTERVAL, i, true);
		scrape(&s, B, i * INTERVAL + 5, 100 + i, true);
	}
	for (int i = 3; i < 6; i++) {
		scrape(&s, A, i * INTERVAL, 0, false);
		scrape(&s, B, i * INTERVAL + 5, 0, false);
	}
	assert_series(w, "up", "0=1 10=1 20=1 30.005=0 40.005=0 50.005=0");
	assert_series(w, "x", "0=0 10=1 20=2 30.005=s");
}

static void test_one_that_fails_often_does_not_lead(void **state)
{
	struct world *w = *state;
	struct scraped s = scraped_by_both(w);
	for (int i = 0; i < 6; i++) { /* B succeeds twice in a row at most */
		scrape(&s, A, i * INTERVAL, i, true);
		scrape(&s, B, i * INTERVAL + 5, 100 + i, i % 3 != 0);
	}
	scrape(&s, A, 6 * INTERVAL, 0, false);
	assert_int_equal(det_replicas_led(w->r, A), 1);
	assert_series(w, "up", "0=1 10=1 20=1 30=1 40=1 50=1 60=0");
}

/* What all have kept while the store was away comes in any order, and is there once. */
static void test_kept_rows_after_a_restart(void **state)
{
	struct world *w = *state;
	uint64_t id = a_leads(w);
	det_replicas_free(w->r);
	w->r = det_replicas_new(w->store);
	const struct det_store_resumed resumed = {id, A "\nj\ni", T0 + INTERVAL, INTERVAL};
	det_replicas_resume(w->r, &resumed);
	(void)announce(w, B, "xy");
	for (int i = 1; i < 4; i++) {
		row(w, B, id, i * INTERVAL + 11, 100 + i);
	}
	for (int i = 2; i < 5; i++) {
		row(w, A, id, i * INTERVAL, i);
	}
	row(w, B, id, 4 * INTERVAL + 11, 104);
	assert_series(w, "x", "0=1 10=2 20.011=102 30.011=103 40.011=104");
}

/* A scrape that was late makes two rows stand close; it is no new interval. */
static void test_late_scrape(void **state)
{
	struct world *w = *state;
	uint64_t id = a_leads(w);
	row(w, A, id, 2 * INTERVAL + 9900, 3);
	row(w, A, id, 3 * INTERVAL, 4);
	row(w, B, id, 3 * INTERVAL + 300, 103);
	row(w, B, id, 4 * INTERVAL + 300, 104);
	row(w, A, id, 4 * INTERVAL, 5);
	assert_series(w, "x", "0=1 10=2 29.9=3 30=4 40=5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_one_series, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leader_falls_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leader_lets_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leader_dies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leader_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_one_that_fails_often_does_not_lead, setup, teardown),
		cmocka_unit_test_setup_teardown(test_target_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_target_ends_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_layouts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dead_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_layout_of_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kept_rows_after_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_scrape, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
