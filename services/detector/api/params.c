/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of a request: times, durations, numbers, as Prometheus reads and refuses them. */
#include "services/detector/api/api_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/text.h"

#define EDGE_MS 4.6e18 /* no time is farther away: half of what int64_t holds */

/* What int64_t holds in milliseconds, cut off so that spans can be added to it. */
static bool read_time(const char *text, int64_t *ret_ms)
{
	double seconds;
	const double most = (double)INT64_MAX / 1000;
	if (ops_parse_double(text, strlen(text), &seconds) != 0 || !(fabs(seconds) <= most)) {
		return false;
	}
	double ms = OPS_MAX(-EDGE_MS, OPS_MIN(seconds * 1000, EDGE_MS));
	*ret_ms = (int64_t)llround(ms);
	return true;
}

static bool parse_seconds(const char *text, int64_t *ret_ms)
{
	double seconds;
	if (ops_parse_double(text, strlen(text), &seconds) != 0 || !(fabs(seconds) < 9e15)) {
		return false;
	}
	*ret_ms = (int64_t)llround(seconds * 1000);
	return true;
}

static bool parse_time(const char *text, int64_t *ret_ms)
{
	/* upstream's own bounds, which clients send back; RFC 3339 has no such years */
	if (ops_str_eq(text, "-292273086-05-16T16:47:06Z")) {
		*ret_ms = (int64_t)-EDGE_MS;
		return true;
	}
	if (ops_str_eq(text, "292277025-08-18T07:12:54.999999999Z")) {
		*ret_ms = (int64_t)EDGE_MS;
		return true;
	}
	return read_time(text, ret_ms) || ops_time_parse(text, strlen(text), ret_ms) == 0;
}

/* before: what stands before the reason. */
static void refuse_param(struct ops_http_req *req, const char *name, const char *before,
	const char *text, const char *kind)
{
	(void)det_api_bad(req, name, "%scannot parse \"%.200s\" to a valid %s", before, text, kind);
}

int det_api_param_time(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (parse_time(text, ret_ms)) {
		return 0;
	}
	char before[80];
	snprintf(before, sizeof(before), "Invalid time value for '%s': ", name);
	refuse_param(req, name, before, text, "timestamp");
	return -EINVAL;
}

int det_api_need_time(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text != NULL && parse_time(text, ret_ms)) {
		return 0;
	}
	refuse_param(req, name, "", text != NULL ? text : "", "timestamp");
	return -EINVAL;
}

bool det_api_parse_duration(const char *text, int64_t *ret_ms)
{
	return parse_seconds(text, ret_ms) || ops_duration_parse(text, strlen(text), ret_ms) == 0;
}

int det_api_param_duration(struct ops_http_req *req, const char *name, int64_t *ret_ms)
{
	const char *text = ops_http_param(req, name);
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (det_api_parse_duration(text, ret_ms)) {
		return 0;
	}
	refuse_param(req, name, "", text, "duration");
	return -EINVAL;
}

static void refuse_limit(struct ops_http_req *req, const char *name, const char *text)
{
	uint64_t n;
	bool negative = text[0] == '-' && ops_parse_u64(text + 1, strlen(text + 1), &n) == 0;
	bool digits = text[strspn(text, "0123456789")] == '\0';
	if (negative) {
		(void)det_api_bad(req, name, "limit must be non-negative");
		return;
	}
	(void)det_api_bad(req, name, "strconv.Atoi: parsing \"%.200s\": %s", text,
		digits ? "value out of range" : "invalid syntax");
}

int det_api_param_limit(struct ops_http_req *req, const char *name, size_t *ret)
{
	const char *text = ops_http_param(req, name);
	uint64_t limit;
	if (text == NULL || *text == '\0') {
		return 1;
	}
	if (ops_parse_u64(text, strlen(text), &limit) != 0 || limit > SIZE_MAX / 2) {
		refuse_limit(req, name, text);
		return -EINVAL;
	}
	if (limit != 0) { /* 0: none */
		*ret = (size_t)limit;
	}
	return 0;
}

int det_api_param_number(struct ops_http_req *req, const char *name, size_t *ret)
{
	const char *text = ops_http_param(req, name);
	int64_t n = 0;
	if (text == NULL || *text == '\0') {
		return 0;
	}
	if (ops_parse_i64(text, strlen(text), &n) != 0) {
		return det_api_refuse(req, "%s must be a number", name);
	}
	*ret = n >= 0 ? (size_t)n : SIZE_MAX;
	return 0;
}
