/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The ways of finding targets that there are, and what their tables of keys are written with. */
#include "common/net/http_options.h"
#include "services/collector/discovery/sd.h"

extern const struct col_sd_class col_sd_file, col_sd_http, col_sd_dns, col_sd_docker,
	col_sd_dockerswarm, col_sd_consul, col_sd_kubernetes;

#define COL_SD_KEY(type_, name_, kind_, field_, flags_, fallback_)                                 \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct type_, field_),        \
		.flags = (flags_), .fallback = (fallback_)                                         \
	}
#define COL_SD_PORT(type_, field_, fallback_)                                                      \
	{                                                                                          \
		.name = "port", .kind = OPS_CONF_K_INT, .offset = offsetof(struct type_, field_),  \
		.fallback = (fallback_), .min = 0, .max = 65535                                    \
	}

/* What docker and dockerswarm are told of the engine, and what is made of it. */
struct col_sd_engine {
	const char *host;			     /* as written */
	const struct ops_conf_node *filters_written; /* a list of {name: ..., values: [...]} */
	int64_t port, refresh_ms;
	struct ops_http_options http;
	const char *base, *socket; /* of URLs; NULL: no socket */
	const char *filters;	   /* as Docker's JSON {"name": ["value", ...]}; NULL: none */
};
#define COL_SD_ENGINE_ROWS(type_, member_)                                                         \
	COL_SD_KEY(type_, "host", OPS_CONF_K_STRING, member_.host, OPS_CONF_REQUIRED, NULL),       \
		COL_SD_PORT(type_, member_.port, "80"),                                            \
		COL_SD_KEY(type_, "filters", OPS_CONF_K_NODE, member_.filters_written, 0, NULL),   \
		COL_SD_KEY(type_, "refresh_interval", OPS_CONF_K_DURATION, member_.refresh_ms, 0,  \
			"1m"),                                                                     \
		OPS_HTTP_OPTIONS_ROWS(struct type_, member_.http)
/* Completes what was decoded by these rows from node. */
int col_sd_engine_finish(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_sd_engine *e, struct ops_error *err) OPS_MUST_CHECK;
/* That refresh_interval, as decoded from node, is a time to wait. */
int col_sd_check_refresh(
	const struct ops_conf_node *node, int64_t refresh_ms, struct ops_error *err) OPS_MUST_CHECK;
/* URL of a list of the engine, with the filters or without. Owned. */
char *col_sd_engine_url(const struct col_sd_engine *e, const char *list, bool filtered);
/* What Docker says about its networks, as labels with this prefix, set for the one with this id. */
void col_sd_docker_network(
	struct ops_labels_builder *b, const char *prefix, const json_t *networks, const char *id);
/* host:port, brackets around an IPv6 address; as __address__. */
void col_sd_address(struct ops_labels_builder *b, const char *host, int64_t port);
/* All members of a JSON object of strings as labels behind prefix. */
void col_sd_labels(struct ops_labels_builder *b, const char *prefix, const json_t *object);
