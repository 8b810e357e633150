/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded configuration: kept while somebody uses it, looked into, shown without its secrets. */
#include "services/alertmanager/config.h"

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/tmpl/tmpl.h"

struct alm_config *alm_config_ref(struct alm_config *cfg)
{
	cfg->refs++;
	return cfg;
}

static void route_done(struct alm_route *r)
{
	ops_matchers_done(&r->matchers);
	for (size_t i = 0; i < r->nchildren; i++)
		route_done(&r->children[i]);
}

void alm_config_unref(struct alm_config *cfg)
{
	if (cfg == NULL || --cfg->refs > 0)
		return;
	if (cfg->route != NULL)
		route_done(cfg->route);
	for (size_t i = 0; i < cfg->ninhibit; i++) {
		ops_matchers_done(&cfg->inhibit[i].source);
		ops_matchers_done(&cfg->inhibit[i].target);
	}
	for (size_t i = 0; i < cfg->nintervals; i++)
		alm_intervals_done(&cfg->intervals[i]);
	ops_tmpl_set_free(cfg->tmpl);
	ops_arena_done(&cfg->arena);
	free(cfg);
}

const struct alm_receiver *alm_config_receiver(const struct alm_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->nreceivers; i++) {
		if (ops_str_eq(cfg->receivers[i].name, name))
			return &cfg->receivers[i];
	}
	return NULL;
}

/* URLs of receivers are as good as a password, but for the host. */
char *alm_config_masked(const struct alm_config *cfg)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_conf_dump_node(cfg->root, true, &out);
	return ops_strbuf_take(&out);
}
