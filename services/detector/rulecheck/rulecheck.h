/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Rule files checked by the loader of the service, with its templates and its engine: what passes
 * here loads there. `ops-detector --check-rules` and, through it, `opsctl check rules`.
 */
#include "common/rules/rules.h"

/* Rules of a file that have the same name and labels: what they record or alert on collides.
 * Calls fn for each that an earlier one equals; returns how many. */
size_t det_rulecheck_duplicates(const struct ops_rule_groups *groups,
	void (*fn)(void *arg, const struct ops_rule *rule, const struct ops_rule *earlier),
	void *arg);

/* [--lint all|duplicate-rules|none] [--lint-fatal] FILE... Returns the exit code: 0; 2 usage; 3 a
 * file is wrong, or with --lint-fatal lint found something. */
int det_rulecheck_main(int argc, char **argv);
