/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Rules evaluated elsewhere: instant queries to a Prometheus-compatible engine over HTTP, a bounded
 * number at a time, the rest in the order asked. Loop thread only.
 */
#include "common/loop/loop.h"
#include "common/net/http_options.h"
#include "services/detector/rules/rules.h"

struct det_datasource; /* opaque */

struct det_datasource_settings {
	const char *url; /* NULL: there is none; a query string goes into every request */
	int64_t timeout_ms, concurrency;
	struct ops_http_options http;
};

/* node: the URL, or a mapping; NULL or null: none. Everything lies in the arena. */
int det_datasource_load(struct ops_arena *a, const struct ops_conf_node *node,
	struct det_datasource_settings *ret, struct ops_conf_warnings *warnings,
	struct ops_error *err) OPS_MUST_CHECK;

/* Settings are borrowed. */
struct det_datasource *det_datasource_new(struct ops_loop *loop, struct ops_http_client *client,
	const struct det_datasource_settings *settings);
void det_datasource_free(struct det_datasource *ds); /* nobody is told; NULL is fine */
/* For det_rules_config; arg is the datasource. */
const struct det_rules_source *det_datasource_source(struct det_datasource *ds);

/* The answer of /api/v1/query: 0 with *ret in the arena; -EINVAL the engine refused, or another
 * shape. */
int det_datasource_decode(const char *body, size_t len, struct ops_arena *a, struct det_result *ret,
	struct ops_error *err) OPS_MUST_CHECK;
