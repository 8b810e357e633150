/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules are tried in the order of the file and the first that matches decides. A glob is compiled
 * to an expression of the same anchored engine that relabelling uses, each `*` being one component
 * between dots, so that $1 means the same in both kinds. Results are not cached here: the table of
 * series remembers what a line's bytes led to.
 *
 * statsd_exporter's summaries are kept as histograms: quantiles of several collectors cannot be put
 * together, buckets can.
 */
#include "services/collector/receive/statsd_mapping.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/model/labels.h"
#include "common/model/regex.h"

struct rule {
	struct ops_regex *re;
	bool typed;
	bool observer; /* of typed: timers and histograms */
	enum col_statsd_type type;
	bool drop, honor_labels;
	const char *name, *help;
	const struct ops_conf_node *labels;
	const double *buckets;
	size_t nbuckets;
	int64_t ttl_ms;
	double scale;
};

struct col_statsd_mapping {
	struct ops_arena arena;
	struct rule *rules;
	size_t n;
	const double *buckets;
	size_t nbuckets;
	int64_t ttl_ms;
	struct ops_strbuf texts; /* of the last answer */
};

static const double default_buckets[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

struct options { /* what a rule and the defaults have in common */
	const char *observer_type, *timer_type, *match_type;
	const struct ops_conf_node *histogram_options, *summary_options, *buckets, *quantiles;
	int64_t ttl_ms;
	bool glob_disable_ordering;
};

struct written { /* a rule as the file has it */
	struct options options;
	const char *match, *match_metric_type, *name, *help, *action;
	const struct ops_conf_node *labels;
	double scale;
	bool honor_labels;
};

#define OPTION(struct_, prefix, name_, kind_, member, doc_)                                        \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct_, prefix member),      \
		.doc = (doc_)                                                                      \
	}
#define OPTIONS(struct_, prefix)                                                                   \
	OPTION(struct_, prefix, "observer_type", OPS_CONF_K_STRING, observer_type,                 \
		"histogram; summary is kept as a histogram too"),                                  \
		OPTION(struct_, prefix, "timer_type", OPS_CONF_K_STRING, timer_type,               \
			"old name of observer_type"),                                              \
		OPTION(struct_, prefix, "match_type", OPS_CONF_K_STRING, match_type,               \
			"glob or regex"),                                                          \
		OPTION(struct_, prefix, "histogram_options", OPS_CONF_K_NODE, histogram_options,   \
			"buckets: upper bounds"),                                                  \
		OPTION(struct_, prefix, "summary_options", OPS_CONF_K_NODE, summary_options,       \
			"without effect"),                                                         \
		OPTION(struct_, prefix, "buckets", OPS_CONF_K_NODE, buckets,                       \
			"old place of histogram_options.buckets"),                                 \
		OPTION(struct_, prefix, "quantiles", OPS_CONF_K_NODE, quantiles,                   \
			"without effect"),                                                         \
		OPTION(struct_, prefix, "ttl", OPS_CONF_K_DURATION, ttl_ms,                        \
			"a series that was not heard for so long is forgotten"),                   \
		OPTION(struct_, prefix, "glob_disable_ordering", OPS_CONF_K_BOOL,                  \
			glob_disable_ordering, "without effect: the first match decides")

static const struct ops_conf_key default_keys[] = {OPTIONS(struct options, ), OPS_CONF_END};

static const struct ops_conf_key rule_keys[] = {
	OPTIONS(struct written, options.),
	{.name = "match",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, match),
		.flags = OPS_CONF_REQUIRED,
		.doc = "the StatsD name"},
	{.name = "match_metric_type",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, match_metric_type),
		.doc = "counter, gauge, observer or timer"},
	{.name = "name",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, name),
		.doc = "the metric's name; $1 is what the first * matched"},
	{.name = "help",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, help),
		.doc = "the metric's help text"},
	{.name = "action",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written, action),
		.doc = "map or drop"},
	{.name = "labels",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct written, labels),
		.doc = "label: value"},
	{.name = "scale",
		.kind = OPS_CONF_K_DOUBLE,
		.offset = offsetof(struct written, scale),
		.fallback = "1",
		.doc = "each value is multiplied by it"},
	{.name = "honor_labels",
		.kind = OPS_CONF_K_BOOL,
		.offset = offsetof(struct written, honor_labels),
		.doc = "tags of the line win over labels of the mapping"},
	OPS_CONF_END,
};

/* ---- loading ---- */

static int read_buckets(struct col_statsd_mapping *m, const struct ops_conf_node *n,
	const double **ret, size_t *ret_n, struct ops_error *err)
{
	if (n->type != OPS_CONF_SEQUENCE || n->n == 0) {
		return ops_conf_error(n, err, "buckets are a list of upper bounds");
	}
	double *list = ops_arena_array(&m->arena, double, n->n);
	size_t count = 0;
	for (size_t i = 0; i < n->n; i++) {
		double v;
		int r = ops_conf_double(n->items[i], "buckets", &v, err);
		if (r != 0) {
			return r;
		}
		if (isinf(v) && v > 0 && i == n->n - 1) {
			break;
		}
		if (!isfinite(v) || (count > 0 && v <= list[count - 1])) {
			return ops_conf_error(n->items[i], err, "buckets must ascend");
		}
		list[count++] = v;
	}
	*ret = list;
	*ret_n = count;
	return 0;
}

static int read_options(struct col_statsd_mapping *m, const struct options *o, const double **ret,
	size_t *ret_n, struct ops_error *err)
{
	const struct ops_conf_node *n = o->buckets;
	if (o->histogram_options != NULL && !ops_conf_is_null(o->histogram_options)) {
		if (o->histogram_options->type != OPS_CONF_MAPPING) {
			return ops_conf_error(o->histogram_options, err,
				"histogram_options is a mapping with `buckets`");
		}
		n = ops_conf_get(o->histogram_options, "buckets");
	}
	return n == NULL || ops_conf_is_null(n) ? 0 : read_buckets(m, n, ret, ret_n, err);
}

static void note_summary(
	const struct options *o, const struct ops_conf_node *at, struct ops_conf_warnings *w)
{
	const char *type = o->observer_type != NULL ? o->observer_type : o->timer_type;
	if (type != NULL && strcmp(type, "summary") == 0) {
		ops_conf_warn(w, at,
			"summaries are kept as histograms: quantiles of several collectors "
			"cannot be put together");
	}
}

/* A glob as an expression: each `*` is one component. */
static char *glob_pattern(const char *glob)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (const char *p = glob; *p != '\0'; p++) {
		if (*p == '*') {
			ops_strbuf_adds(&out, "([^.]*)");
		} else {
			if (strchr("\\.+?()[]{}|^$", *p) != NULL) {
				ops_strbuf_addc(&out, '\\');
			}
			ops_strbuf_addc(&out, *p);
		}
	}
	return ops_strbuf_take(&out);
}

static int compile(struct rule *rule, const struct written *w, const char *type,
	const struct ops_conf_node *at, struct ops_error *err)
{
	bool regex = type != NULL && strcmp(type, "regex") == 0;
	if (type != NULL && !regex && strcmp(type, "glob") != 0) {
		return ops_conf_error(at, err, "match_type is glob or regex, not \"%s\"", type);
	}
	char *pattern =
		regex ? ops_xasprintf("(?:.*?)(?:%s)(?:.*)", w->match) : glob_pattern(w->match);
	struct ops_error why;
	int r = ops_regex_compile(pattern, strlen(pattern), 0, &rule->re, &why);
	free(pattern);
	return r == 0 ? 0 : ops_conf_error(at, err, "match: %s", why.message);
}

static int read_type(struct rule *rule, const struct written *w, const struct ops_conf_node *at,
	struct ops_error *err)
{
	const char *type = w->match_metric_type;
	if (type == NULL || type[0] == '\0') {
		return 0;
	}
	rule->typed = true;
	rule->observer = strcmp(type, "observer") == 0 || strcmp(type, "timer") == 0;
	rule->type = strcmp(type, "gauge") == 0 ? COL_STATSD_GAUGE : COL_STATSD_COUNTER;
	if (!rule->observer && rule->type != COL_STATSD_GAUGE && strcmp(type, "counter") != 0) {
		return ops_conf_error(at, err,
			"match_metric_type is counter, gauge, observer or timer, not \"%s\"", type);
	}
	return 0;
}

static int check_labels(const struct ops_conf_node *labels, struct ops_error *err)
{
	if (ops_conf_is_null(labels)) {
		return 0;
	}
	if (labels->type != OPS_CONF_MAPPING || labels->n > COL_STATSD_MAX_TAGS) {
		return ops_conf_error(labels, err, "labels is a mapping of at most %d labels",
			COL_STATSD_MAX_TAGS);
	}
	for (size_t i = 0; i < labels->n; i++) {
		if (!ops_label_name_classic(labels->keys[i]->text, labels->keys[i]->len)) {
			return ops_conf_error(labels->keys[i], err, "\"%s\" is no label name",
				labels->keys[i]->text);
		}
		if (labels->items[i]->type != OPS_CONF_SCALAR) {
			return ops_conf_error(labels->items[i], err, "a label's value is a text");
		}
	}
	return 0;
}

static int read_rule(struct col_statsd_mapping *m, const struct ops_conf_node *node,
	const struct options *defaults, struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct rule *rule = &m->rules[m->n];
	struct written w = {.name = NULL};
	int r = ops_conf_decode(&m->arena, node, rule_keys, &w, warnings, err);
	if (r != 0) {
		return r;
	}
	*rule = (struct rule){.buckets = m->buckets,
		.nbuckets = m->nbuckets,
		.name = w.name,
		.help = w.help != NULL ? w.help : "",
		.labels = w.labels,
		.scale = w.scale,
		.honor_labels = w.honor_labels,
		.drop = w.action != NULL && strcmp(w.action, "drop") == 0,
		.ttl_ms = w.options.ttl_ms > 0 ? w.options.ttl_ms : m->ttl_ms};
	if (!rule->drop && (w.name == NULL || w.name[0] == '\0')) {
		return ops_conf_error(node, err, "a mapping needs a name, or `action: drop`");
	}
	if (w.action != NULL && !rule->drop && strcmp(w.action, "map") != 0) {
		return ops_conf_error(node, err, "action is map or drop, not \"%s\"", w.action);
	}
	note_summary(&w.options, node, warnings);
	r = check_labels(w.labels, err);
	r = r != 0 ? r : read_type(rule, &w, node, err);
	r = r != 0 ? r : read_options(m, &w.options, &rule->buckets, &rule->nbuckets, err);
	const char *type =
		w.options.match_type != NULL ? w.options.match_type : defaults->match_type;
	r = r != 0 ? r : compile(rule, &w, type, node, err);
	m->n += r == 0;
	return r;
}

struct document {
	const struct ops_conf_node *defaults, *mappings;
};
static const struct ops_conf_key document_keys[] = {
	{.name = "defaults",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct document, defaults),
		.doc = "what rules do not say"},
	{.name = "mappings",
		.kind = OPS_CONF_K_NODE,
		.offset = offsetof(struct document, mappings),
		.doc = "rules, the first match decides"},
	OPS_CONF_END,
};

static int read_document(struct col_statsd_mapping *m, const struct ops_conf_node *root,
	struct ops_conf_warnings *warnings, struct ops_error *err)
{
	struct document doc = {NULL, NULL};
	struct options defaults = {.ttl_ms = 0};
	int r = ops_conf_decode(&m->arena, root, document_keys, &doc, warnings, err);
	if (r == 0 && !ops_conf_is_null(doc.defaults)) {
		r = ops_conf_decode(
			&m->arena, doc.defaults, default_keys, &defaults, warnings, err);
	}
	if (r == 0) {
		note_summary(&defaults, doc.defaults, warnings);
		m->ttl_ms = defaults.ttl_ms;
		r = read_options(m, &defaults, &m->buckets, &m->nbuckets, err);
	}
	if (r != 0 || ops_conf_is_null(doc.mappings)) {
		return r;
	}
	if (doc.mappings->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(doc.mappings, err, "mappings is a list");
	}
	m->rules = ops_arena_array(&m->arena, struct rule, doc.mappings->n + 1);
	for (size_t i = 0; r == 0 && i < doc.mappings->n; i++) {
		r = read_rule(m, doc.mappings->items[i], &defaults, warnings, err);
	}
	return r;
}

static struct col_statsd_mapping *mapping_new(void)
{
	struct col_statsd_mapping *m = ops_xcalloc(1, sizeof(*m));
	ops_arena_init(&m->arena);
	m->buckets = default_buckets;
	m->nbuckets = OPS_LENGTH(default_buckets);
	return m;
}

static int finish(struct col_statsd_mapping *m, int r, const struct ops_conf_node *root,
	struct ops_conf_warnings *warnings, struct col_statsd_mapping **ret, struct ops_error *err)
{
	r = r != 0 || root == NULL ? r : read_document(m, root, warnings, err);
	if (r != 0) {
		col_statsd_mapping_free(m);
		return r;
	}
	*ret = m;
	return 0;
}

int col_statsd_mapping_load(const char *path, struct ops_conf_warnings *warnings,
	struct col_statsd_mapping **ret, struct ops_error *err)
{
	static const struct ops_conf_options options = {.expand_env = true, .keep_unset = true};
	struct col_statsd_mapping *m = mapping_new();
	struct ops_conf_node *root = NULL;
	int r = path == NULL || path[0] == '\0'
			? 0
			: ops_conf_load_file(&m->arena, path, &options, &root, err);
	return finish(m, r, root, warnings, ret, err);
}

int col_statsd_mapping_load_text(const char *name, const char *text,
	struct ops_conf_warnings *warnings, struct col_statsd_mapping **ret, struct ops_error *err)
{
	static const struct ops_conf_options options = {.expand_env = false};
	struct col_statsd_mapping *m = mapping_new();
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_text(&m->arena, name, text, strlen(text), &options, &root, err);
	return finish(m, r, root, warnings, ret, err);
}

void col_statsd_mapping_free(struct col_statsd_mapping *m)
{
	if (m == NULL) {
		return;
	}
	for (size_t i = 0; i < m->n; i++) {
		ops_regex_free(m->rules[i].re);
	}
	ops_strbuf_done(&m->texts);
	ops_arena_done(&m->arena);
	free(m);
}

/* ---- mapping ---- */

void col_statsd_clean_name(struct ops_strbuf *out, const char *text, size_t len, bool label)
{
	if (len > 0 && text[0] >= '0' && text[0] <= '9') {
		ops_strbuf_addc(out, '_');
	}
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_' || (c == ':' && !label);
		ops_strbuf_addc(out, fine ? c : '_');
	}
}

static bool fits(const struct rule *rule, const struct col_statsd_event *e)
{
	if (!rule->typed) {
		return true;
	}
	bool observed = e->type == COL_STATSD_TIMER || e->type == COL_STATSD_HISTOGRAM;
	return rule->observer ? observed : rule->type == e->type;
}

/* Texts are collected first and pointed to afterwards, since the buffer moves. */
struct place {
	size_t name, values[COL_STATSD_MAX_TAGS];
};

static void expand_all(struct col_statsd_mapping *m, const struct rule *rule,
	const struct col_statsd_event *e, struct place *ret)
{
	struct ops_strbuf raw = OPS_STRBUF_INIT;
	int r = ops_regex_expand(rule->re, e->name.s, e->name.len, rule->name, &raw);
	ops_assert(r == 0); /* it has just matched */
	ret->name = m->texts.len;
	col_statsd_clean_name(&m->texts, raw.data, raw.len, false);
	ops_strbuf_addc(&m->texts, '\0');
	for (size_t i = 0; rule->labels != NULL && i < rule->labels->n; i++) {
		ret->values[i] = m->texts.len;
		r = ops_regex_expand(
			rule->re, e->name.s, e->name.len, rule->labels->items[i]->text, &m->texts);
		ops_assert(r == 0);
		ops_strbuf_addc(&m->texts, '\0');
	}
	ops_strbuf_done(&raw);
}

static void apply(struct col_statsd_mapping *m, const struct rule *rule,
	const struct col_statsd_event *e, struct col_statsd_mapped *ret)
{
	*ret = (struct col_statsd_mapped){.drop = rule->drop,
		.help = rule->help,
		.honor_labels = rule->honor_labels,
		.buckets = rule->buckets,
		.nbuckets = rule->nbuckets,
		.ttl_ms = rule->ttl_ms,
		.scale = rule->scale};
	if (rule->drop) {
		return;
	}
	struct place at;
	expand_all(m, rule, e, &at);
	ret->name = m->texts.data + at.name;
	ret->nlabels = rule->labels != NULL ? rule->labels->n : 0;
	for (size_t i = 0; i < ret->nlabels; i++) {
		ret->label_names[i] = rule->labels->keys[i]->text;
		ret->label_values[i] = m->texts.data + at.values[i];
	}
}

void col_statsd_map(struct col_statsd_mapping *m, const struct col_statsd_event *e,
	struct col_statsd_mapped *ret)
{
	ops_strbuf_reset(&m->texts);
	for (size_t i = 0; i < m->n; i++) {
		if (fits(&m->rules[i], e) &&
			ops_regex_match(m->rules[i].re, e->name.s, e->name.len)) {
			apply(m, &m->rules[i], e, ret);
			return;
		}
	}
	col_statsd_clean_name(&m->texts, e->name.s, e->name.len, false);
	*ret = (struct col_statsd_mapped){.name = ops_strbuf_text(&m->texts),
		.help = "",
		.buckets = m->buckets,
		.nbuckets = m->nbuckets,
		.ttl_ms = m->ttl_ms,
		.scale = 1};
}
