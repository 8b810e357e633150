/* SPDX-License-Identifier: Apache-2.0 */
/* Values of a rule's keys: text with ${NAME} replaced, durations, labels and annotations, and
 * expressions whose mistakes are told with their place in the file. */
#include "common/rules/load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/model/labels.h"
#include "common/promql/parse.h"

static const char *variable(const struct ops_rule_load *l, const char *name, size_t len)
{
	for (size_t i = 0; i < l->opt->nvariables; i++) {
		const struct ops_rule_variable *v = &l->opt->variables[i];
		if (strlen(v->name) == len && memcmp(v->name, name, len) == 0) {
			return v->value;
		}
	}
	return NULL;
}

/*
 * Only listed names are replaced: "${1}" and "${name}" are everyday text in label_replace. The
 * result lives in the arena; without a variable in it the text is returned as it is.
 */
const char *ops_rule_expand(const struct ops_rule_load *l, const char *text)
{
	if (l->opt->nvariables == 0 || strstr(text, "${") == NULL) {
		return text;
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (const char *at = text; *at != '\0';) {
		const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
		const char *value =
			end != NULL ? variable(l, at + 2, (size_t)(end - at - 2)) : NULL;
		if (value != NULL) {
			ops_strbuf_adds(&out, value);
			at = end + 1;
		} else {
			ops_strbuf_addc(&out, *at++);
		}
	}
	char *copy = ops_arena_strdup(l->arena, ops_strbuf_text(&out));
	ops_strbuf_done(&out);
	return copy;
}

int ops_rule_text(const struct ops_rule_load *l, const struct ops_conf_node *n, const char *what,
	const char **ret)
{
	const char *text = NULL;
	int rc = ops_conf_string(n, what, &text, l->err);
	if (rc == 0) {
		*ret = ops_rule_expand(l, text != NULL ? text : "");
	}
	return rc;
}

int ops_rule_duration(const struct ops_rule_load *l, const struct ops_conf_node *n,
	const char *what, int64_t *ret_ms)
{
	const char *text = NULL;
	if (n == NULL || ops_conf_is_null(n)) {
		return 0;
	}
	int rc = ops_rule_text(l, n, what, &text);
	if (rc == 0 && ops_duration_parse(text, strlen(text), ret_ms) != 0) {
		ops_conf_error(n, l->err, "%s: '%s' is not a duration", what, text);
		ops_error_hint(l->err, "as in 30s, 5m or 1h30m");
		rc = -EINVAL;
	}
	return rc;
}

bool ops_rule_pair_exists(const struct ops_rule_pairs *pairs, const char *name)
{
	for (size_t i = 0; i < pairs->n; i++) {
		if (strcmp(pairs->items[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

void ops_rule_add_pair(const struct ops_rule_load *l, struct ops_rule_pairs *pairs,
	const struct ops_rule_pair *pair)
{
	struct ops_rule_pair *grown = ops_arena_array(l->arena, struct ops_rule_pair, pairs->n + 1);
	if (pairs->n > 0) {
		memcpy(grown, pairs->items, pairs->n * sizeof(*grown));
	}
	grown[pairs->n] = *pair;
	pairs->items = grown;
	pairs->n++;
}

int ops_rule_add_pairs(const struct ops_rule_load *l, const struct ops_conf_node *map,
	const char *what, bool labels, struct ops_rule_pairs *pairs)
{
	if (map == NULL || ops_conf_is_null(map)) {
		return 0;
	}
	if (map->type != OPS_CONF_MAPPING) {
		return ops_conf_error(map, l->err, "%s must be a mapping of names to texts", what);
	}
	for (size_t i = 0; i < map->n; i++) {
		const struct ops_conf_node *key = map->keys[i], *value = map->items[i];
		bool valid = ops_label_name_valid(key->text, key->len) &&
			     !(labels && strcmp(key->text, OPS_LABEL_NAME) == 0);
		if (!valid) {
			return ops_conf_error(
				key, l->err, "invalid name '%s' in %s", key->text, what);
		}
		struct ops_rule_pair pair = {key->text, "", value->line, value->column};
		if (!ops_conf_is_null(value) &&
			ops_rule_text(l, value, key->text, &pair.value) != 0) {
			return -EINVAL;
		}
		ops_rule_add_pair(l, pairs, &pair);
	}
	return 0;
}

void ops_rule_expr_position(const struct ops_rule *rule, struct ops_error *err)
{
	int line = OPS_MAX(err->line, 1), column = OPS_MAX(err->column, 1);
	snprintf(err->file, sizeof(err->file), "%s", rule->file);
	err->line = rule->expr_line + line - 1;
	err->column = column + (line == 1 ? rule->expr_column - 1 : rule->expr_indent);
}

/* Where the first byte of a scalar's text stands: behind the quote, or on the line below a block's
 * '|', indented. */
void ops_rule_text_position(const struct ops_conf_node *n, struct ops_rule *rule)
{
	bool block = n->indent > 0;
	rule->expr_line = n->line + (block ? 1 : 0);
	rule->expr_column = block ? n->indent + 1 : n->column + (n->quoted ? 1 : 0);
	rule->expr_indent = n->indent;
}

int ops_rule_parse_expr(const struct ops_rule_load *l, const struct ops_rule *rule,
	const char *text, struct ops_promql_expr **ret)
{
	const struct ops_promql_options options = {l->opt->promql_features != 0
							   ? l->opt->promql_features
							   : OPS_PROMQL_DEFAULT_FEATURES};
	const struct ops_promql_source source = {text, strlen(text), &options};
	int rc = ops_promql_parse(l->arena, &source, ret, l->err);
	if (rc != 0) {
		ops_rule_expr_position(rule, l->err);
		ops_error_prefix(l->err, "rule '%s'", rule->name);
	}
	return rc;
}
