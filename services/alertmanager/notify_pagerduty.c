/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PagerDuty Events API v2. The dedup key is the SHA-256 of the group's key, so that a group is one
 * incident from its first notification to its resolution. An event is limited to 512 KB; details
 * are dropped first when it is larger.
 */
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "services/alertmanager/notify.h"
#include "services/alertmanager/template.h"

enum {
	SUMMARY_MAX = 1024,
	EVENT_MAX = 512000
};

static void dedup_key(const char *group_key, char ret[65])
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)group_key, strlen(group_key), digest);
	ops_hex_encode(digest, sizeof digest, ret);
}

static json_t *details_json(struct alm_expander *x, const struct alm_headers *details)
{
	json_t *j = json_object();
	for (size_t i = 0; i < details->n; i++)
		ops_json_set_string(
			j, details->items[i].name, alm_expand(x, details->items[i].value));
	return j;
}

static json_t *payload_json(struct alm_expander *x, const struct alm_pagerduty *p)
{
	json_t *j = json_object();
	char summary[SUMMARY_MAX + 1];

	snprintf(summary, sizeof summary, "%s", alm_expand(x, p->description));
	ops_json_set_string(j, "summary", summary);
	ops_json_set_string(j, "source", alm_expand(x, p->source));
	ops_json_set_string(j, "severity", alm_expand(x, p->severity));
	alm_json_text(j, "class", alm_expand(x, p->class));
	alm_json_text(j, "component", alm_expand(x, p->component));
	alm_json_text(j, "group", alm_expand(x, p->group));
	ops_json_set(j, "custom_details", details_json(x, &p->details));
	return j;
}

/* Entries whose address comes out empty are left out. */
static json_t *links_json(
	struct alm_expander *x, const struct alm_pagerduty_link *links, size_t n, bool image)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *main = alm_expand(x, image ? links[i].src : links[i].href);
		json_t *j;
		if (main[0] == '\0')
			continue;
		j = json_object();
		ops_json_set_string(j, image ? "src" : "href", main);
		if (image)
			alm_json_text(j, "href", alm_expand(x, links[i].href));
		alm_json_text(j, image ? "alt" : "text",
			alm_expand(x, image ? links[i].alt : links[i].text));
		json_array_append_new(list, j);
	}
	return list;
}

static void trim(json_t *body)
{
	char *text OPS_CLEANUP(ops_freep) = ops_json_text(body);
	if (strlen(text) > EVENT_MAX) {
		json_t *j = json_object();
		ops_json_set_string(j, "error",
			"the details were larger than an event may be and were left out");
		ops_json_set(json_object_get(body, "payload"), "custom_details", j);
	}
}

int alm_build_pagerduty(const struct alm_notification *n, struct ops_arena *a,
	struct alm_outgoing *ret, struct ops_error *err)
{
	const struct alm_pagerduty *p = &n->integration->u.pagerduty;
	bool firing = alm_notification_firing(n);
	bool v2 = (p->routing_key != NULL && p->routing_key[0] != '\0') ||
		  (p->routing_key_file != NULL && p->routing_key_file[0] != '\0');
	const char *key = NULL;
	struct alm_expander x;
	char dedup[65];

	int rc = v2 ? alm_secret(a, p->routing_key, p->routing_key_file, &key, err)
		    : alm_secret(a, p->service_key, p->service_key_file, &key, err);
	if (rc != 0)
		return rc;
	alm_expander_init(&x, a, n->cfg->tmpl, n);
	dedup_key(n->group_key, dedup);
	json_t *body = json_object();
	ops_json_set_string(body, "routing_key", alm_expand(&x, key));
	ops_json_set_string(body, "event_action", firing ? "trigger" : "resolve");
	ops_json_set_string(body, "dedup_key", dedup);
	alm_json_text(body, "client", alm_expand(&x, p->client));
	alm_json_text(body, "client_url", alm_expand(&x, p->client_url));
	ops_json_set(body, "payload", payload_json(&x, p));
	ops_json_set(body, "images", links_json(&x, p->images, p->nimages, true));
	ops_json_set(body, "links", links_json(&x, p->links, p->nlinks, false));
	const char *url = alm_expand(&x, p->url);
	if (x.failed) {
		json_decref(body);
		*err = x.err;
		return -EINVAL;
	}
	trim(body);
	alm_http_post_json(a, url, body, ret);
	return 0;
}
