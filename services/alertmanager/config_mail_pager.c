/* SPDX-License-Identifier: Apache-2.0 */
/* email_configs and pagerduty_configs: key tables, and what they take from the global section. */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

/* ---- email ---- */

struct raw_email {
	struct alm_email e;
	bool send_resolved;
	const struct ops_conf_node *require_tls, *force_implicit_tls, *headers, *threading,
		*tls_config;
	const char *version;
};

#define E(key, kind_, member, default_)                                                            \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_email, member),          \
		.fallback = default_                                                               \
	}
static const struct ops_conf_key email_keys[] = {
	E("send_resolved", OPS_CONF_K_BOOL, send_resolved, "false"),
	E("to", OPS_CONF_K_STRING, e.to, NULL),
	E("from", OPS_CONF_K_STRING, e.from, NULL),
	E("hello", OPS_CONF_K_STRING, e.hello, NULL),
	E("smarthost", OPS_CONF_K_STRING, e.smarthost, NULL),
	E("auth_username", OPS_CONF_K_STRING, e.auth_username, NULL),
	E("auth_password", OPS_CONF_K_SECRET, e.auth_password, NULL),
	E("auth_password_file", OPS_CONF_K_PATH, e.auth_password_file, NULL),
	E("auth_secret", OPS_CONF_K_SECRET, e.auth_secret, NULL),
	E("auth_secret_file", OPS_CONF_K_PATH, e.auth_secret_file, NULL),
	E("auth_identity", OPS_CONF_K_STRING, e.auth_identity, NULL),
	E("require_tls", OPS_CONF_K_NODE, require_tls, NULL),
	E("force_implicit_tls", OPS_CONF_K_NODE, force_implicit_tls, NULL),
	E("tls_config", OPS_CONF_K_NODE, tls_config, NULL),
	E("headers", OPS_CONF_K_NODE, headers, NULL),
	E("html", OPS_CONF_K_STRING, e.html, "{{ template \"email.default.html\" . }}"),
	E("text", OPS_CONF_K_STRING, e.text, NULL),
	E("threading", OPS_CONF_K_NODE, threading, NULL),
	OPS_CONF_END,
};

static int parse_threading(struct alm_parse *p, const struct ops_conf_node *n)
{
	struct threading {
		bool enabled;
		const char *by_date;
	} t = {0};
	static const struct ops_conf_key keys[] = {
		{.name = "enabled",
			.kind = OPS_CONF_K_BOOL,
			.offset = offsetof(struct threading, enabled)},
		{.name = "thread_by_date",
			.kind = OPS_CONF_K_STRING,
			.offset = offsetof(struct threading, by_date)},
		OPS_CONF_END,
	};
	if (n == NULL)
		return 0;
	int rc = ops_conf_decode(p->a, n, keys, &t, NULL, p->err);
	if (rc == 0 && alm_given(t.by_date) && strcmp(t.by_date, "daily") != 0 &&
		strcmp(t.by_date, "none") != 0)
		rc = ops_conf_error(n, p->err, "thread_by_date must be daily or none");
	if (rc == 0 && t.enabled)
		ops_conf_warn(p->warnings, n, "threading is accepted and has no effect");
	return rc;
}

static void default_text(const char **field, const char *fallback)
{
	if (!alm_given(*field))
		*field = fallback;
}

static int inherit_email(struct alm_parse *p, const struct raw_email *raw, struct alm_email *e)
{
	const struct alm_global *g = &p->cfg->global;
	int rc = 0;

	default_text(&e->from, g->smtp_from);
	default_text(&e->hello, g->smtp_hello);
	default_text(&e->smarthost, g->smtp_smarthost);
	default_text(&e->auth_username, g->smtp_auth_username);
	default_text(&e->auth_identity, g->smtp_auth_identity);
	if (!alm_given(e->auth_password) && !alm_given(e->auth_password_file)) {
		e->auth_password = g->smtp_auth_password;
		e->auth_password_file = g->smtp_auth_password_file;
	}
	if (!alm_given(e->auth_secret) && !alm_given(e->auth_secret_file)) {
		e->auth_secret = g->smtp_auth_secret;
		e->auth_secret_file = g->smtp_auth_secret_file;
	}
	e->require_tls = g->smtp_require_tls;
	e->implicit_tls = g->smtp_force_implicit_tls;
	e->tls = g->smtp_tls;
	if (raw->require_tls != NULL)
		rc = ops_conf_bool(raw->require_tls, "require_tls", &e->require_tls, p->err);
	if (rc == 0 && raw->force_implicit_tls != NULL)
		rc = ops_conf_bool(
			raw->force_implicit_tls, "force_implicit_tls", &e->implicit_tls, p->err);
	if (rc == 0 && raw->tls_config != NULL) {
		struct ops_tls_options tls = {.ca = NULL};
		rc = ops_conf_decode(
			p->a, raw->tls_config, ops_tls_keys, &tls, p->warnings, p->err);
		if (rc == 0)
			rc = ops_tls_options_finish(raw->tls_config, &tls, &e->tls, p->err);
	}
	return rc;
}

int alm_parse_email(struct alm_parse *p, const struct ops_conf_node *n, struct alm_integration *ret)
{
	struct raw_email raw = {0};
	struct alm_email *e = &raw.e;
	int rc = ops_conf_decode(p->a, n, email_keys, &raw, p->warnings, p->err);

	if (rc == 0 && !alm_given(e->to))
		rc = ops_conf_error(n, p->err, "email: no \"to\" address is given");
	if (rc == 0)
		rc = alm_parse_map(p, raw.headers, "headers", true, &e->headers);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "auth_password", e->auth_password, "auth_password_file",
			e->auth_password_file);
	if (rc == 0)
		rc = parse_threading(p, raw.threading);
	if (rc == 0)
		rc = inherit_email(p, &raw, e);
	if (rc != 0)
		return rc;
	if (!alm_given(e->smarthost))
		return ops_conf_error(n, p->err,
			"email: no smarthost is given, here or as smtp_smarthost in global");
	if (!alm_given(e->from))
		return ops_conf_error(n, p->err,
			"email: no \"from\" address is given, here or as smtp_from in global");
	if (strrchr(e->smarthost, ':') == NULL)
		return ops_conf_error(
			n, p->err, "email: smarthost \"%s\" must be host:port", e->smarthost);
	ret->u.email = *e;
	ret->send_resolved = raw.send_resolved;
	return 0;
}

/* ---- PagerDuty ---- */

struct raw_pager {
	struct alm_pagerduty d;
	bool send_resolved;
	int64_t timeout_ms;
	const struct ops_conf_node *http_config, *details, *images, *links;
};

#define P(key, kind_, member, default_)                                                            \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_pager, member),          \
		.fallback = default_                                                               \
	}
static const struct ops_conf_key pager_keys[] = {
	P("send_resolved", OPS_CONF_K_BOOL, send_resolved, "true"),
	P("http_config", OPS_CONF_K_NODE, http_config, NULL),
	P("routing_key", OPS_CONF_K_SECRET, d.routing_key, NULL),
	P("routing_key_file", OPS_CONF_K_PATH, d.routing_key_file, NULL),
	P("service_key", OPS_CONF_K_SECRET, d.service_key, NULL),
	P("service_key_file", OPS_CONF_K_PATH, d.service_key_file, NULL),
	P("url", OPS_CONF_K_STRING, d.url, NULL),
	P("client", OPS_CONF_K_STRING, d.client, "{{ template \"pagerduty.default.client\" . }}"),
	P("client_url", OPS_CONF_K_STRING, d.client_url,
		"{{ template \"pagerduty.default.clientURL\" . }}"),
	P("description", OPS_CONF_K_STRING, d.description,
		"{{ template \"pagerduty.default.description\" . }}"),
	P("severity", OPS_CONF_K_STRING, d.severity, "error"),
	P("source", OPS_CONF_K_STRING, d.source, NULL),
	P("class", OPS_CONF_K_STRING, d.class, NULL),
	P("component", OPS_CONF_K_STRING, d.component, NULL),
	P("group", OPS_CONF_K_STRING, d.group, NULL),
	P("details", OPS_CONF_K_NODE, details, NULL),
	P("images", OPS_CONF_K_NODE, images, NULL),
	P("links", OPS_CONF_K_NODE, links, NULL),
	P("timeout", OPS_CONF_K_DURATION, timeout_ms, NULL),
	OPS_CONF_END,
};

#define LINK(key, member)                                                                          \
	{                                                                                          \
		.name = key, .kind = OPS_CONF_K_STRING,                                            \
		.offset = offsetof(struct alm_pagerduty_link, member)                              \
	}
static int parse_links(struct alm_parse *p, const struct ops_conf_node *n, const char *what,
	bool image, struct alm_pagerduty_link **ret, size_t *ret_n)
{
	static const struct ops_conf_key image_keys[] = {
		LINK("href", href), LINK("src", src), LINK("alt", alt), OPS_CONF_END};
	static const struct ops_conf_key link_keys[] = {
		LINK("href", href), LINK("text", text), OPS_CONF_END};
	if (n == NULL)
		return 0;
	if (n->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(n, p->err, "%s must be a list", what);
	*ret = ops_arena_array(p->a, struct alm_pagerduty_link, n->n + 1);
	for (size_t i = 0; i < n->n; i++) {
		int rc = ops_conf_decode(p->a, n->items[i], image ? image_keys : link_keys,
			&(*ret)[i], NULL, p->err);
		if (rc != 0)
			return rc;
	}
	*ret_n = n->n;
	return 0;
}

/* Upstream's four details are always there unless the file gives them another text. */
static void default_details(struct alm_parse *p, struct alm_headers *details)
{
	static const struct alm_header defaults[] = {
		{"firing", "{{ template \"pagerduty.default.instances\" .Alerts.Firing }}"},
		{"resolved", "{{ template \"pagerduty.default.instances\" .Alerts.Resolved }}"},
		{"num_firing", "{{ .Alerts.Firing | len }}"},
		{"num_resolved", "{{ .Alerts.Resolved | len }}"},
	};
	struct alm_header *all =
		ops_arena_array(p->a, struct alm_header, details->n + OPS_LENGTH(defaults));

	if (details->n > 0)
		memcpy(all, details->items, details->n * sizeof all[0]);
	for (size_t i = 0; i < OPS_LENGTH(defaults); i++) {
		size_t k = 0;
		while (k < details->n && strcmp(all[k].name, defaults[i].name) != 0)
			k++;
		if (k == details->n)
			all[details->n++] = defaults[i];
	}
	details->items = all;
}

int alm_parse_pagerduty(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_integration *ret)
{
	struct raw_pager raw = {0};
	struct alm_pagerduty *d = &raw.d;
	int rc = ops_conf_decode(p->a, n, pager_keys, &raw, p->warnings, p->err);

	if (rc == 0)
		rc = alm_refuse_both(p, n, "routing_key", d->routing_key, "routing_key_file",
			d->routing_key_file);
	if (rc == 0)
		rc = alm_refuse_both(p, n, "service_key", d->service_key, "service_key_file",
			d->service_key_file);
	bool service = alm_given(d->service_key) || alm_given(d->service_key_file);
	if (rc == 0 && !alm_given(d->routing_key) && !alm_given(d->routing_key_file) && !service)
		rc = ops_conf_error(
			n, p->err, "pagerduty: neither a routing_key nor a service_key is given");
	if (rc == 0)
		rc = alm_parse_map(p, raw.details, "details", false, &d->details);
	if (rc == 0)
		rc = parse_links(p, raw.images, "images", true, &d->images, &d->nimages);
	if (rc == 0)
		rc = parse_links(p, raw.links, "links", false, &d->links, &d->nlinks);
	if (rc == 0)
		rc = alm_parse_http_or_global(p, raw.http_config, &ret->http);
	if (rc != 0)
		return rc;
	if (service)
		ops_conf_warn(p->warnings, n,
			"service_key is sent as the routing key of the Events API v2: version 1 is "
			"not spoken");
	default_text(&d->url, p->cfg->global.pagerduty_url);
	default_text(&d->source, d->client);
	default_details(p, &d->details);
	ret->u.pagerduty = *d;
	ret->send_resolved = raw.send_resolved;
	ret->timeout_ms = raw.timeout_ms;
	return 0;
}
