/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time of an evaluation of an alerting rule: 5000 rules over 200 targets of 1000 series that
 * were scraped every 15 s for 6 minutes, as `./dev bench` compares them with others, but without
 * scraping and without a loop. Each expression's median over rounds of all rules.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "common/log/log.h"
#include "services/detector/rules/rules.h"

enum {
	TARGETS = 200,
	SERIES = 1000,
	NAMES = 50,
	RULES = 5000,
	ROUNDS = 7,
	SCRAPES = 24,
	STEP_MS = 15000
};

static int64_t cpu_ns(void)
{
	struct timespec t;
	ops_assert(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void add_target(struct det_store *store, unsigned target, uint64_t *ret_id)
{
	static struct ops_labels *series[SERIES];
	static uint32_t family[SERIES];
	char name[32], job[16], instance[32], path[16];
	snprintf(job, sizeof(job), "t%u", target);
	snprintf(instance, sizeof(instance), "10.0.0.%u:8080", target);
	for (unsigned i = 0; i < SERIES; i++) {
		snprintf(name, sizeof(name), "bench_%u_total", i % NAMES);
		snprintf(path, sizeof(path), "/p/%u", i / NAMES);
		series[i] = ops_labels_of("__name__", name, "job", job, "instance", instance,
			"path", path, "zone", "eu-central-1", NULL);
		family[i] = UINT32_MAX;
	}
	struct ops_strbuf bytes = OPS_STRBUF_INIT;
	struct ops_layout l = {
		.job = job, .instance = instance, .series = series, .family = family, .n = SERIES};
	struct ops_error err;
	int rc = ops_layout_encode(&l, &bytes);
	ops_assert(rc == 0);
	struct ops_layout *decoded = NULL;
	rc = ops_layout_decode(bytes.data, bytes.len, &decoded, &err);
	ops_assert(rc == 0);
	*ret_id = decoded->id;
	rc = det_store_layout(store, decoded);
	ops_assert(rc == 0);
	ops_layout_free(decoded);
	ops_strbuf_done(&bytes);
	for (unsigned i = 0; i < SERIES; i++) {
		ops_labels_unref(series[i]);
	}
}

static void scrape(struct det_store *store, const uint64_t *ids, unsigned round, int64_t now_ms)
{
	static double values[SERIES];
	for (unsigned t = 0; t < TARGETS; t++) {
		for (unsigned i = 0; i < SERIES; i++) {
			values[i] = (double)(round * (i % 17 + 1) + t);
		}
		const struct ops_batch b = {
			.layout_id = ids[t], .time_ms = now_ms, .values = values, .n = SERIES};
		int rc = det_store_append_batch(store, &b);
		ops_assert(rc == 0);
	}
}

struct shape { /* an expression around the number of the metric and of the target */
	const char *before, *between, *after;
};

static char *write_rules(const char *dir, const struct shape *x)
{
	char *path = ops_path_join(dir, "rules.yml");
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "groups:\n");
	for (unsigned i = 0; i < RULES; i++) {
		if (i % 50 == 0) {
			ops_strbuf_printf(&out, "- name: g%u\n  interval: 15s\n  rules:\n", i / 50);
		}
		ops_strbuf_printf(&out, "  - alert: A%u\n    expr: ", i);
		ops_strbuf_printf(&out, "%s%u%s%u%s", x->before, i % NAMES, x->between,
			i / NAMES % TARGETS, x->after);
		ops_strbuf_adds(&out, "\n    for: 1m\n    labels: {severity: warning}\n");
	}
	int rc = ops_file_write_atomic(path, out.data, out.len, 0600);
	ops_assert(rc == 0);
	ops_strbuf_done(&out);
	return path;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void measure(const struct shape *x)
{
	static uint64_t ids[TARGETS];
	const struct det_store_options options = {.retention_ms = 86400000};
	const struct det_engine_options engine = {.lookback_ms = 0};
	struct det_store *store = det_store_new(&options);
	const struct det_rules_config cfg = {.store = store, .engine = &engine};
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *path = write_rules(dir, x);
	const char *const files[] = {path};
	const struct det_rules_set set = {.files = files, .nfiles = 1, .interval_ms = STEP_MS};
	const struct det_rules_order any = {NULL, 0};
	struct det_rules *rules = NULL;
	struct ops_error err;
	int64_t now_ms = 1700000000000, ns[ROUNDS];
	for (unsigned t = 0; t < TARGETS; t++) {
		add_target(store, t, &ids[t]);
	}
	for (unsigned i = 0; i < SCRAPES; i++, now_ms += STEP_MS) {
		scrape(store, ids, i, now_ms);
	}
	int rc = det_rules_new(&cfg, &rules, &err);
	rc = rc == 0 ? det_rules_load(rules, &set, NULL, &err) : rc;
	ops_assert(rc == 0);
	for (unsigned i = 0; i < ROUNDS; i++, now_ms += STEP_MS) {
		scrape(store, ids, SCRAPES + i, now_ms);
		int64_t start = cpu_ns();
		size_t failed = det_rules_step(rules, &any, now_ms, NULL, NULL);
		ns[i] = cpu_ns() - start;
		ops_assert(failed == 0);
	}
	int64_t first = ns[0];
	qsort(ns, ROUNDS, sizeof(ns[0]), compare);
	printf("%s0%s0%s: %.2f us (first round %.2f)\n", x->before, x->between, x->after,
		(double)ns[ROUNDS / 2] / RULES / 1000, (double)first / RULES / 1000);
	det_rules_free(rules);
	det_store_free(store);
	tempdir_remove(dir);
}

int main(int argc, char **argv)
{
	static const struct shape shapes[] = {{"rate(bench_", "_total{job=\"t", "\"}[5m]) > 1e9"},
		{"bench_", "_total{job=\"t", "\"} > 1e9"},
		{"sum by (job) (rate(bench_", "_total{job=\"t", "\"}[5m])) > 1e9"},
		{"rate(bench_", "_total{job=~\"t", "|x.*\",path!=\"/p/3\"}[5m]) > 1e9"}};
	ops_log_set_level(OPS_LOG_ERROR);
	for (size_t i = 0; i < OPS_LENGTH(shapes); i++) {
		bool wanted = argc < 2 || strstr(shapes[i].before, argv[1]) != NULL;
		if (wanted) {
			measure(&shapes[i]);
		}
	}
	return 0;
}
