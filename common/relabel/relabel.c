/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eleven actions. What a rule needs (compiled expression, joined defaults) is made once when
 * the configuration is loaded; applying one allocates only for the texts that it makes.
 *
 * Two things that are easy to get wrong and are tested: an expansion that is empty deletes the
 * target label, and hashmod takes the last eight bytes of the MD5 sum, big-endian, so that the
 * shards agree with those of Prometheus. lowercase and uppercase change ASCII letters only.
 *
 * Source: the Prometheus documentation, "relabel_config".
 */
#include "common/relabel/relabel.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/model/regex.h"

#define DEFAULT_REGEX "(.*)"
#define DEFAULT_REPLACEMENT "$1"
#define DEFAULT_SEPARATOR ";"

/* ---- loading ---- */

struct written { /* a rule as it stands in the file */
	const char *action, *separator, *target_label, *regex, *replacement;
	struct ops_conf_strings source_labels;
	int64_t modulus;
};

#define KEY(name_, kind_, member, fallback_)                                                       \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct written, member),      \
		.fallback = (fallback_)                                                            \
	}

static const struct ops_conf_key keys[] = {
	KEY("source_labels", OPS_CONF_K_STRINGS, source_labels, NULL),
	KEY("separator", OPS_CONF_K_STRING, separator, DEFAULT_SEPARATOR),
	KEY("target_label", OPS_CONF_K_STRING, target_label, NULL),
	KEY("regex", OPS_CONF_K_STRING, regex, DEFAULT_REGEX),
	{.name = "modulus",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct written, modulus),
		.min = 0,
		.max = INT64_MAX},
	KEY("replacement", OPS_CONF_K_STRING, replacement, DEFAULT_REPLACEMENT),
	KEY("action", OPS_CONF_K_STRING, action, "replace"),
	OPS_CONF_END,
};

enum { /* what an action needs and allows */
	NEEDS_TARGET = 1,
	PLAIN_TARGET = 2, /* no group references */
	ONLY_LABELS = 4,  /* nothing beside source_labels and target_label */
	ONLY_REGEX = 8,	  /* nothing beside regex */
	NAMES_LABEL = 16, /* the replacement becomes a label name */
	NEEDS_MODULUS = 32
};

static const struct {
	const char *name;
	enum ops_relabel_action action;
	unsigned flags;
} actions[] = {
	{"replace", OPS_RELABEL_REPLACE, NEEDS_TARGET},
	{"keep", OPS_RELABEL_KEEP, 0},
	{"drop", OPS_RELABEL_DROP, 0},
	{"keepequal", OPS_RELABEL_KEEPEQUAL, NEEDS_TARGET | PLAIN_TARGET | ONLY_LABELS},
	{"dropequal", OPS_RELABEL_DROPEQUAL, NEEDS_TARGET | PLAIN_TARGET | ONLY_LABELS},
	{"hashmod", OPS_RELABEL_HASHMOD, NEEDS_TARGET | PLAIN_TARGET | NEEDS_MODULUS},
	{"labelmap", OPS_RELABEL_LABELMAP, NAMES_LABEL},
	{"labeldrop", OPS_RELABEL_LABELDROP, ONLY_REGEX},
	{"labelkeep", OPS_RELABEL_LABELKEEP, ONLY_REGEX},
	{"lowercase", OPS_RELABEL_LOWERCASE, NEEDS_TARGET | PLAIN_TARGET},
	{"uppercase", OPS_RELABEL_UPPERCASE, NEEDS_TARGET | PLAIN_TARGET},
};

/* Length of a reference $name or ${name} at s, 0 when there is none. */
static size_t reference(const char *s)
{
	if (s[0] != '$') {
		return 0;
	}
	size_t brace = s[1] == '{' ? 1 : 0, n = 1 + brace;
	while ((s[n] >= '0' && s[n] <= '9') || ops_label_name_classic(s + n, 1)) {
		n++;
	}
	if (n == 1 + brace || (brace == 1 && s[n] != '}')) {
		return 0;
	}
	return n + brace;
}

bool ops_relabel_target_legacy(const char *text)
{
	if (text[0] == '\0' || (text[0] >= '0' && text[0] <= '9')) {
		return false;
	}
	while (*text != '\0') {
		bool digit = *text >= '0' && *text <= '9';
		size_t n = digit || ops_label_name_classic(text, 1) ? 1 : reference(text);
		if (n == 0) {
			return false;
		}
		text += n;
	}
	return true;
}

static bool target_valid(const char *text, bool plain, bool legacy)
{
	if (!legacy) {
		return ops_label_name_valid(text, strlen(text));
	}
	return plain ? ops_label_name_classic(text, strlen(text)) : ops_relabel_target_legacy(text);
}

static int refuse(const struct ops_conf_node *at, const char *key, struct ops_error *err,
	const char *what, const char *action)
{
	const struct ops_conf_node *n = ops_conf_get(at, key);
	return ops_conf_error(n != NULL ? n : at, err, "action %s %s", action, what);
}

static int find_action(
	const struct ops_conf_node *at, const struct written *w, size_t *ret, struct ops_error *err)
{
	const char *names[OPS_LENGTH(actions)];
	for (size_t i = 0; i < OPS_LENGTH(actions); i++) {
		names[i] = actions[i].name;
		if (strcasecmp(w->action, names[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	const struct ops_conf_node *n = ops_conf_get(at, "action");
	int r = ops_conf_error(n != NULL ? n : at, err, "unknown action \"%s\"", w->action);
	const char *near = ops_conf_nearest(w->action, names, OPS_LENGTH(names));
	ops_error_hint(err, near != NULL ? "did you mean \"%s\"?" : "for example \"%s\"",
		near != NULL ? near : "replace");
	return r;
}

static int validate(const struct ops_conf_node *at, const struct written *w, size_t which,
	bool legacy, struct ops_error *err)
{
	const char *name = actions[which].name;
	unsigned flags = actions[which].flags;
	bool target = w->target_label != NULL && w->target_label[0] != '\0';
	bool plain_rest = strcmp(w->separator, DEFAULT_SEPARATOR) == 0 && w->modulus == 0 &&
			  strcmp(w->replacement, DEFAULT_REPLACEMENT) == 0;
	bool plain_regex = strcmp(w->regex, DEFAULT_REGEX) == 0;
	if ((flags & NEEDS_MODULUS) != 0 && w->modulus == 0) {
		return refuse(at, "modulus", err, "needs a modulus above 0", name);
	}
	if ((flags & NEEDS_TARGET) != 0 && !target) {
		return refuse(at, "target_label", err, "needs a target_label", name);
	}
	if ((flags & NEEDS_TARGET) != 0 &&
		!target_valid(w->target_label, (flags & PLAIN_TARGET) != 0, legacy)) {
		return refuse(at, "target_label", err, "cannot have this target_label", name);
	}
	if ((flags & NAMES_LABEL) != 0 && !target_valid(w->replacement, false, legacy)) {
		return refuse(at, "replacement", err, "cannot have this replacement", name);
	}
	if ((flags & ONLY_LABELS) != 0 && !(plain_rest && plain_regex)) {
		return refuse(at, "action", err, "takes only source_labels and target_label", name);
	}
	if ((flags & ONLY_REGEX) != 0 && (!plain_rest || target || w->source_labels.n != 0)) {
		return refuse(at, "action", err, "takes only a regex", name);
	}
	return 0;
}

static int load_rule(struct ops_arena *a, const struct ops_conf_node *node, bool legacy,
	struct ops_relabel_rule *ret, struct ops_error *err)
{
	struct written w = {.action = NULL};
	size_t which = 0;
	int r = ops_conf_decode(a, node, keys, &w, NULL, err);
	if (r == 0) {
		r = find_action(node, &w, &which, err);
	}
	if (r == 0) {
		r = validate(node, &w, which, legacy, err);
	}
	for (size_t i = 0; r == 0 && i < w.source_labels.n; i++) {
		const char *s = w.source_labels.items[i];
		if (!target_valid(s, true, legacy)) {
			r = refuse(node, "source_labels", err, "cannot have this source label",
				actions[which].name);
		}
	}
	if (r != 0) {
		return r;
	}
	*ret = (struct ops_relabel_rule){.action = actions[which].action,
		.source_labels = w.source_labels.items,
		.nsource = w.source_labels.n,
		.separator = w.separator,
		.target_label = w.target_label != NULL ? w.target_label : "",
		.replacement = w.replacement,
		.modulus = (uint64_t)w.modulus};
	struct ops_error why;
	if (ops_regex_new(w.regex, strlen(w.regex), &ret->regex, &why) != 0) {
		const struct ops_conf_node *n = ops_conf_get(node, "regex");
		ops_conf_error(
			n != NULL ? n : node, err, "not a regular expression: %s", why.message);
		ops_error_hint(err, "%s", why.hint[0] != '\0' ? why.hint : "RE2 syntax, anchored");
		return -EINVAL;
	}
	return 0;
}

int ops_relabel_load(struct ops_arena *a, const struct ops_conf_node *node, bool legacy_names,
	struct ops_relabel *ret, struct ops_error *err)
{
	*ret = (struct ops_relabel){NULL, 0};
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_SEQUENCE) {
		return ops_conf_error(node, err, "expected a list of relabelling rules");
	}
	ret->rules = ops_arena_array(a, struct ops_relabel_rule, node->n);
	for (size_t i = 0; i < node->n; i++) {
		int r = load_rule(a, node->items[i], legacy_names, &ret->rules[i], err);
		if (r != 0) {
			ops_relabel_done(ret);
			return r;
		}
		ret->n++;
	}
	return 0;
}

void ops_relabel_done(struct ops_relabel *r)
{
	for (size_t i = 0; i < r->n; i++) {
		ops_regex_free(r->rules[i].regex);
	}
	*r = (struct ops_relabel){NULL, 0};
}

/* ---- applying ---- */

static void join(const struct ops_relabel_rule *r, const struct ops_labels_builder *labels,
	struct ops_strbuf *out)
{
	for (size_t i = 0; i < r->nsource; i++) {
		const char *v = ops_labels_builder_get(labels, r->source_labels[i]);
		if (i > 0) {
			ops_strbuf_adds(out, r->separator);
		}
		ops_strbuf_adds(out, v != NULL ? v : "");
	}
}

static void replace(const struct ops_relabel_rule *r, const struct ops_strbuf *value,
	struct ops_labels_builder *labels)
{
	struct ops_strbuf name = OPS_STRBUF_INIT, text = OPS_STRBUF_INIT;
	const char *s = ops_strbuf_text(value);
	if (ops_regex_expand(r->regex, s, value->len, r->target_label, &name) == 0 &&
		ops_label_name_valid(ops_strbuf_text(&name), name.len) &&
		ops_regex_expand(r->regex, s, value->len, r->replacement, &text) == 0) {
		ops_labels_builder_set(labels, ops_strbuf_text(&name), ops_strbuf_text(&text));
	}
	ops_strbuf_done(&name);
	ops_strbuf_done(&text);
}

static void hashmod(const struct ops_relabel_rule *r, const struct ops_strbuf *value,
	struct ops_labels_builder *labels)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	if (EVP_Digest(ops_strbuf_text(value), value->len, sum, &len, EVP_md5(), NULL) != 1) {
		return; /* no MD5 in this OpenSSL: the label stays absent, which keep rules show */
	}
	uint64_t number = 0;
	for (size_t i = 8; i < 16; i++) {
		number = number << 8 | sum[i];
	}
	char text[24];
	snprintf(text, sizeof(text), "%" PRIu64, number % r->modulus);
	ops_labels_builder_set(labels, r->target_label, text);
}

static void change_case(const struct ops_relabel_rule *r, struct ops_strbuf *value,
	struct ops_labels_builder *labels)
{
	char first = r->action == OPS_RELABEL_LOWERCASE ? 'A' : 'a';
	for (size_t i = 0; i < value->len; i++) {
		char *c = &value->data[i];
		if (*c >= first && *c <= first + 25) {
			*c = (char)(*c ^ 0x20);
		}
	}
	ops_labels_builder_set(labels, r->target_label, ops_strbuf_text(value));
}

static void map_names(const struct ops_relabel_rule *r, struct ops_labels_builder *labels)
{
	struct ops_labels *before = ops_labels_builder_build(labels);
	struct ops_strbuf name = OPS_STRBUF_INIT;
	for (uint32_t i = 0; i < before->n; i++) {
		const struct ops_label *l = &before->items[i];
		ops_strbuf_reset(&name);
		if (ops_regex_expand(r->regex, l->name, l->name_len, r->replacement, &name) == 0 &&
			ops_label_name_valid(ops_strbuf_text(&name), name.len)) {
			ops_labels_builder_set(labels, ops_strbuf_text(&name), l->value);
		}
	}
	ops_strbuf_done(&name);
	ops_labels_unref(before);
}

static void drop_names(const struct ops_relabel_rule *r, struct ops_labels_builder *labels)
{
	struct ops_labels *before = ops_labels_builder_build(labels);
	bool drop_matching = r->action == OPS_RELABEL_LABELDROP;
	for (uint32_t i = 0; i < before->n; i++) {
		const struct ops_label *l = &before->items[i];
		if (ops_regex_match(r->regex, l->name, l->name_len) == drop_matching) {
			ops_labels_builder_del(labels, l->name);
		}
	}
	ops_labels_unref(before);
}

static bool equals_target(const struct ops_relabel_rule *r, const struct ops_strbuf *value,
	const struct ops_labels_builder *labels)
{
	const char *target = ops_labels_builder_get(labels, r->target_label);
	return strcmp(ops_strbuf_text(value), target != NULL ? target : "") == 0;
}

static bool apply_rule(const struct ops_relabel_rule *r, struct ops_labels_builder *labels,
	struct ops_strbuf *value)
{
	join(r, labels, value);
	const char *s = ops_strbuf_text(value);
	switch (r->action) {
	case OPS_RELABEL_REPLACE:
		replace(r, value, labels);
		return true;
	case OPS_RELABEL_KEEP:
		return ops_regex_match(r->regex, s, value->len);
	case OPS_RELABEL_DROP:
		return !ops_regex_match(r->regex, s, value->len);
	case OPS_RELABEL_KEEPEQUAL:
		return equals_target(r, value, labels);
	case OPS_RELABEL_DROPEQUAL:
		return !equals_target(r, value, labels);
	case OPS_RELABEL_HASHMOD:
		hashmod(r, value, labels);
		return true;
	case OPS_RELABEL_LABELMAP:
		map_names(r, labels);
		return true;
	case OPS_RELABEL_LABELDROP:
	case OPS_RELABEL_LABELKEEP:
		drop_names(r, labels);
		return true;
	case OPS_RELABEL_LOWERCASE:
	case OPS_RELABEL_UPPERCASE:
		change_case(r, value, labels);
		return true;
	}
	return true;
}

bool ops_relabel_apply(const struct ops_relabel *r, struct ops_labels_builder *labels)
{
	struct ops_strbuf value = OPS_STRBUF_INIT;
	bool keep = true;
	for (size_t i = 0; keep && i < r->n; i++) {
		ops_strbuf_reset(&value);
		keep = apply_rule(&r->rules[i], labels, &value);
	}
	ops_strbuf_done(&value);
	return keep;
}
