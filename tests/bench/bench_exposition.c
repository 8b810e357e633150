/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a body of 1000 series takes: parsed as if never seen; read by the layout of the scrape
 * before with every value changed; and when each twentieth of its series is another one than
 * before, with all that becomes of a new layout until it is sent. The median of many runs, in
 * microseconds.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "services/collector/config.h"
#include "services/collector/layout.h"

enum {
	SERIES = 1000,
	RUNS = 2000
};

static void write_body(struct ops_strbuf *out, unsigned round, unsigned generation)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
	ops_strbuf_reset(out);
	for (unsigned i = 0; i < SERIES; i++) {
		if (i % 50 == 0) {
			ops_strbuf_printf(out,
				"# HELP http_requests_%u_total Requests by handler.\n"
				"# TYPE http_requests_%u_total counter\n",
				i / 50, i / 50);
		}
		ops_strbuf_printf(out,
			"http_requests_%u_total{handler=\"/api/v1/resource/%u\",method=\"%s\","
			"code=\"200\",zone=\"eu-central-1\",version=\"2.5.%u\"} ",
			i / 50, i, methods[i % 4], i < SERIES / 20 ? generation : 0);
		if (i % 3 == 0) {
			ops_strbuf_printf(out, "%u.%u\n", i * 17 + round, round % 1000);
		} else {
			ops_strbuf_printf(out, "%u\n", i * 1313 + round);
		}
	}
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void report(const char *what, int64_t *ns, size_t bytes)
{
	qsort(ns, RUNS, sizeof(*ns), compare);
	double us = (double)ns[RUNS / 2] / 1000;
	printf("%-28s %8.1f us  %6.2f GB/s  %5.1f ns a series\n", what, us,
		(double)bytes / us / 1000, us * 1000 / SERIES);
}

static const struct col_limits limits = {.samples = 0};
static struct col_series_rules rules = {
	.instance = "h:1", .honor_timestamps = true, .limits = &limits};

static void send(struct col_layout *l, struct ops_strbuf *message)
{
	ops_strbuf_reset(message);
	int r = ops_layout_encode(&l->wire, message);
	ops_assert(r == 0);
	col_layout_keep_message(l, message->data, message->len);
}

/* What a scraper and its rows do when a body does not fit. */
static void measure_changes(void)
{
	static int64_t changed[RUNS];
	struct ops_strbuf body = OPS_STRBUF_INIT, message = OPS_STRBUF_INIT;
	struct col_values now = {.n = 0}, last = {.n = 0};
	struct col_layout *old = NULL, *next = NULL;
	struct ops_error err;
	for (unsigned i = 0; i < RUNS; i++) {
		write_body(&body, i, i);
		const struct ops_exposition_text text = {body.data, body.len};
		int64_t start = ops_mono_ns();
		bool fits = old != NULL &&
			    col_layout_read(old, &rules, OPS_EXPOSITION_TEXT, text, &now);
		ops_assert(!fits);
		int r = col_layout_parse(&rules, OPS_EXPOSITION_TEXT, text, &now, &next, &err);
		size_t added = col_layout_added(next, old);
		ops_assert(r == 0 && added == (old != NULL ? SERIES / 20 : SERIES));
		send(next, &message);
		if (old != NULL) {
			col_layout_retire(old, &last, next, &now, false);
		}
		col_layout_free(old);
		col_layout_pack(next);
		changed[i] = ops_mono_ns() - start;
		struct col_values swap = last;
		last = now;
		now = swap;
		old = next;
	}
	report("5 % of the series changed", changed, body.len);
	col_layout_free(old);
	col_values_done(&now);
	col_values_done(&last);
	ops_strbuf_done(&body);
	ops_strbuf_done(&message);
}

int main(void)
{
	static int64_t whole[RUNS], shorter[RUNS];
	rules.labels = ops_labels_of("instance", "h:1", "job", "j", NULL);
	struct ops_strbuf body = OPS_STRBUF_INIT;
	struct col_values values = {.n = 0};
	struct col_layout *layout = NULL;
	struct ops_error err;
	col_reports_build(rules.labels, false, rules.reports);
	for (unsigned i = 0; i < RUNS; i++) {
		write_body(&body, i, 0);
		const struct ops_exposition_text text = {body.data, body.len};
		if (layout != NULL) {
			int64_t start = ops_mono_ns();
			bool fits =
				col_layout_read(layout, &rules, OPS_EXPOSITION_TEXT, text, &values);
			shorter[i] = ops_mono_ns() - start;
			ops_assert(fits);
			col_layout_free(layout);
		}
		int64_t start = ops_mono_ns();
		int r = col_layout_parse(&rules, OPS_EXPOSITION_TEXT, text, &values, &layout, &err);
		whole[i] = ops_mono_ns() - start;
		ops_assert(r == 0);
	}
	printf("%d series, %zu bytes\n", SERIES, body.len);
	report("parsed for the first time", whole, body.len);
	report("layout unchanged", shorter, body.len);
	measure_changes();
	col_layout_free(layout);
	col_values_done(&values);
	ops_strbuf_done(&body);
	for (size_t i = 0; i < COL_REPORTS; i++) {
		ops_labels_unref(rules.reports[i]);
	}
	ops_labels_unref(rules.labels);
	return 0;
}
