/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A label set is one block: header, array of labels, then all texts as name NUL value NUL in order
 * of the array. Because no text holds a NUL byte, the bytes of that tail name the set without
 * ambiguity: the hash is one pass over the tail. A set that somebody else lays out (the detector's
 * store points to texts that many series share) carries the hash that this tail would have.
 *
 * The builder keeps its items sorted at every set, so that building is one copy and duplicates
 * cannot arise. Sets are small (ten labels, seldom fifty), so a binary search with a memmove is
 * cheaper than any tree; whoever takes labels from outside bounds their number first.
 *
 * The fingerprint is the one that Prometheus and Alertmanager print (FNV-1a 64, a separator byte
 * 0xff after each text, which cannot occur in UTF-8); it identifies an alert to people and other
 * programs. Maps use `hash`, which is faster.
 */
#include "common/model/labels.h"

#include <stdarg.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

static const char *labels_tail(const struct ops_labels *ls)
{
	return (const char *)&ls->items[ls->n];
}

/* Most texts are short: a call would cost more than the copy. Returns behind the NUL. */
static inline char *put_text(char *at, const char *text, size_t len)
{
	if (len >= 8 && len <= 16) {
		uint64_t head, tail;
		memcpy(&head, text, sizeof(head));
		memcpy(&tail, text + len - sizeof(tail), sizeof(tail));
		memcpy(at, &head, sizeof(head));
		memcpy(at + len - sizeof(tail), &tail, sizeof(tail));
	} else if (len >= 4 && len < 8) {
		uint32_t head, tail;
		memcpy(&head, text, sizeof(head));
		memcpy(&tail, text + len - sizeof(tail), sizeof(tail));
		memcpy(at, &head, sizeof(head));
		memcpy(at + len - sizeof(tail), &tail, sizeof(tail));
	} else if (len > 0) {
		memcpy(at, text, len);
	}
	at[len] = '\0';
	return at + len + 1;
}

struct ops_labels *ops_labels_from_sorted(const struct ops_label *items, size_t n)
{
	size_t tail = 0, kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (items[i].value_len == 0)
			continue;
		tail += (size_t)items[i].name_len + items[i].value_len + 2;
		kept++;
	}
	ops_assert(kept <= UINT32_MAX);
	struct ops_labels *ls = ops_xmalloc(sizeof(*ls) + kept * sizeof(ls->items[0]) + tail);
	char *at = (char *)&ls->items[kept];
	struct ops_label *to = ls->items;
	for (size_t i = 0; i < n; i++) {
		const struct ops_label *from = &items[i];
		if (from->value_len == 0)
			continue;
		*to = (struct ops_label){
			.name = at, .name_len = from->name_len, .value_len = from->value_len};
		at = put_text(at, from->name, from->name_len);
		to->value = at;
		at = put_text(at, from->value, from->value_len);
		to++;
	}
	ls->refs = 1;
	ls->n = (uint32_t)kept;
	ls->hash = ops_hash64(labels_tail(ls), tail, 0);
	return ls;
}

struct ops_labels *ops_labels_ref(struct ops_labels *ls)
{
	uint32_t before = __atomic_fetch_add(&ls->refs, 1, __ATOMIC_RELAXED);
	ops_assert(before > 0 && before < UINT32_MAX);
	return ls;
}

void ops_labels_unref(struct ops_labels *ls)
{
	if (ls == NULL)
		return;
	uint32_t before = __atomic_fetch_sub(&ls->refs, 1, __ATOMIC_ACQ_REL);
	ops_assert(before > 0);
	if (before == 1)
		free(ls);
}

void ops_labels_unrefp(struct ops_labels **ls)
{
	ops_labels_unref(*ls);
	*ls = NULL;
}

const char *ops_labels_get(const struct ops_labels *ls, const char *name)
{
	size_t low = 0, high = ls->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(ls->items[mid].name, name);
		if (c == 0)
			return ls->items[mid].value;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

bool ops_labels_equal(const struct ops_labels *a, const struct ops_labels *b)
{
	if (a == b)
		return true;
	if (a->hash != b->hash || a->n != b->n)
		return false;
	for (uint32_t i = 0; i < a->n; i++) {
		const struct ops_label *x = &a->items[i], *y = &b->items[i];
		if (x->name_len != y->name_len || x->value_len != y->value_len ||
			memcmp(x->value, y->value, x->value_len) != 0 ||
			memcmp(x->name, y->name, x->name_len) != 0)
			return false;
	}
	return true;
}

int ops_labels_compare(const struct ops_labels *a, const struct ops_labels *b)
{
	uint32_t common = OPS_MIN(a->n, b->n);
	for (uint32_t i = 0; i < common; i++) {
		int c = strcmp(a->items[i].name, b->items[i].name);
		if (c == 0)
			c = strcmp(a->items[i].value, b->items[i].value);
		if (c != 0)
			return c < 0 ? -1 : 1;
	}
	return (a->n > b->n) - (a->n < b->n);
}

uint64_t ops_labels_fingerprint(const struct ops_labels *ls)
{
	static const char separator = (char)0xff;
	uint64_t h = OPS_FNV1A64_INIT;
	for (uint32_t i = 0; i < ls->n; i++) {
		h = ops_fnv1a64(h, ls->items[i].name, ls->items[i].name_len);
		h = ops_fnv1a64(h, &separator, 1);
		h = ops_fnv1a64(h, ls->items[i].value, ls->items[i].value_len);
		h = ops_fnv1a64(h, &separator, 1);
	}
	return h;
}

/* ---- text forms ---- */

void ops_label_print_name(const char *name, size_t len, struct ops_strbuf *out)
{
	if (ops_label_name_classic(name, len))
		ops_strbuf_add(out, name, len);
	else
		ops_strbuf_add_quoted(out, name, len);
}

void ops_label_print(const struct ops_label *l, struct ops_strbuf *out)
{
	ops_label_print_name(l->name, l->name_len, out);
	ops_strbuf_addc(out, '=');
	ops_strbuf_add_quoted(out, l->value, l->value_len);
}

void ops_labels_print(const struct ops_labels *ls, struct ops_strbuf *out)
{
	const char *metric = ops_labels_get(ls, OPS_LABEL_NAME);
	bool classic = metric != NULL && ops_metric_name_classic(metric, strlen(metric));
	if (classic) {
		ops_strbuf_adds(out, metric);
		if (ls->n == 1)
			return;
	}
	ops_strbuf_addc(out, '{');
	const char *comma = "";
	if (metric != NULL && !classic) {
		ops_strbuf_add_quoted(out, metric, strlen(metric));
		comma = ",";
	}
	for (uint32_t i = 0; i < ls->n; i++) {
		if (ls->items[i].value == metric)
			continue;
		ops_strbuf_adds(out, comma);
		ops_label_print(&ls->items[i], out);
		comma = ",";
	}
	ops_strbuf_addc(out, '}');
}

void ops_labels_json(const struct ops_labels *ls, struct ops_strbuf *out)
{
	ops_strbuf_addc(out, '{');
	for (uint32_t i = 0; i < ls->n; i++) {
		if (i > 0)
			ops_strbuf_addc(out, ',');
		ops_strbuf_add_json(out, ls->items[i].name, ls->items[i].name_len);
		ops_strbuf_addc(out, ':');
		ops_strbuf_add_json(out, ls->items[i].value, ls->items[i].value_len);
	}
	ops_strbuf_addc(out, '}');
}

/* ---- builder ---- */

void ops_labels_builder_init(struct ops_labels_builder *b)
{
	*b = (struct ops_labels_builder){0};
}

void ops_labels_builder_from(struct ops_labels_builder *b, const struct ops_labels *base)
{
	ops_labels_builder_init(b);
	for (uint32_t i = 0; i < base->n; i++) {
		OPS_GROW(b->items, b->n, b->cap);
		b->items[b->n++] = (struct ops_builder_item){
			.name = ops_xstrdup(base->items[i].name),
			.value = ops_xstrdup(base->items[i].value),
		};
	}
}

void ops_labels_builder_done(struct ops_labels_builder *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->items[i].name);
		free(b->items[i].value);
	}
	free(b->items);
	ops_labels_builder_init(b);
}

/* Position of name, or where it belongs. */
static bool builder_find(const struct ops_labels_builder *b, const char *name, size_t *ret_at)
{
	size_t low = 0, high = b->n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(b->items[mid].name, name);
		if (c == 0) {
			*ret_at = mid;
			return true;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_at = low;
	return false;
}

/* Takes both. */
static void builder_put(struct ops_labels_builder *b, char *name, char *value)
{
	size_t at;
	if (builder_find(b, name, &at)) {
		free(name);
		free(b->items[at].value);
		b->items[at].value = value;
		return;
	}
	OPS_GROW(b->items, b->n, b->cap);
	memmove(&b->items[at + 1], &b->items[at], (b->n - at) * sizeof(b->items[0]));
	b->items[at] = (struct ops_builder_item){.name = name, .value = value};
	b->n++;
}

void ops_labels_builder_set(struct ops_labels_builder *b, const char *name, const char *value)
{
	if (value == NULL || value[0] == '\0')
		ops_labels_builder_del(b, name);
	else
		builder_put(b, ops_xstrdup(name), ops_xstrdup(value));
}

void ops_labels_builder_setn(struct ops_labels_builder *b, const char *name, size_t name_len,
	const char *value, size_t value_len)
{
	OPS_CLEANUP(ops_freep) char *owned_name = ops_xstrndup(name, name_len);
	if (value_len == 0 || value[0] == '\0') {
		ops_labels_builder_del(b, owned_name);
		return;
	}
	builder_put(b, owned_name, ops_xstrndup(value, value_len));
	owned_name = NULL;
}

void ops_labels_builder_del(struct ops_labels_builder *b, const char *name)
{
	size_t at;
	if (!builder_find(b, name, &at))
		return;
	free(b->items[at].name);
	free(b->items[at].value);
	b->n--;
	memmove(&b->items[at], &b->items[at + 1], (b->n - at) * sizeof(b->items[0]));
}

const char *ops_labels_builder_get(const struct ops_labels_builder *b, const char *name)
{
	size_t at;
	return builder_find(b, name, &at) ? b->items[at].value : NULL;
}

struct ops_labels *ops_labels_builder_build(struct ops_labels_builder *b)
{
	struct ops_label few[32];
	OPS_CLEANUP(ops_freep) struct ops_label *many = NULL;
	struct ops_label *items = few;
	if (b->n > OPS_LENGTH(few)) {
		many = ops_xcalloc(b->n, sizeof(*many));
		items = many;
	}
	for (size_t i = 0; i < b->n; i++) {
		size_t name_len = strlen(b->items[i].name), value_len = strlen(b->items[i].value);
		ops_assert(name_len < UINT32_MAX && value_len < UINT32_MAX);
		items[i] = (struct ops_label){
			.name = b->items[i].name,
			.value = b->items[i].value,
			.name_len = (uint32_t)name_len,
			.value_len = (uint32_t)value_len,
		};
	}
	return ops_labels_from_sorted(items, b->n);
}

struct ops_labels *ops_labels_of(const char *name, ...)
{
	struct ops_labels_builder b;
	ops_labels_builder_init(&b);
	va_list ap;
	va_start(ap, name);
	for (const char *n = name; n != NULL; n = va_arg(ap, const char *)) {
		const char *value = va_arg(ap, const char *);
		ops_labels_builder_set(&b, n, value);
	}
	va_end(ap);
	struct ops_labels *ls = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	return ls;
}

/* ---- names ---- */

static bool name_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool name_classic(const char *s, size_t len, bool colon)
{
	for (size_t i = 0; i < len; i++) {
		if (name_start(s[i]) || (colon && s[i] == ':'))
			continue;
		if (i == 0 || s[i] < '0' || s[i] > '9')
			return false;
	}
	return len > 0;
}

bool ops_metric_name_classic(const char *s, size_t len)
{
	return name_classic(s, len, true);
}

bool ops_label_name_classic(const char *s, size_t len)
{
	return name_classic(s, len, false);
}

bool ops_label_name_valid(const char *s, size_t len)
{
	return len > 0 && memchr(s, '\0', len) == NULL && ops_utf8_valid(s, len);
}
