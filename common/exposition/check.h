/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Whole documents, judged by a profile: what Prometheus' scraper takes, what a strict
 * OpenMetrics 1.0 parser takes, or what the family-building parser of promtool and Pushgateway
 * takes. For people who write exporters, and for doors where a document is pushed. Pure.
 */
#include "common/base/def.h"
#include "common/base/error.h"

enum ops_exposition_profile {
	OPS_PROFILE_PROMETHEUS,	 /* text format 0.0.4 as scraped */
	OPS_PROFILE_OPENMETRICS, /* strict */
	OPS_PROFILE_EXPFMT	 /* text format 0.0.4, strict */
};

struct ops_exposition_check {
	enum ops_exposition_profile profile;
	bool legacy_names; /* refuse names outside [a-zA-Z0-9_:] (EXPFMT) */
	/*
	 * What is allowed but unwise, once per metric family and problem, in order of appearance;
	 * NULL: not wanted. Texts live during the call.
	 */
	void (*on_lint)(void *arg, const char *metric, const char *problem);
	void *arg;
	size_t samples; /* result */
};

/* -EINVAL with err (line and column set): the profile refuses the document. */
int ops_exposition_check(struct ops_exposition_check *c, const char *data, size_t len,
	struct ops_error *err) OPS_MUST_CHECK;
