/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lint finds what loads and is hardly meant: today duplicate rules, as promtool does, over all
 * groups of a file. Variables of the detector's configuration are unknown here; any value of the
 * right kind will do for them.
 */
#include "services/detector/rulecheck/rulecheck.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "services/detector/rules/rules.h"

enum {
	EXIT_USAGE = 2,
	EXIT_WRONG = 3
};

static const struct ops_rule_variable variables[] = {{"RULE_WINDOW", "5m"}, {"RULE_FOR", "3m"}};

/* ---- lint ---- */

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(
		((const struct ops_rule_pair *)a)->name, ((const struct ops_rule_pair *)b)->name);
}

/* Name and labels as one text; no two different rules give the same. */
static void identity(const struct ops_rule *r, struct ops_strbuf *out)
{
	struct ops_rule_pair *sorted =
		ops_xcalloc(OPS_MAX(r->labels.n, (size_t)1), sizeof(*sorted));
	ops_strbuf_reset(out);
	ops_strbuf_add_json(out, r->name, strlen(r->name));
	if (r->labels.n > 0) {
		memcpy(sorted, r->labels.items, r->labels.n * sizeof(*sorted));
		qsort(sorted, r->labels.n, sizeof(*sorted), compare_pairs);
	}
	for (size_t i = 0; i < r->labels.n; i++) {
		ops_strbuf_add_json(out, sorted[i].name, strlen(sorted[i].name));
		ops_strbuf_add_json(out, sorted[i].value, strlen(sorted[i].value));
	}
	free(sorted);
}

size_t det_rulecheck_duplicates(const struct ops_rule_groups *groups,
	void (*fn)(void *arg, const struct ops_rule *rule, const struct ops_rule *earlier),
	void *arg)
{
	struct ops_map *seen = ops_map_new();
	struct ops_strbuf key = OPS_STRBUF_INIT;
	size_t found = 0;
	for (size_t i = 0; i < groups->n; i++) {
		for (size_t k = 0; k < groups->items[i].n; k++) {
			struct ops_rule *r = &groups->items[i].rules[k];
			identity(r, &key);
			struct ops_rule *earlier = ops_map_get(seen, key.data, key.len);
			if (earlier == NULL) {
				ops_map_put(seen, key.data, key.len, r);
				continue;
			}
			found++;
			fn(arg, r, earlier);
		}
	}
	ops_strbuf_done(&key);
	ops_map_free(seen, NULL);
	return found;
}

static void tell_duplicate(void *arg, const struct ops_rule *rule, const struct ops_rule *earlier)
{
	(void)arg;
	fprintf(stderr,
		"%s:%d:%d: lint: duplicate rule: '%s' with the same labels stands at line %d; its "
		"results would collide\n",
		rule->file, rule->line, rule->column, rule->name, earlier->line);
}

/* ---- one file ---- */

static int load(struct ops_arena *a, const char *file, struct ops_rule_groups *groups,
	struct ops_error *err)
{
	struct ops_conf_warnings warnings = {.arena = a};
	const struct ops_rules_options opt = {
		.variables = variables, .nvariables = OPS_LENGTH(variables)};
	const struct det_rules_set set = {.files = &file,
		.nfiles = 1,
		.variables = variables,
		.nvariables = OPS_LENGTH(variables)};
	int rc = det_rules_check(&set, NULL, err);
	if (rc == 0) {
		rc = ops_rules_load_file(a, file, &opt, groups, &warnings, err);
	}
	for (size_t i = 0; i < warnings.n; i++) {
		fprintf(stderr, "warning: %s\n", warnings.items[i]);
	}
	return rc;
}

static int check_file(const char *file, bool lint, bool lint_fatal)
{
	struct ops_arena arena;
	struct ops_error err = {.line = 0};
	struct ops_rule_groups groups = {NULL, 0, 0};
	size_t rules = 0, found = 0;
	ops_arena_init(&arena);
	int rc = load(&arena, file, &groups, &err);
	if (rc != 0) {
		char text[1200];
		fprintf(stderr, "%s\n", ops_error_text(&err, text, sizeof(text)));
	} else {
		found = lint ? det_rulecheck_duplicates(&groups, tell_duplicate, NULL) : 0;
		for (size_t i = 0; i < groups.n; i++) {
			rules += groups.items[i].n;
		}
		printf("%s: %zu groups, %zu rules, %s\n", file, groups.n, rules,
			found == 0 ? "good" : "good but for what lint says");
	}
	free(groups.items);
	ops_arena_done(&arena);
	return rc != 0 || (lint_fatal && found > 0) ? EXIT_WRONG : 0;
}

/* ---- the command line ---- */

static int usage(const char *what)
{
	fprintf(stderr,
		"ops-detector: %s\nusage: ops-detector --check-rules "
		"[--lint all|duplicate-rules|none] [--lint-fatal] FILE...\n",
		what);
	return EXIT_USAGE;
}

int det_rulecheck_main(int argc, char **argv)
{
	static const struct option known[] = {{"lint", required_argument, NULL, 'l'},
		{"lint-fatal", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
	bool lint = true, fatal = false;
	int c, code = 0;
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (c == 'f') {
			fatal = true;
			continue;
		}
		bool off = c == 'l' && strcmp(optarg, "none") == 0;
		bool on = c == 'l' &&
			  (strcmp(optarg, "all") == 0 || strcmp(optarg, "duplicate-rules") == 0);
		if (!off && !on) {
			return usage(c == 'l' ? "--lint is all, duplicate-rules or none"
					      : "unknown or incomplete option");
		}
		lint = on;
	}
	if (optind == argc) {
		return usage("which files?");
	}
	for (int i = optind; i < argc; i++) {
		int file_code = check_file(argv[i], lint, fatal);
		code = OPS_MAX(code, file_code);
	}
	return code;
}
