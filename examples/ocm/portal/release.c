/* SPDX-License-Identifier: Apache-2.0 */
#include "examples/ocm/portal/release.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "common/conf/conf.h"

static const char *const names[OCM_SERVICES] = {"claims", "refund", "passport"};

struct release_keys {
	const char *version;
	double error_ratio[OCM_SERVICES];
	int64_t latency_ms[OCM_SERVICES];
};

#define FAULT_KEYS(index, service)                                                                 \
	{.name = service "_error_ratio",                                                           \
		.kind = OPS_CONF_K_DOUBLE,                                                         \
		.offset = offsetof(struct release_keys, error_ratio) + (index) * sizeof(double),   \
		.doc = "share of requests that fail, 0 to 1"},                                     \
	{                                                                                          \
		.name = service "_latency", .kind = OPS_CONF_K_DURATION,                           \
		.offset = offsetof(struct release_keys, latency_ms) + (index) * sizeof(int64_t),   \
		.min = 0, .max = 60000, .doc = "time added to every answer"                        \
	}

static const struct ops_conf_key keys[] = {
	{.name = "version",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct release_keys, version),
		.flags = OPS_CONF_REQUIRED,
		.doc = "what the portal calls itself"},
	FAULT_KEYS(OCM_CLAIMS, "claims"),
	FAULT_KEYS(OCM_REFUND, "refund"),
	FAULT_KEYS(OCM_PASSPORT, "passport"),
	OPS_CONF_END,
};

const char *ocm_service_name(enum ocm_service s)
{
	ops_assert(s < OCM_SERVICES);
	return names[s];
}

enum ocm_service ocm_service_find(const char *name)
{
	enum ocm_service s = OCM_CLAIMS;
	while (s < OCM_SERVICES && !ops_str_eq(names[s], name)) {
		s++;
	}
	return s;
}

int ocm_release_load(const char *path, struct ocm_release *ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_arena_done) struct ops_arena arena;
	ops_arena_init(&arena);
	struct ops_conf_node *tree = NULL;
	struct release_keys values;
	memset(&values, 0, sizeof(values));
	int rc = ops_conf_load_file(&arena, path, NULL, &tree, err);
	if (rc == 0) {
		rc = ops_conf_decode(&arena, tree, keys, &values, NULL, err);
	}
	if (rc != 0) {
		return rc;
	}
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->version, sizeof(ret->version), "%s", values.version);
	for (int s = 0; s < OCM_SERVICES; s++) {
		ret->faults[s].error_ratio = values.error_ratio[s];
		ret->faults[s].latency_ms = values.latency_ms[s];
	}
	return 0;
}
