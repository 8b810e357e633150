/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_sd_configs: names that stand for targets. Each name is a group of its own, so that one that
 * cannot be looked up keeps its targets while the others go on.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/text.h"
#include "services/collector/discovery/dns_lookup.h"
#include "services/collector/discovery/sd_classes.h"

struct settings {
	struct ops_conf_strings names;
	const char *type_written;
	uint16_t type;
	int64_t port, refresh_ms;
};

struct question {
	struct col_sd *sd;
	char *name;
	struct col_dns_lookup *lookup;
};

struct state {
	struct question *questions; /* of the look under way */
	size_t n, missing;
	char error[160]; /* of the first that failed */
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "names", OPS_CONF_K_STRINGS, names, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(settings, "type", OPS_CONF_K_STRING, type_written, 0, "SRV"),
	COL_SD_PORT(settings, port, NULL),
	COL_SD_KEY(settings, "refresh_interval", OPS_CONF_K_DURATION, refresh_ms, 0, "30s"),
	OPS_CONF_END,
};

static const struct {
	const char *name;
	uint16_t type;
	const char *label; /* that holds the record's name */
} types[] = {{"SRV", COL_DNS_SRV, "__meta_dns_srv_record_target"}, {"A", COL_DNS_A, NULL},
	{"AAAA", COL_DNS_AAAA, NULL}, {"MX", COL_DNS_MX, "__meta_dns_mx_record_target"},
	{"NS", COL_DNS_NS, "__meta_dns_ns_record_target"}};

static int check_type(const struct ops_conf_node *node, struct settings *s, struct ops_error *err)
{
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		if (strcasecmp(types[i].name, s->type_written) == 0) {
			s->type = types[i].type;
		}
	}
	if (s->type == 0) {
		int r = ops_conf_error(ops_conf_get(node, "type"), err,
			"unknown record type \"%s\"", s->type_written);
		ops_error_hint(err, "SRV, A, AAAA, MX or NS");
		return r;
	}
	if (s->type != COL_DNS_SRV && s->port == 0) {
		return ops_conf_error(
			node, err, "a port is needed with the type %s", s->type_written);
	}
	return 0;
}

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	struct settings *s = settings;
	(void)a;
	if (s->names.n == 0) {
		return ops_conf_error(ops_conf_get(node, "names"), err, "names is empty");
	}
	int r = col_sd_check_refresh(node, s->refresh_ms, err);
	return r != 0 ? r : check_type(node, s, err);
}

static int64_t interval_ms(const struct col_sd *sd)
{
	return ((const struct settings *)sd->settings)->refresh_ms;
}

static const char *record_label(uint16_t type)
{
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		if (types[i].type == type) {
			return types[i].label;
		}
	}
	return NULL;
}

static void put_answer(struct col_sd *sd, const char *name, const struct col_dns_answer *answer)
{
	const struct settings *s = sd->settings;
	struct col_group *g = col_group_new(name);
	const char *label = record_label(s->type);
	for (size_t i = 0; i < answer->n; i++) {
		const struct col_dns_record *record = &answer->records[i];
		bool srv = s->type == COL_DNS_SRV;
		struct ops_labels_builder b;
		ops_labels_builder_init(&b);
		ops_labels_builder_set(&b, "__meta_dns_name", name);
		if (label != NULL) { /* as the server writes it, with the last dot */
			OPS_CLEANUP(ops_freep) char *dotted = ops_xasprintf("%s.", record->host);
			ops_labels_builder_set(&b, label, dotted);
		}
		if (srv) {
			char port[8];
			snprintf(port, sizeof(port), "%u", record->port);
			ops_labels_builder_set(&b, "__meta_dns_srv_record_port", port);
		}
		col_sd_address(&b, record->host, srv ? record->port : s->port);
		col_group_add(g, &b);
	}
	col_sd_put(sd, g);
}

static void drop_questions(struct state *st)
{
	for (size_t i = 0; i < st->n; i++) {
		col_dns_lookup_cancel(st->questions[i].lookup);
		free(st->questions[i].name);
	}
	free(st->questions);
	st->questions = NULL;
	st->n = st->missing = 0;
}

static void on_answer(void *arg, const struct col_dns_answer *answer, const char *error)
{
	struct question *q = arg;
	struct col_sd *sd = q->sd;
	struct state *st = sd->state;
	q->lookup = NULL;
	if (answer != NULL) {
		put_answer(sd, q->name, answer);
	} else if (st->error[0] == '\0') {
		snprintf(st->error, sizeof(st->error), "%s", error);
	}
	if (--st->missing > 0) {
		return;
	}
	drop_questions(st);
	if (st->error[0] != '\0') {
		col_sd_failed(sd, "%s", st->error);
	} else {
		col_sd_ok(sd);
	}
}

static void refresh(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	drop_questions(st);
	st->questions = ops_xcalloc(s->names.n, sizeof(*st->questions));
	st->n = st->missing = s->names.n;
	st->error[0] = '\0';
	for (size_t i = 0; i < st->n; i++) {
		struct question *q = &st->questions[i];
		q->sd = sd;
		q->name = ops_xstrdup(s->names.items[i]);
		q->lookup = col_dns_lookup_start(sd->env->loop, q->name, s->type, on_answer, q);
	}
}

static void stop(struct col_sd *sd)
{
	drop_questions(sd->state);
}

const struct col_sd_class col_sd_dns = {.name = "dns",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.finish = finish,
	.state_bytes = sizeof(struct state),
	.interval_ms = interval_ms,
	.refresh = refresh,
	.stop = stop};
