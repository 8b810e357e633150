/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsdb *: the detector's blocks, by its own program: one reader and one writer of the format.
 */
#include "cli/ctl.h"

#include <string.h>

/* Every flag that the command has is one of the detector's, by the same name. */
static int run_tsdb(const struct ctl *c, const char *command, int nargs_min)
{
	const char *args[CTL_ARGS_MAX + 2 * CTL_FLAGS_MAX + 4] = {"--tsdb", command};
	char *names[CTL_FLAGS_MAX] = {NULL};
	size_t n = 2;
	if (c->nargs < nargs_min) {
		return ctl_usage(c, "which file?");
	}
	for (size_t i = 0; i < CTL_FLAGS_MAX && c->command->flags[i].name != NULL; i++) {
		if (c->values[i] != NULL) {
			names[i] = ops_xasprintf("--%s", c->command->flags[i].name);
			args[n++] = names[i];
			args[n++] = c->values[i];
		}
	}
	if (c->json) {
		args[n++] = "--json";
	}
	args[n++] = "--";
	for (int i = 0; i < c->nargs; i++) {
		args[n++] = c->args[i];
	}
	int code = ctl_run_service(CTL_DETECTOR, args, false);
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		free(names[i]);
	}
	return code;
}

static int run_list(struct ctl *c)
{
	return run_tsdb(c, "list", 0);
}

static int run_verify(struct ctl *c)
{
	return run_tsdb(c, "verify", 0);
}

static int run_analyze(struct ctl *c)
{
	return run_tsdb(c, "analyze", 0);
}

static int run_dump(struct ctl *c)
{
	return run_tsdb(c, "dump", 0);
}

static int run_create(struct ctl *c)
{
	if (c->nargs > 0 && strcmp(c->args[0], "openmetrics") != 0) {
		return ctl_usage(c, "blocks are made from openmetrics, not from '%s'", c->args[0]);
	}
	return run_tsdb(c, "create-blocks-from", 2);
}

const struct ctl_command ctl_tsdb_commands[] = {
	{"tsdb list", "[DIR]", "the blocks of a detector's store: time, samples, series, bytes",
		{{NULL, NULL, NULL}}, run_list},
	{"tsdb verify", "[DIR]", "read all of every block and compare it with its checksums",
		{{NULL, NULL, NULL}}, run_verify},
	{"tsdb analyze", "[DIR] [BLOCK]", "what makes a block large: metrics, labels, values",
		{{"limit", "N", "lines of each list (default 20)"}}, run_analyze},
	{"tsdb dump", "[DIR] [--match SELECTOR] [--mint TIME] [--maxt TIME] [--format FORMAT]",
		"all samples of the blocks as text, series by series",
		{{"match", "SELECTOR", "only series that it selects"},
			{"mint", "TIME", "not before (RFC 3339, or seconds since 1970)"},
			{"maxt", "TIME", "not after"},
			{"format", "FORMAT",
				"prometheus (times in milliseconds; default) or openmetrics"}},
		run_dump},
	{"tsdb create-blocks-from", "openmetrics FILE [DIR] [--block-duration DURATION]",
		"make blocks from samples with their times; FILE - is standard input, DIR is data",
		{{"block-duration", "DURATION", "time that a block spans (default 2h)"}},
		run_create},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
