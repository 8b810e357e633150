/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of the configuration reader; only config*.c include this. */
#include "services/alertmanager/config.h"

struct alm_parse {
	struct alm_config *cfg;
	struct ops_arena *a;
	struct ops_conf_warnings *warnings;
	struct ops_error *err;
};

/* http_config; the second for a receiver's, where NULL stands for the global one. */
int alm_parse_http(struct alm_parse *p, const struct ops_conf_node *node,
	struct ops_http_options *ret) OPS_MUST_CHECK;
int alm_parse_http_or_global(struct alm_parse *p, const struct ops_conf_node *node,
	struct ops_http_options *ret) OPS_MUST_CHECK;
int alm_parse_global(struct alm_parse *p, const struct ops_conf_node *node) OPS_MUST_CHECK;
int alm_parse_receivers(struct alm_parse *p, const struct ops_conf_node *node) OPS_MUST_CHECK;
/* Needs receivers and intervals. */
int alm_parse_routes(struct alm_parse *p, const struct ops_conf_node *node) OPS_MUST_CHECK;
int alm_parse_inhibit(struct alm_parse *p, const struct ops_conf_node *node) OPS_MUST_CHECK;
int alm_parse_intervals(
	struct alm_parse *p, const struct ops_conf_node *node, const char *key) OPS_MUST_CHECK;

int alm_parse_webhook(struct alm_parse *p, const struct ops_conf_node *n,
	struct alm_integration *ret) OPS_MUST_CHECK;
int alm_parse_slack(struct alm_parse *p, const struct ops_conf_node *n,
	struct alm_integration *ret) OPS_MUST_CHECK;
int alm_parse_pagerduty(struct alm_parse *p, const struct ops_conf_node *n,
	struct alm_integration *ret) OPS_MUST_CHECK;
int alm_parse_email(struct alm_parse *p, const struct ops_conf_node *n,
	struct alm_integration *ret) OPS_MUST_CHECK;
/* Kinds that are validated but not sent; kind is the section's name. */
int alm_parse_unsent(struct alm_parse *p, const char *section, const struct ops_conf_node *n,
	struct alm_integration *ret) OPS_MUST_CHECK;
bool alm_is_unsent_section(const char *section);
int alm_check_unsent_global(struct alm_parse *p, const struct ops_conf_node *global) OPS_MUST_CHECK;

/* match, match_re (mappings) and matchers (list of texts) into ms; any node may be NULL. */
int alm_parse_matchers(struct alm_parse *p, const struct ops_conf_node *match,
	const struct ops_conf_node *match_re, const struct ops_conf_node *matchers,
	struct ops_matchers *ms) OPS_MUST_CHECK;
/* A mapping of texts; case-insensitive duplicates are refused when fold. */
int alm_parse_map(struct alm_parse *p, const struct ops_conf_node *n, const char *what, bool fold,
	struct alm_headers *ret) OPS_MUST_CHECK;
/* Both of two keys given and not empty: refused. */
int alm_refuse_both(struct alm_parse *p, const struct ops_conf_node *at, const char *key_a,
	const char *a, const char *key_b, const char *b) OPS_MUST_CHECK;
static inline bool alm_given(const char *s)
{
	return s != NULL && s[0] != '\0';
}
