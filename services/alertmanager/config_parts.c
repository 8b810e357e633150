/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of the configuration reader reads with: the http_config that all receivers and
 * the global section share, mappings of texts, two keys of which one may be given. */
#include "services/alertmanager/config_parts.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"

static const struct ops_conf_key http_keys[] = {
	OPS_HTTP_OPTIONS_ROWS(struct alm_integration, http), OPS_CONF_END};

int alm_refuse_both(struct alm_parse *p, const struct ops_conf_node *at, const char *key_a,
	const char *a, const char *key_b, const char *b)
{
	if (!alm_given(a) || !alm_given(b))
		return 0;
	ops_conf_error(at, p->err, "%s and %s are both given", key_a, key_b);
	ops_error_hint(p->err, "at most one of them");
	return -EINVAL;
}

int alm_parse_map(struct alm_parse *p, const struct ops_conf_node *n, const char *what, bool fold,
	struct alm_headers *ret)
{
	if (ops_conf_is_null(n))
		return 0;
	if (n->type != OPS_CONF_MAPPING)
		return ops_conf_error(n, p->err, "%s must be a mapping of names to texts", what);
	ret->items = ops_arena_array(p->a, struct alm_header, n->n + 1);
	for (size_t i = 0; i < n->n; i++) {
		struct alm_header *h = &ret->items[i];
		h->name = n->keys[i]->text;
		for (size_t j = 0; fold && j < i; j++) {
			if (strcasecmp(ret->items[j].name, h->name) == 0)
				return ops_conf_error(n->keys[i], p->err,
					"%s: \"%s\" is given twice", what, h->name);
		}
		int rc = ops_conf_string(n->items[i], h->name, &h->value, p->err);
		if (rc != 0)
			return rc;
	}
	ret->n = n->n;
	return 0;
}

int alm_parse_http(
	struct alm_parse *p, const struct ops_conf_node *node, struct ops_http_options *ret)
{
	struct alm_integration raw = {.http = {.has_basic = false}};
	int rc = ops_conf_decode(p->a, node, http_keys, &raw, p->warnings, p->err);

	if (rc == 0)
		rc = ops_http_options_finish(p->a, node, &raw.http, p->warnings, p->err);
	if (rc == 0)
		*ret = raw.http;
	return rc;
}

int alm_parse_http_or_global(
	struct alm_parse *p, const struct ops_conf_node *node, struct ops_http_options *ret)
{
	if (node != NULL)
		return alm_parse_http(p, node, ret);
	*ret = p->cfg->global.http;
	return 0;
}
