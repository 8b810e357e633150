/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The ways of finding targets that there are, and what their tables of keys are written with. */
#include "services/collector/discovery/sd.h"

extern const struct col_sd_class col_sd_file, col_sd_http, col_sd_dns, col_sd_docker,
	col_sd_dockerswarm, col_sd_consul, col_sd_kubernetes, col_sd_nomad, col_sd_eureka;

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

/* A list of {name: ..., values: [...]} as Docker's JSON {"name": ["value", ...]}; NULL: no filters.
 */
int col_sd_docker_filters(struct ops_arena *a, const struct ops_conf_node *node, const char **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* unix:///path, tcp://host:port, http:// or https:// -> base URL and socket (or NULL). */
int col_sd_docker_host(struct ops_arena *a, const struct ops_conf_node *node, const char *host,
	const char **ret_base, const char **ret_socket, struct ops_error *err) OPS_MUST_CHECK;
/* What Docker says about its networks, as labels with this prefix, set for the one with this id. */
void col_sd_docker_network(
	struct ops_labels_builder *b, const char *prefix, const json_t *networks, const char *id);
/* host:port, brackets around an IPv6 address; as __address__. */
void col_sd_address(struct ops_labels_builder *b, const char *host, int64_t port);
/* All members of a JSON object of strings as labels behind prefix. */
void col_sd_labels(struct ops_labels_builder *b, const char *prefix, const json_t *object);
