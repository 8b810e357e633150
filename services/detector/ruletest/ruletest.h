/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Unit tests of rules in promtool's format, run by the engine, the store and the evaluation of
 * rules that the service has. `ops-detector --test-rules` and, through it, `opsctl test rules`.
 * Everything is synchronous and without a loop.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/model/regex.h"

struct det_ruletest_options {
	const struct ops_regex *run; /* only tests whose name it matches; NULL: all */
	bool debug;		     /* say what each evaluation made, on stdout */
};

struct det_ruletest_case { /* one item of `tests` */
	const char *name;  /* "" without one */
	int line;
	bool skipped, debug;
	int64_t duration_ns;
	const char **failures; /* texts of several lines */
	size_t n, cap;
};

struct det_ruletest_report { /* of one file; release with det_ruletest_report_done */
	struct ops_arena arena;
	const char *file;
	struct det_ruletest_case *cases;
	size_t n;
	const char **warnings;
	size_t nwarnings, warnings_cap;
};

/*
 * 0 = every test passed; 1 = some failed, see the cases; negative: the file, or a rule file that it
 * names, is wrong, and err says where. ret is set in any case.
 */
int det_ruletest_run(const char *path, const struct det_ruletest_options *opt,
	struct det_ruletest_report *ret, struct ops_error *err) OPS_MUST_CHECK;
void det_ruletest_report_done(struct det_ruletest_report *r);

/* The command line behind --test-rules: [--json] [--debug] [--junit FILE] [--run REGEXP] FILE...
 * Returns the exit code: 0, 1 a test failed, 2 usage, 3 a file is wrong. */
int det_ruletest_main(int argc, char **argv);
