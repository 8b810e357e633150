/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of receivers, and the webhook integration. A section that Alertmanager knows but this
 * service does not send yet is validated by its key names and reported as a warning: a file that
 * works upstream must load here, and its owner must learn which messages will not go out.
 */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/config_parts.h"

typedef int parse_fn(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_integration *ret);

static const struct {
	const char *section, *name;
	enum alm_kind kind;
	parse_fn *parse;
} sections[] = {
	{"webhook_configs", "webhook", ALM_WEBHOOK, alm_parse_webhook},
	{"slack_configs", "slack", ALM_SLACK, alm_parse_slack},
	{"pagerduty_configs", "pagerduty", ALM_PAGERDUTY, alm_parse_pagerduty},
	{"email_configs", "email", ALM_EMAIL, alm_parse_email},
};

struct raw_webhook {
	const char *url, *url_file;
	int64_t max_alerts, timeout_ms;
	bool send_resolved;
	const struct ops_conf_node *http_config, *payload;
};

#define W(key, kind_, member, default_)                                                            \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct raw_webhook, member),        \
		.fallback = default_                                                               \
	}
static const struct ops_conf_key webhook_keys[] = {
	W("send_resolved", OPS_CONF_K_BOOL, send_resolved, "true"),
	W("url", OPS_CONF_K_SECRET, url, NULL),
	W("url_file", OPS_CONF_K_PATH, url_file, NULL),
	W("max_alerts", OPS_CONF_K_INT, max_alerts, "0"),
	W("timeout", OPS_CONF_K_DURATION, timeout_ms, NULL),
	W("http_config", OPS_CONF_K_NODE, http_config, NULL),
	W("payload", OPS_CONF_K_NODE, payload, NULL),
	OPS_CONF_END,
};

static bool http_url(const char *s)
{
	return ops_str_starts(s, "http://") || ops_str_starts(s, "https://") ||
	       strstr(s, "{{") != NULL;
}

int alm_parse_webhook(
	struct alm_parse *p, const struct ops_conf_node *n, struct alm_integration *ret)
{
	struct raw_webhook raw = {0};
	int rc = ops_conf_decode(p->a, n, webhook_keys, &raw, p->warnings, p->err);

	if (rc == 0)
		rc = alm_refuse_both(p, n, "url", raw.url, "url_file", raw.url_file);
	if (rc == 0 && !alm_given(raw.url) && !alm_given(raw.url_file))
		rc = ops_conf_error(n, p->err, "webhook: one of url and url_file must be given");
	if (rc == 0 && alm_given(raw.url) && !http_url(raw.url))
		rc = ops_conf_error(ops_conf_get(n, "url"), p->err,
			"webhook: url must begin with http:// or https://");
	if (rc == 0 && raw.max_alerts < 0)
		rc = ops_conf_error(n, p->err, "webhook: max_alerts must not be negative");
	if (rc == 0)
		rc = alm_parse_http_or_global(p, raw.http_config, &ret->http);
	if (rc != 0)
		return rc;
	if (raw.payload != NULL)
		ops_conf_warn(p->warnings, raw.payload,
			"webhook payload is accepted and has no effect: version 4 is sent");
	ret->send_resolved = raw.send_resolved;
	ret->timeout_ms = raw.timeout_ms;
	ret->u.webhook = (struct alm_webhook){raw.url, raw.url_file, raw.max_alerts};
	return 0;
}

static size_t section_of(const char *key)
{
	size_t i = 0;
	while (i < OPS_LENGTH(sections) && strcmp(sections[i].section, key) != 0)
		i++;
	return i;
}

static int parse_entry(struct alm_parse *p, const char *key, const struct ops_conf_node *n,
	size_t index, struct alm_receiver *r)
{
	size_t s = section_of(key);
	struct alm_integration *in = &r->items[r->n];

	if (ops_conf_is_null(n))
		return ops_conf_error(n, p->err, "%s: an entry is empty", key);
	*in = (struct alm_integration){.index = index};
	if (s == OPS_LENGTH(sections)) {
		in->kind = ALM_UNSENT;
		int rc = alm_parse_unsent(p, key, n, in);
		if (rc != 0)
			return rc;
	} else {
		in->kind = sections[s].kind;
		in->name = sections[s].name;
		int rc = sections[s].parse(p, n, in);
		if (rc != 0)
			return rc;
	}
	r->n++;
	return 0;
}

static int parse_section(struct alm_parse *p, const char *key, const struct ops_conf_node *list,
	struct alm_receiver *r)
{
	if (ops_conf_is_null(list))
		return 0;
	if (list->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(list, p->err, "%s must be a list", key);
	struct alm_integration *all =
		ops_arena_array(p->a, struct alm_integration, r->n + list->n + 1);
	if (r->n > 0)
		memcpy(all, r->items, r->n * sizeof all[0]);
	r->items = all;
	for (size_t i = 0; i < list->n; i++) {
		int rc = parse_entry(p, key, list->items[i], i, r);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int check_labels(struct alm_parse *p, const struct ops_conf_node *labels, const char *name)
{
	const struct ops_conf_node *own = ops_conf_get(labels, "name");

	if (ops_conf_is_null(labels))
		return 0;
	if (labels->type != OPS_CONF_MAPPING)
		return ops_conf_error(labels, p->err, "labels of a receiver must be a mapping");
	if (own != NULL && own->type == OPS_CONF_SCALAR && strcmp(own->text, name) != 0)
		return ops_conf_error(own, p->err, "receiver label \"name\" must be \"%s\"", name);
	return 0;
}

static int refuse_key(struct alm_parse *p, const struct ops_conf_node *key)
{
	ops_conf_error(key, p->err, "unknown key \"%s\" in receiver", key->text);
	ops_error_hint(p->err, "name, labels, webhook_configs, slack_configs, pagerduty_configs, "
			       "email_configs ...");
	return -EINVAL;
}

static int parse_receiver(struct alm_parse *p, const struct ops_conf_node *n)
{
	struct alm_receiver *r = &p->cfg->receivers[p->cfg->nreceivers];
	const struct ops_conf_node *name = ops_conf_get(n, "name");
	int rc = 0;

	if (n->type != OPS_CONF_MAPPING)
		return ops_conf_error(n, p->err, "a receiver must be a mapping with a name");
	if (ops_conf_is_null(name) || !alm_given(name->text))
		return ops_conf_error(n, p->err, "a receiver has no name");
	if (alm_config_receiver(p->cfg, name->text) != NULL)
		return ops_conf_error(
			name, p->err, "receiver name \"%s\" is not unique", name->text);
	*r = (struct alm_receiver){.name = name->text};
	rc = check_labels(p, ops_conf_get(n, "labels"), r->name);
	for (size_t i = 0; rc == 0 && i < n->n; i++) {
		const char *key = n->keys[i]->text;
		if (strcmp(key, "name") == 0 || strcmp(key, "labels") == 0)
			continue;
		if (section_of(key) == OPS_LENGTH(sections) && !alm_is_unsent_section(key))
			return refuse_key(p, n->keys[i]);
		rc = parse_section(p, key, n->items[i], r);
	}
	p->cfg->nreceivers += rc == 0;
	return rc;
}

int alm_parse_receivers(struct alm_parse *p, const struct ops_conf_node *node)
{
	if (ops_conf_is_null(node))
		return 0;
	if (node->type != OPS_CONF_SEQUENCE)
		return ops_conf_error(node, p->err, "receivers must be a list");
	p->cfg->receivers = ops_arena_array(p->a, struct alm_receiver, node->n + 1);
	for (size_t i = 0; i < node->n; i++) {
		int rc = parse_receiver(p, node->items[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}
