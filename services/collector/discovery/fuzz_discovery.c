/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What servers that are asked for targets may answer: the first byte chooses the parser, the rest
 * is the answer. Lists that come together (containers and networks, say) are the items of one
 * array.
 */
#include <string.h>

#include "common/log/log.h"
#include "services/collector/config.h"
#include "services/collector/discovery/dns_message.h"
#include "services/collector/discovery/kubernetes_labels.h"
#include "services/collector/discovery/kubernetes_watch.h"
#include "services/collector/discovery/sd_classes.h"
#include "services/collector/discovery/sd_consul.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_change(void *arg)
{
	(void)arg;
}

static void dns(const uint8_t *data, size_t size)
{
	static const uint16_t types[] = {
		COL_DNS_A, COL_DNS_NS, COL_DNS_MX, COL_DNS_AAAA, COL_DNS_SRV};
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		uint8_t query[COL_DNS_QUERY_MAX];
		size_t len = 0;
		struct col_dns_answer answer;
		ops_assert(col_dns_query("a.b", types[i], 0x6161, query, &len) == 0);
		if (col_dns_parse(data, size, query, len, &answer) == 0) {
			for (size_t k = 0; k < answer.n; k++) {
				ops_assert(strlen(answer.records[k].host) < COL_DNS_NAME_MAX);
			}
			col_dns_answer_done(&answer);
		}
	}
}

static void json_free(void *arg)
{
	json_decref(arg);
}

/* The same event for each kind; then what each role makes of what is there. */
static void kubernetes(const char *text, size_t size)
{
	struct col_k8s_world w = {.attach_node = true, .attach_namespace = true};
	char *version = NULL;
	for (size_t i = 0; i < COL_K8S_KINDS; i++) {
		bool changed = false;
		w.objects[i] = ops_map_new();
		(void)!col_k8s_apply(w.objects[i], text, size, &version, &changed);
	}
	for (size_t i = 0; i < COL_K8S_NAMESPACE; i++) {
		struct ops_map_entry e;
		for (size_t at = 0; ops_map_next(w.objects[i], &at, &e);) {
			col_group_free(col_k8s_group(&w, (enum col_k8s_kind)i, e.key, e.value));
		}
	}
	for (size_t i = 0; i < COL_K8S_KINDS; i++) {
		ops_map_free(w.objects[i], json_free);
	}
	free(version);
}

/* A class whose answers are these, with settings as the text says. */
static void answers(const char *settings, const char *text, size_t size)
{
	OPS_JSON_AUTO *list = NULL;
	struct col_config *c = NULL;
	struct ops_error err;
	OPS_CLEANUP(ops_freep)
	char *config = ops_xasprintf("scrape_configs: [{job_name: a, %s}]", settings);
	if (ops_json_parse(text, size, 1 << 20, &list, &err) != 0 || !json_is_array(list)) {
		return;
	}
	ops_assert(col_config_load_text("f", config, NULL, &c, &err) == 0);
	const struct col_sd_setting *s = &c->jobs[0].sds[0];
	const struct col_sd_env env = {.on_change = on_change};
	struct col_sd_class class = *s->class;
	json_t *replies[8] = {NULL};
	for (size_t i = 0; i < OPS_LENGTH(replies); i++) {
		replies[i] = json_array_get(list, i);
	}
	class.refresh = NULL; /* nothing runs */
	struct col_sd *sd = col_sd_new(&class, s->settings, &env);
	class.on_replies(sd, replies);
	class.on_replies(sd, replies);
	col_sd_free(sd);
	col_config_free(c);
}

static void consul(const char *text, size_t size)
{
	OPS_JSON_AUTO *entries = NULL;
	struct ops_error err;
	const struct col_consul_service of = {"web", "lab", ","};
	if (ops_json_parse(text, size, 1 << 20, &entries, &err) == 0) {
		col_group_free(col_consul_group(&of, entries));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const settings[] = {"http_sd_configs: [{url: 'http://a'}]",
		"docker_sd_configs: [{host: 'http://a', match_first_network: false}]",
		"dockerswarm_sd_configs: [{host: 'http://a', role: services}]",
		"dockerswarm_sd_configs: [{host: 'http://a', role: nodes}]",
		"dockerswarm_sd_configs: [{host: 'http://a', role: tasks}]"};
	if (size < 1) {
		return 0;
	}
	ops_log_set_level(OPS_LOG_ERROR);
	size_t which = data[0] % (2 + OPS_LENGTH(settings));
	const char *text = (const char *)data + 1;
	if (data[0] == 'c') {
		consul(text, size - 1);
	} else if (which == 0) {
		dns(data + 1, size - 1);
	} else if (which == 1) {
		kubernetes(text, size - 1);
	} else {
		answers(settings[which - 2], text, size - 1);
	}
	return 0;
}
