/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values: construction, truth, text as fmt.Print writes it, JSON. Lists and maps belong to an arena
 * and are never changed after they are shared, except by the functions that build them (list,
 * dict).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/tmpl/internal.h"

struct ops_tmpl_value ops_tmpl_nil(void)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_NIL};
}

struct ops_tmpl_value ops_tmpl_bool(bool v)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_BOOL, .u.boolean = v};
}

struct ops_tmpl_value ops_tmpl_int(int64_t v)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_INT, .u.i64 = v};
}

struct ops_tmpl_value ops_tmpl_float(double v)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_FLOAT, .u.f64 = v};
}

struct ops_tmpl_value ops_tmpl_string(const char *s)
{
	const char *text = s != NULL ? s : "";
	return (struct ops_tmpl_value){.kind = OPS_TMPL_STRING, .u.str = {text, strlen(text)}};
}

struct ops_tmpl_value ops_tmpl_stringn(struct ops_arena *a, const char *s, size_t len)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_STRING,
		.u.str = {ops_arena_strndup(a, s != NULL ? s : "", len), len}};
}

struct ops_tmpl_value ops_tmpl_time(int64_t ms)
{
	return (struct ops_tmpl_value){.kind = OPS_TMPL_TIME, .u.time = {.ms = ms, .zone = "UTC"}};
}

struct ops_tmpl_value ops_tmpl_list(struct ops_arena *a)
{
	return (struct ops_tmpl_value){
		.kind = OPS_TMPL_LIST, .u.list = ops_arena_new(a, struct ops_tmpl_list)};
}

void ops_tmpl_list_add(struct ops_arena *a, struct ops_tmpl_list *l, struct ops_tmpl_value v)
{
	if (l->n == l->cap) {
		size_t cap = l->cap != 0 ? l->cap * 2 : 8;
		struct ops_tmpl_value *items = ops_arena_array(a, struct ops_tmpl_value, cap);
		if (l->n > 0)
			memcpy(items, l->items, l->n * sizeof items[0]);
		l->items = items;
		l->cap = cap;
	}
	l->items[l->n++] = v;
}

struct ops_tmpl_value ops_tmpl_map(struct ops_arena *a)
{
	return (struct ops_tmpl_value){
		.kind = OPS_TMPL_MAP, .u.map = ops_arena_new(a, struct ops_tmpl_map)};
}

static size_t find_key(const struct ops_tmpl_map *m, const char *key)
{
	size_t i = 0;
	while (i < m->n && strcmp(m->keys[i], key) != 0)
		i++;
	return i;
}

void ops_tmpl_map_set(
	struct ops_arena *a, struct ops_tmpl_map *m, const char *key, struct ops_tmpl_value v)
{
	size_t at = find_key(m, key);

	if (at == m->n && m->n == m->cap) {
		size_t cap = m->cap != 0 ? m->cap * 2 : 8;
		const char **keys = ops_arena_array(a, const char *, cap);
		struct ops_tmpl_value *values = ops_arena_array(a, struct ops_tmpl_value, cap);
		if (m->n > 0) {
			memcpy(keys, m->keys, m->n * sizeof keys[0]);
			memcpy(values, m->values, m->n * sizeof values[0]);
		}
		m->keys = keys;
		m->values = values;
		m->cap = cap;
	}
	m->keys[at] = key;
	m->values[at] = v;
	m->n += at == m->n;
}

const struct ops_tmpl_value *ops_tmpl_map_get(const struct ops_tmpl_map *m, const char *key)
{
	size_t at = find_key(m, key);
	return at < m->n ? &m->values[at] : NULL;
}

const size_t *tmpl_sorted_keys(struct ops_arena *a, const struct ops_tmpl_map *m)
{
	size_t *order = ops_arena_array(a, size_t, m->n + 1);

	for (size_t i = 0; i < m->n; i++) {
		size_t at = i;
		for (; at > 0 && strcmp(m->keys[order[at - 1]], m->keys[i]) > 0; at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return order;
}

bool ops_tmpl_truth(const struct ops_tmpl_value *v)
{
	switch (v->kind) {
	case OPS_TMPL_NIL:
		return false;
	case OPS_TMPL_BOOL:
		return v->u.boolean;
	case OPS_TMPL_INT:
		return v->u.i64 != 0;
	case OPS_TMPL_FLOAT:
		return v->u.f64 < 0 || v->u.f64 > 0 || isnan(v->u.f64);
	case OPS_TMPL_STRING:
		return v->u.str.len > 0;
	case OPS_TMPL_TIME:
		return true;
	case OPS_TMPL_LIST:
		return v->u.list->n > 0;
	case OPS_TMPL_MAP:
		return v->u.map->strict || v->u.map->n > 0;
	}
	return false;
}

/* Shortest digits that read back; %e for exponents below low or from high on. */
static void print_shortest(double v, int low, int high, struct ops_strbuf *out)
{
	char buf[400];

	if (isnan(v) || isinf(v)) {
		ops_strbuf_adds(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	int precision = 0;
	double back = 0;
	for (; precision < 17; precision++) {
		int n = snprintf(buf, sizeof buf, "%.*e", precision, v);
		if (ops_parse_double(buf, (size_t)n, &back) == 0 && !(back < v) && !(back > v))
			break;
	}
	int exponent = v < 0 || v > 0 ? (int)floor(log10(fabs(v))) : 0;
	const char *e = strchr(buf, 'e');
	int64_t parsed = 0;
	if (e != NULL && ops_parse_i64(e + 1, strlen(e + 1), &parsed) == 0)
		exponent = (int)parsed;
	if (exponent < low || exponent >= high) {
		ops_strbuf_adds(out, buf);
		return;
	}
	ops_strbuf_printf(out, "%.*f", OPS_MAX(precision - exponent, 0), v);
}

/* As strconv.FormatFloat(v, 'g', -1, 64) chooses: 1e+06, 123456, 0.0001, 1e-05. */
void tmpl_print_float(double v, struct ops_strbuf *out)
{
	print_shortest(v, -4, 6, out);
}

static void print_list(const struct ops_tmpl_list *l, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ' ');
		ops_tmpl_print(&l->items[i], out);
	}
	ops_strbuf_addc(out, ']');
}

static void print_map(const struct ops_tmpl_map *m, struct ops_strbuf *out)
{
	struct ops_arena a;
	const struct ops_tmpl_value *text = m->strict ? ops_tmpl_map_get(m, "String") : NULL;
	if (text != NULL) {
		ops_tmpl_print(text, out);
		return;
	}
	ops_arena_init(&a);
	const size_t *order = tmpl_sorted_keys(&a, m);

	ops_assert(m->n == 0 || m->values != NULL);
	ops_strbuf_adds(out, m->strict ? "{" : "map[");
	for (size_t i = 0; i < m->n; i++) {
		size_t at = m->strict ? i : order[i];
		if (i > 0)
			ops_strbuf_addc(out, ' ');
		if (!m->strict)
			ops_strbuf_printf(out, "%s:", m->keys[at]);
		ops_tmpl_print(&m->values[at], out);
	}
	ops_strbuf_addc(out, m->strict ? '}' : ']');
	ops_arena_done(&a);
}

void ops_tmpl_print(const struct ops_tmpl_value *v, struct ops_strbuf *out)
{
	switch (v->kind) {
	case OPS_TMPL_NIL:
		ops_strbuf_adds(out, "<no value>");
		break;
	case OPS_TMPL_BOOL:
		ops_strbuf_adds(out, v->u.boolean ? "true" : "false");
		break;
	case OPS_TMPL_INT:
		ops_strbuf_printf(out, "%lld", (long long)v->u.i64);
		break;
	case OPS_TMPL_FLOAT:
		tmpl_print_float(v->u.f64, out);
		break;
	case OPS_TMPL_STRING:
		ops_strbuf_add(out, v->u.str.s, v->u.str.len);
		break;
	case OPS_TMPL_TIME:
		ops_tmpl_time_format(&v->u.time, "2006-01-02 15:04:05.999999999 -0700 MST", out);
		break;
	case OPS_TMPL_LIST:
		print_list(v->u.list, out);
		break;
	case OPS_TMPL_MAP:
		print_map(v->u.map, out);
		break;
	}
}

static void json_list(const struct ops_tmpl_list *l, struct ops_strbuf *out)
{
	if (l->is_nil) {
		ops_strbuf_adds(out, "null");
		return;
	}
	ops_strbuf_addc(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		ops_tmpl_json(&l->items[i], out);
	}
	ops_strbuf_addc(out, ']');
}

/* A struct's JSON names begin with a lower case letter: Labels -> labels, GeneratorURL ->
 * generatorURL. */
static void json_key(const struct ops_tmpl_map *m, const char *key, struct ops_strbuf *out)
{
	char buf[128];
	if (!m->strict || key[0] < 'A' || key[0] > 'Z' || strlen(key) >= sizeof buf) {
		ops_strbuf_add_json(out, key, strlen(key));
		return;
	}
	int n = snprintf(buf, sizeof buf, "%s", key);
	buf[0] = (char)(buf[0] + ('a' - 'A'));
	if (strncmp(key, "URL", 3) == 0)
		n = snprintf(buf, sizeof buf, "url%s", key + 3);
	ops_strbuf_add_json(out, buf, (size_t)n);
}

static void json_map(const struct ops_tmpl_map *m, struct ops_strbuf *out)
{
	struct ops_arena a;
	if (m->is_nil) {
		ops_strbuf_adds(out, "null");
		return;
	}
	ops_arena_init(&a);
	const size_t *order = tmpl_sorted_keys(&a, m);
	ops_strbuf_addc(out, '{');
	for (size_t i = 0; i < m->n; i++) {
		size_t at = m->strict ? i : order[i];
		if (i > 0)
			ops_strbuf_addc(out, ',');
		json_key(m, m->keys[at], out);
		ops_strbuf_addc(out, ':');
		ops_tmpl_json(&m->values[at], out);
	}
	ops_strbuf_addc(out, '}');
	ops_arena_done(&a);
}

void ops_tmpl_json(const struct ops_tmpl_value *v, struct ops_strbuf *out)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	switch (v->kind) {
	case OPS_TMPL_NIL:
		ops_strbuf_adds(out, "null");
		break;
	case OPS_TMPL_BOOL:
	case OPS_TMPL_INT:
		ops_tmpl_print(v, out);
		break;
	case OPS_TMPL_FLOAT:
		if (isfinite(v->u.f64))
			print_shortest(v->u.f64, -6, 21, out);
		else
			ops_strbuf_adds(out, "null");
		break;
	case OPS_TMPL_STRING:
		ops_strbuf_add_json(out, v->u.str.s, v->u.str.len);
		break;
	case OPS_TMPL_TIME:
		ops_tmpl_time_format(&v->u.time, "2006-01-02T15:04:05.999999999Z07:00", &text);
		ops_strbuf_add_json(out, ops_strbuf_text(&text), text.len);
		break;
	case OPS_TMPL_LIST:
		json_list(v->u.list, out);
		break;
	case OPS_TMPL_MAP:
		json_map(v->u.map, out);
		break;
	}
}

int ops_tmpl_number(const struct ops_tmpl_value *v, double *ret)
{
	if (v->kind == OPS_TMPL_INT)
		*ret = (double)v->u.i64;
	else if (v->kind == OPS_TMPL_FLOAT)
		*ret = v->u.f64;
	else if (v->kind != OPS_TMPL_STRING)
		return -EINVAL;
	else
		return ops_parse_double(v->u.str.s, v->u.str.len, ret);
	return 0;
}

const char *ops_tmpl_text(struct ops_arena *a, const struct ops_tmpl_value *v, size_t *ret_len)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	if (v->kind == OPS_TMPL_STRING) {
		if (ret_len != NULL)
			*ret_len = v->u.str.len;
		return v->u.str.s;
	}
	ops_tmpl_print(v, &b);
	if (ret_len != NULL)
		*ret_len = b.len;
	return ops_arena_strndup(a, ops_strbuf_text(&b), b.len);
}
