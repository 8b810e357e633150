/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A test file as it was read, and what its files share. Everything lives in the report's arena but
 * label sets, which det_ruletest_file_done releases. */
#include "common/base/strbuf.h"
#include "common/conf/conf.h"
#include "common/model/histogram.h"
#include "common/model/labels.h"
#include "services/detector/rules/rules.h"
#include "services/detector/ruletest/ruletest.h"

struct det_ruletest_value { /* a sample of an input series, or one that is expected */
	bool omitted;
	double v;
	const struct ops_histogram *h;
};

struct det_ruletest_series {
	struct ops_labels *labels;
	struct det_ruletest_value *values;
	size_t n, next; /* next: not stored yet */
};

struct det_ruletest_alert { /* expected */
	struct ops_labels *labels, *annotations;
};

struct det_ruletest_alerts { /* of one alert_rule_test */
	const char *eval_text, *alertname;
	int64_t eval_ms;
	struct det_ruletest_alert *items;
	size_t n;
};

struct det_ruletest_sample {
	struct ops_labels *labels;
	struct det_ruletest_value value;
};

struct det_ruletest_expr { /* one promql_expr_test */
	const char *expr, *eval_text;
	int64_t eval_ms;
	struct det_ruletest_sample *items;
	size_t n;
};

struct det_ruletest_test {
	const char *name, *external_url;
	int line;
	int64_t interval_ms, start_ms;
	struct ops_labels *external_labels;
	struct det_ruletest_series *series;
	size_t nseries;
	struct det_ruletest_alerts *alerts;
	size_t nalerts;
	struct det_ruletest_expr *exprs;
	size_t nexprs;
};

struct det_ruletest_file {
	const char **rule_files;
	size_t nrule_files, rule_files_cap;
	int64_t interval_ms;
	struct det_rules_order order;
	bool fuzzy;
	struct det_ruletest_test *tests;
	size_t ntests;
};

/* file.c */
int det_ruletest_load(struct det_ruletest_report *r, const char *path,
	struct det_ruletest_file *ret, struct ops_error *err) OPS_MUST_CHECK;
/* The same from memory; dir is what file names are relative to. */
int det_ruletest_load_text(struct det_ruletest_report *r, const char *name, const char *text,
	size_t len, struct det_ruletest_file *ret, struct ops_error *err) OPS_MUST_CHECK;
void det_ruletest_file_done(struct det_ruletest_file *f);
const char *det_ruletest_warn(struct det_ruletest_report *r, const char *fmt, ...) OPS_PRINTF(2, 3);

/* notation.c: "metric{a=\"b\"} 1 2+3x4 {{...}}" */
int det_ruletest_series(struct ops_arena *a, const char *text, struct det_ruletest_series *ret,
	struct ops_error *err) OPS_MUST_CHECK;

/* run.c */
int det_ruletest_run_test(struct det_ruletest_report *r, const struct det_ruletest_file *f,
	struct det_ruletest_test *t, struct det_ruletest_case *ret,
	struct ops_error *err) OPS_MUST_CHECK;
void det_ruletest_fail(
	struct det_ruletest_report *r, struct det_ruletest_case *c, const struct ops_strbuf *text);

/* compare.c */
bool det_ruletest_value_equal(
	const struct det_ruletest_value *a, const struct det_ruletest_value *b, bool fuzzy);
void det_ruletest_sort_samples(struct det_ruletest_sample *list, size_t n);
void det_ruletest_sort_alerts(struct det_ruletest_alert *list, size_t n);
void det_ruletest_print_samples(
	const struct det_ruletest_sample *list, size_t n, struct ops_strbuf *out);
void det_ruletest_print_alerts(
	const struct det_ruletest_alert *list, size_t n, struct ops_strbuf *out);

/* report.c */
void det_ruletest_print(const struct det_ruletest_report *r, const struct ops_error *broken);
