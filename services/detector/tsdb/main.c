/* SPDX-License-Identifier: Apache-2.0 */
/* The command line behind --tsdb: flags, and which command. */
#include "services/detector/tsdb/tsdb.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "services/detector/tsdb/internal.h"

/* RFC 3339, or seconds since 1970. */
static int parse_time(const char *text, int64_t *ret)
{
	double seconds;
	if (ops_time_parse(text, strlen(text), ret) == 0) {
		return TSDB_OK;
	}
	if (ops_parse_double(text, strlen(text), &seconds) != 0 || !(fabs(seconds) < 1e12)) {
		return det_tsdb_fail(
			TSDB_USAGE, "'%s' is no time (RFC 3339, or seconds since 1970)", text);
	}
	*ret = (int64_t)llrint(seconds * 1000);
	return TSDB_OK;
}

enum {
	FLAG_JSON = 1,
	FLAG_MATCH,
	FLAG_MINT,
	FLAG_MAXT,
	FLAG_FORMAT,
	FLAG_LIMIT,
	FLAG_DURATION
};

static int take_format(struct det_tsdb_options *o, const char *text)
{
	o->openmetrics = strcmp(text, "openmetrics") == 0;
	return o->openmetrics || strcmp(text, "prometheus") == 0
		       ? TSDB_OK
		       : det_tsdb_fail(
				 TSDB_USAGE, "no such format '%s' (prometheus, openmetrics)", text);
}

static int take_number(struct det_tsdb_options *o, int flag, const char *text)
{
	uint64_t limit;
	if (flag == FLAG_LIMIT) {
		if (ops_parse_u64(text, strlen(text), &limit) != 0 || limit > 1000000) {
			return det_tsdb_fail(TSDB_USAGE, "--limit wants a number, not '%s'", text);
		}
		o->limit = (size_t)limit;
		return TSDB_OK;
	}
	if (ops_duration_parse(text, strlen(text), &o->block_ms) != 0 || o->block_ms < 60000) {
		return det_tsdb_fail(
			TSDB_USAGE, "--block-duration wants 1m or more, not '%s'", text);
	}
	return TSDB_OK;
}

static int take_flag(struct det_tsdb_options *o, int flag, const char *value)
{
	switch (flag) {
	case FLAG_JSON:
		o->json = true;
		return TSDB_OK;
	case FLAG_MATCH:
		if (o->nmatches == TSDB_MATCHES_MAX) {
			return det_tsdb_fail(TSDB_USAGE, "too many selectors");
		}
		o->matches[o->nmatches++] = value;
		return TSDB_OK;
	case FLAG_MINT:
	case FLAG_MAXT:
		return parse_time(value, &o->range_ms[flag == FLAG_MAXT]);
	case FLAG_FORMAT:
		return take_format(o, value);
	case FLAG_LIMIT:
	case FLAG_DURATION:
		return take_number(o, flag, value);
	default:
		return TSDB_USAGE; /* getopt said why */
	}
}

static int take_args(struct det_tsdb_options *o, int argc, char **argv)
{
	static const struct option known[] = {{"json", no_argument, NULL, FLAG_JSON},
		{"match", required_argument, NULL, FLAG_MATCH},
		{"mint", required_argument, NULL, FLAG_MINT},
		{"maxt", required_argument, NULL, FLAG_MAXT},
		{"format", required_argument, NULL, FLAG_FORMAT},
		{"limit", required_argument, NULL, FLAG_LIMIT},
		{"block-duration", required_argument, NULL, FLAG_DURATION}, {NULL, 0, NULL, 0}};
	int c, rc = TSDB_OK;
	optind = 1;
	while (rc == TSDB_OK && (c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		rc = take_flag(o, c, optarg);
	}
	for (int i = optind; rc == TSDB_OK && i < argc; i++) {
		if (o->nargs == (int)OPS_LENGTH(o->args)) {
			return det_tsdb_fail(TSDB_USAGE, "too many arguments: %s", argv[i]);
		}
		o->args[o->nargs++] = argv[i];
	}
	return rc;
}

static const struct {
	const char *name;
	int (*run)(const struct det_tsdb_options *o);
} commands[] = {{"list", det_tsdb_list}, {"verify", det_tsdb_verify}, {"analyze", det_tsdb_analyze},
	{"dump", det_tsdb_dump}, {"create-blocks-from", det_tsdb_create}};

int det_tsdb_main(int argc, char **argv)
{
	struct det_tsdb_options o = {
		.range_ms = {INT64_MIN, INT64_MAX}, .limit = 20, .block_ms = 7200 * 1000};
	for (size_t i = 0; argc > 1 && i < OPS_LENGTH(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0) {
			int rc = take_args(&o, argc - 1, argv + 1);
			return rc == TSDB_OK ? commands[i].run(&o) : rc;
		}
	}
	return det_tsdb_fail(
		TSDB_USAGE, "--tsdb list | analyze | verify | dump | create-blocks-from");
}
