/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Alertmanager's configuration file, validated as a whole: nothing is used of a file with one
 * error. A snapshot is immutable and shared by reference count: notifications under way keep the
 * one they started with across a reload. All memory is in the snapshot's arena.
 */
#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/model/matcher.h"
#include "common/net/http_options.h"
#include "services/alertmanager/timeinterval.h"

struct ops_tmpl_set;

struct alm_header { /* name and value (a template, or a plain text) */
	const char *name, *value;
};

struct alm_headers {
	struct alm_header *items;
	size_t n;
};

enum alm_kind {
	ALM_WEBHOOK,
	ALM_SLACK,
	ALM_PAGERDUTY,
	ALM_EMAIL,
	ALM_UNSENT
};

struct alm_webhook {
	const char *url, *url_file;
	int64_t max_alerts;
};

struct alm_slack_field {
	const char *title, *value;
	bool short_set, is_short;
};

struct alm_slack_action {
	const char *type, *text, *url, *style, *name, *value;
	const char *confirm_title, *confirm_text, *confirm_ok, *confirm_dismiss;
};

struct alm_slack {
	const char *api_url, *api_url_file, *app_token, *app_token_file, *app_url;
	const char *channel, *username, *color, *title, *title_link, *pretext, *text, *message_text,
		*footer;
	const char *fallback, *callback_id, *icon_emoji, *icon_url, *image_url, *thumb_url;
	bool short_fields, link_names, update_message;
	struct ops_conf_strings mrkdwn_in;
	bool mrkdwn_set;
	struct alm_slack_field *fields;
	size_t nfields;
	struct alm_slack_action *actions;
	size_t nactions;
};

struct alm_pagerduty_link {
	const char *href, *text, *src, *alt;
};

struct alm_pagerduty {
	const char *routing_key, *routing_key_file, *service_key, *service_key_file, *url;
	const char *client, *client_url, *description, *severity, *source, *class, *component,
		*group;
	struct alm_headers details;
	struct alm_pagerduty_link *images, *links;
	size_t nimages, nlinks;
};

struct alm_email {
	const char *to, *from, *hello, *smarthost, *html, *text;
	const char *auth_username, *auth_password, *auth_password_file, *auth_secret,
		*auth_secret_file, *auth_identity;
	bool require_tls, implicit_tls;
	struct ops_tls_client tls;
	struct alm_headers headers;
};

struct alm_integration {
	enum alm_kind kind;
	const char *name; /* "webhook", "slack" ... */
	size_t index;	  /* among its kind in the receiver */
	bool send_resolved;
	int64_t timeout_ms; /* 0 = none but the group's */
	struct ops_http_options http;
	union {
		struct alm_webhook webhook;
		struct alm_slack slack;
		struct alm_pagerduty pagerduty;
		struct alm_email email;
	} u;
};

struct alm_receiver {
	const char *name;
	struct alm_integration *items;
	size_t n;
};

struct alm_route {
	struct alm_route *parent;
	struct alm_route *children;
	size_t nchildren;
	struct ops_matchers matchers;
	const struct alm_receiver *receiver;
	const char **group_by; /* sorted */
	size_t ngroup_by;
	bool group_by_all, continues;
	int64_t group_wait_ms, group_interval_ms, repeat_interval_ms;
	const struct alm_intervals **mute, **active;
	size_t nmute, nactive;
	struct alm_headers labels; /* own and inherited; values are templates */
	const char *key;	   /* path of matchers from the root: "{}/{a=\"b\"}" */
	size_t id;		   /* number in depth-first order */
};

struct alm_inhibit_rule {
	const char *name;
	struct ops_matchers source, target;
	struct ops_conf_strings equal;
};

struct alm_global {
	int64_t resolve_timeout_ms;
	const char *smtp_from, *smtp_hello, *smtp_smarthost;
	const char *smtp_auth_username, *smtp_auth_password, *smtp_auth_password_file,
		*smtp_auth_secret;
	const char *smtp_auth_secret_file, *smtp_auth_identity;
	bool smtp_require_tls, smtp_force_implicit_tls;
	struct ops_tls_client smtp_tls;
	const char *slack_api_url, *slack_api_url_file, *slack_app_token, *slack_app_token_file,
		*slack_app_url;
	const char *pagerduty_url;
	struct ops_http_options http;
	const struct ops_conf_node
		*node; /* of the whole mapping: keys of kinds that are not sent */
};

struct alm_config {
	struct ops_arena arena;
	unsigned refs;
	const struct ops_conf_node *root; /* as read, for the status page */
	int64_t loaded_ms;
	struct alm_global global;
	struct alm_receiver *receivers;
	size_t nreceivers;
	struct alm_intervals *intervals;
	size_t nintervals;
	struct alm_inhibit_rule *inhibit;
	size_t ninhibit;
	struct alm_route *route; /* the root */
	size_t nroutes;
	struct ops_conf_strings templates;
	struct ops_tmpl_set *tmpl; /* default templates and those of the files */
};

/* A snapshot with one reference. -EINVAL with err (file:line:column); warnings may be NULL. */
int alm_config_load(const char *path, struct ops_conf_warnings *warnings, struct alm_config **ret,
	struct ops_error *err) OPS_MUST_CHECK;
int alm_config_parse(const char *name, const char *text, size_t len,
	struct ops_conf_warnings *warnings, struct alm_config **ret,
	struct ops_error *err) OPS_MUST_CHECK;
struct alm_config *alm_config_ref(struct alm_config *cfg);
void alm_config_unref(struct alm_config *cfg); /* NULL is fine */
const struct alm_receiver *alm_config_receiver(
	const struct alm_config *cfg, const char *name); /* or NULL */
/* The file as it is understood, secrets as <secret>. Release with free(). */
char *alm_config_masked(const struct alm_config *cfg) OPS_MUST_CHECK;
