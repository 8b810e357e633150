/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The portal's "release": a small YAML file that deploy.sh replaces. A release brings its own
 * faults along, as releases do; POST /chaos adds more on top.
 */
#include "common/base/def.h"
#include "common/base/error.h"

enum ocm_service {
	OCM_CLAIMS,
	OCM_REFUND,
	OCM_PASSPORT,
	OCM_SERVICES
};

struct ocm_fault {
	double error_ratio; /* 0..1 */
	int64_t latency_ms; /* added to every answer */
};

struct ocm_release {
	char version[64];
	struct ocm_fault faults[OCM_SERVICES];
};

const char *ocm_service_name(enum ocm_service s); /* claims, refund, passport */
/* OCM_SERVICES when there is none of that name. */
enum ocm_service ocm_service_find(const char *name);
/* Keys: version, SERVICE_error_ratio, SERVICE_latency. */
int ocm_release_load(
	const char *path, struct ocm_release *ret, struct ops_error *err) OPS_MUST_CHECK;
