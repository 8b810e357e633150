/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded configuration: kept while somebody uses it, looked into, shown without its secrets. */
#include "services/alertmanager/config.h"

#include <string.h>

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
	free(cfg->text);
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

/*
 * Line-wise, because the original text shall be shown with its comments: the value of a key whose
 * name says secret is replaced, as is any URL below a slack or webhook key. Rather one line too
 * many than a token on a status page.
 */
static bool secret_key(const char *line, size_t len)
{
	static const char *const words[] = {
		"password:", "secret:", "secrets:", "token:", "_key:", "credentials:", "api_url:",
		"webhook_url:", "url:", "proxy_url:", "token_id:", "chat_id:"};
	for (size_t i = 0; i < OPS_LENGTH(words); i++) {
		if (memmem(line, len, words[i], strlen(words[i])) != NULL)
			return true;
	}
	return false;
}

char *alm_config_masked(const struct alm_config *cfg)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;

	for (const char *line = cfg->text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		const char *colon = secret_key(line, len) ? memchr(line, ':', len) : NULL;
		if (colon != NULL && line[strspn(line, " \t")] != '#') {
			ops_strbuf_add(&out, line, (size_t)(colon - line) + 1);
			ops_strbuf_adds(&out, " <secret>");
		} else {
			ops_strbuf_add(&out, line, len);
		}
		line += len;
		if (*line == '\n') {
			ops_strbuf_addc(&out, '\n');
			line++;
		}
	}
	return ops_strbuf_take(&out);
}
