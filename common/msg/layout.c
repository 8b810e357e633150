/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layout on the wire: a table of strings, each once, then families and series that refer to it by
 * number. Numbers are LEB128 (seven bits a byte, low first), because most are small: strings are
 * numbered in order of first use, so the names of labels and the target's own values take one byte.
 *
 * What a short message can make the reader allocate is bounded: every count is compared with the
 * bytes that are left before memory is taken for it, and all labels together may need 512 times the
 * message and a MiB, at most MAX_TEXT (one long string named by a million series would otherwise
 * cost its sender nothing). Honest layouts need 10 to 100 times.
 *
 * The id is the hash of the body. A reader computes it again: an id is a promise about content.
 * The bytes are specified in docs/wire-format-samples.md.
 */
#include "common/msg/samples.h"

#include <errno.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	HEADER_BYTES = 16,
	VERSION = 1,
	MAX_LABELS = 256,
	MAX_STRING = 64 * 1024,
	MAX_FAMILIES = 100000
};
#define MAX_TEXT ((size_t)512 << 20)
#define ID_SEED 0x6c61796f75743031ULL

static const char magic[4] = {'O', 'P', 'S', 'L'};
static const char *const type_texts[] = {"unknown", "counter", "gauge", "histogram", "summary",
	"info", "stateset", "gaugehistogram"};

const char *ops_series_type_text(enum ops_series_type t)
{
	return type_texts[t];
}

/* ---- encoding ---- */

/*
 * Texts by number, borrowed while the layout is encoded. Most labels are those of the series
 * before: the table is asked for the others only.
 */
struct writer {
	struct text {
		const char *data; /* NULL: free */
		uint32_t len, hash, number;
	} * texts; /* open addressing, at most half full */
	size_t mask, n;
	uint64_t seed; /* nobody can choose labels that meet in one place */
	struct ops_strbuf strings, rest;
	const struct ops_labels *before;
	uint32_t numbers[MAX_LABELS][2]; /* of before: names and values */
};

enum {
	NUMBER_BYTES = 10 /* at most */
};

static char *write_number(char *at, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*at++ = (char)(0x80 | (v & 0x7f));
	*at++ = (char)v;
	return at;
}

static void put_number(struct ops_strbuf *out, uint64_t v)
{
	char bytes[NUMBER_BYTES];
	ops_strbuf_add(out, bytes, (size_t)(write_number(bytes, v) - bytes));
}

static void grow_texts(struct writer *w)
{
	struct text *old = w->texts;
	size_t n = old != NULL ? w->mask + 1 : 0, size = OPS_MAX(n * 2, (size_t)256);
	w->texts = ops_xcalloc(size, sizeof(*w->texts));
	w->mask = size - 1;
	for (size_t i = 0; i < n; i++) {
		if (old[i].data == NULL)
			continue;
		size_t at = old[i].hash & w->mask;
		while (w->texts[at].data != NULL)
			at = (at + 1) & w->mask;
		w->texts[at] = old[i];
	}
	free(old);
}

static uint32_t number_of(struct writer *w, const char *s, size_t len)
{
	if (w->n * 2 >= w->mask)
		grow_texts(w);
	uint32_t hash = (uint32_t)ops_hash64(s, len, w->seed);
	struct text *t = &w->texts[hash & w->mask];
	while (t->data != NULL) {
		if (t->hash == hash && t->len == len && memcmp(t->data, s, len) == 0)
			return t->number;
		t = t == &w->texts[w->mask] ? w->texts : t + 1;
	}
	*t = (struct text){s, (uint32_t)len, hash, (uint32_t)w->n++};
	put_number(&w->strings, len);
	ops_strbuf_add(&w->strings, s, len);
	return t->number;
}

static void put_string(struct writer *w, const char *s)
{
	put_number(&w->rest, number_of(w, s, strlen(s)));
}

static void put_families(struct writer *w, const struct ops_layout *l)
{
	put_number(&w->rest, l->nfamilies);
	for (size_t i = 0; i < l->nfamilies; i++) {
		const struct ops_layout_family *f = &l->families[i];
		put_string(w, f->name);
		put_string(w, f->help);
		put_string(w, f->unit);
		put_number(&w->rest, f->type);
	}
}

static bool same_text(const char *a, uint32_t alen, const char *b, uint32_t blen)
{
	return alen == blen && memcmp(a, b, alen) == 0;
}

static void put_series(struct writer *w, const struct ops_labels *ls, uint32_t family)
{
	ops_strbuf_reserve(&w->rest, (2 + 2 * (size_t)ls->n) * NUMBER_BYTES);
	char *at = w->rest.data + w->rest.len;
	at = write_number(at, family == UINT32_MAX ? 0 : (uint64_t)family + 1);
	at = write_number(at, ls->n);
	uint32_t nbefore = w->before != NULL ? w->before->n : 0;
	for (uint32_t i = 0; i < ls->n; i++) {
		const struct ops_label *l = &ls->items[i];
		const struct ops_label *b = i < nbefore ? &w->before->items[i] : NULL;
		if (b == NULL || !same_text(l->name, l->name_len, b->name, b->name_len))
			w->numbers[i][0] = number_of(w, l->name, l->name_len);
		if (b == NULL || !same_text(l->value, l->value_len, b->value, b->value_len))
			w->numbers[i][1] = number_of(w, l->value, l->value_len);
		at = write_number(at, w->numbers[i][0]);
		at = write_number(at, w->numbers[i][1]);
	}
	w->rest.len = (size_t)(at - w->rest.data);
	w->before = ls;
}

/* What a target exposes is input from outside: too much of it is an answer, not a broken invariant.
 */
static bool fits(const struct ops_layout *l)
{
	bool ok = l->n <= OPS_LAYOUT_MAX_SERIES && l->nfamilies <= MAX_FAMILIES &&
		  strlen(l->job) <= MAX_STRING && strlen(l->instance) <= MAX_STRING;
	for (size_t i = 0; ok && i < l->nfamilies; i++) {
		const struct ops_layout_family *f = &l->families[i];
		ok = strlen(f->name) <= MAX_STRING && strlen(f->help) <= MAX_STRING &&
		     strlen(f->unit) <= MAX_STRING;
	}
	for (size_t i = 0; ok && i < l->n; i++) {
		const struct ops_labels *ls = l->series[i];
		ok = ls->n <= MAX_LABELS;
		for (uint32_t j = 0; ok && j < ls->n; j++)
			ok = ls->items[j].name_len <= MAX_STRING &&
			     ls->items[j].value_len <= MAX_STRING;
	}
	return ok;
}

int ops_layout_encode(struct ops_layout *l, struct ops_strbuf *out)
{
	l->id = 0;
	if (!fits(l))
		return -E2BIG;
	struct writer w = {.seed = ops_random_u64()};
	put_string(&w, l->job);
	put_string(&w, l->instance);
	put_families(&w, l);
	put_number(&w.rest, l->n);
	for (size_t i = 0; i < l->n; i++)
		put_series(&w, l->series[i], l->family[i]);
	free(w.texts);

	size_t start = out->len;
	char header[HEADER_BYTES] = {0};
	ops_strbuf_add(out, header, sizeof(header));
	put_number(out, w.n);
	ops_strbuf_add(out, w.strings.data, w.strings.len);
	ops_strbuf_add(out, w.rest.data, w.rest.len);
	ops_strbuf_done(&w.strings);
	ops_strbuf_done(&w.rest);
	char *at = out->data + start;
	l->id = ops_hash64(at + HEADER_BYTES, out->len - start - HEADER_BYTES, ID_SEED);
	memcpy(at, magic, sizeof(magic));
	at[4] = VERSION;
	ops_put_u64(at + 8, l->id);
	return 0;
}

/* ---- decoding ---- */

struct reader {
	const char *data;
	size_t len, at;
	struct ops_error *err;
	struct ops_label *strings; /* value and value_len: one entry of the table */
	size_t nstrings;
	size_t text_bytes, text_max;
	struct ops_layout *out;
};

static int refuse(const struct reader *r, const char *what)
{
	return ops_error_set(r->err, -EINVAL, "malformed layout: %s at byte %zu", what, r->at);
}

static int get_number(struct reader *r, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 35; shift += 7) {
		if (r->at >= r->len)
			return refuse(r, "cut off");
		unsigned char c = (unsigned char)r->data[r->at++];
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c >= 0x80)
			continue;
		if (v > max)
			return refuse(r, "number too large");
		*ret = v;
		return 0;
	}
	return refuse(r, "number too long");
}

/* How many of something follow, each of at least min_bytes. */
static int get_count(struct reader *r, uint64_t max, size_t min_bytes, size_t *ret)
{
	uint64_t n = 0;
	int e = get_number(r, max, &n);
	if (e != 0)
		return e;
	if (n > (r->len - r->at) / min_bytes)
		return refuse(r, "more items announced than there are bytes");
	*ret = (size_t)n;
	return 0;
}

static int get_strings(struct reader *r)
{
	int e = get_count(r, UINT32_MAX, 1, &r->nstrings);
	if (e != 0)
		return e;
	r->strings = ops_xcalloc(r->nstrings != 0 ? r->nstrings : 1, sizeof(*r->strings));
	for (size_t i = 0; i < r->nstrings; i++) {
		uint64_t n = 0;
		e = get_number(r, MAX_STRING, &n);
		if (e != 0)
			return e;
		if (n > r->len - r->at)
			return refuse(r, "string cut off");
		const char *s = r->data + r->at;
		if (!ops_utf8_valid(s, (size_t)n) || memchr(s, '\0', (size_t)n) != NULL)
			return refuse(r, "string that is not UTF-8");
		r->strings[i].value = s;
		r->strings[i].value_len = (uint32_t)n;
		r->at += (size_t)n;
	}
	return 0;
}

static int get_string(struct reader *r, const char **ret, uint32_t *ret_len)
{
	uint64_t number = 0;
	int e = get_number(r, UINT32_MAX, &number);
	if (e != 0)
		return e;
	if (number >= r->nstrings)
		return refuse(r, "string number out of range");
	*ret = r->strings[number].value;
	*ret_len = r->strings[number].value_len;
	return 0;
}

static int get_copy(struct reader *r, const char **ret)
{
	const char *s = NULL;
	uint32_t len = 0;
	int e = get_string(r, &s, &len);
	if (e != 0)
		return e;
	if (len > r->text_max - r->text_bytes)
		return refuse(r, "too much text");
	r->text_bytes += len;
	*ret = ops_arena_strndup(r->out->arena, s, len);
	return 0;
}

static int get_families(struct reader *r)
{
	struct ops_layout *l = r->out;
	int e = get_count(r, MAX_FAMILIES, 4, &l->nfamilies);
	if (e != 0)
		return e;
	l->families = ops_arena_array(l->arena, struct ops_layout_family, l->nfamilies);
	for (size_t i = 0; e == 0 && i < l->nfamilies; i++) {
		struct ops_layout_family *f = &l->families[i];
		uint64_t type = 0;
		e = get_copy(r, &f->name);
		e = e != 0 ? e : get_copy(r, &f->help);
		e = e != 0 ? e : get_copy(r, &f->unit);
		e = e != 0 ? e : get_number(r, OPS_T_GAUGEHISTOGRAM, &type);
		f->type = (enum ops_series_type)type;
	}
	return e;
}

static bool sorted(const struct ops_label *a, const struct ops_label *b)
{
	int c = memcmp(a->name, b->name, OPS_MIN(a->name_len, b->name_len));
	return c < 0 || (c == 0 && a->name_len < b->name_len);
}

static int get_label(struct reader *r, struct ops_label *label, const struct ops_label *before)
{
	int e = get_string(r, &label->name, &label->name_len);
	e = e != 0 ? e : get_string(r, &label->value, &label->value_len);
	if (e != 0)
		return e;
	if (label->name_len == 0 || label->value_len == 0)
		return refuse(r, "empty label");
	if (before != NULL && !sorted(before, label))
		return refuse(r, "labels out of order");
	size_t bytes = sizeof(*label) + label->name_len + label->value_len;
	if (bytes > r->text_max - r->text_bytes)
		return refuse(r, "too much text");
	r->text_bytes += bytes;
	return 0;
}

static int get_one_series(struct reader *r, size_t i)
{
	struct ops_layout *l = r->out;
	struct ops_label labels[MAX_LABELS];
	uint64_t family = 0;
	size_t n = 0;
	int e = get_number(r, l->nfamilies, &family);
	e = e != 0 ? e : get_count(r, MAX_LABELS, 2, &n);
	for (size_t j = 0; e == 0 && j < n; j++)
		e = get_label(r, &labels[j], j > 0 ? &labels[j - 1] : NULL);
	if (e != 0)
		return e;
	l->family[i] = family == 0 ? UINT32_MAX : (uint32_t)family - 1;
	l->series[i] = ops_labels_from_sorted(labels, n);
	return 0;
}

static int get_series(struct reader *r)
{
	struct ops_layout *l = r->out;
	int e = get_count(r, OPS_LAYOUT_MAX_SERIES, 2, &l->n);
	if (e != 0)
		return e;
	l->series = ops_arena_array(l->arena, struct ops_labels *, l->n);
	l->family = ops_arena_array(l->arena, uint32_t, l->n);
	for (size_t i = 0; e == 0 && i < l->n; i++)
		e = get_one_series(r, i);
	return e;
}

static int get_layout(struct reader *r)
{
	struct ops_layout *l = r->out;
	if (r->len < HEADER_BYTES || memcmp(r->data, magic, sizeof(magic)) != 0)
		return refuse(r, "no header");
	if (r->data[4] != VERSION)
		return refuse(r, "unknown version");
	if (r->data[5] != 0 || r->data[6] != 0 || r->data[7] != 0)
		return refuse(r, "reserved bytes are not zero");
	r->at = HEADER_BYTES;
	l->id = ops_get_u64(r->data + 8);
	if (l->id != ops_hash64(r->data + HEADER_BYTES, r->len - HEADER_BYTES, ID_SEED))
		return refuse(r, "id is not that of the content");
	int e = get_strings(r);
	e = e != 0 ? e : get_copy(r, &l->job);
	e = e != 0 ? e : get_copy(r, &l->instance);
	e = e != 0 ? e : get_families(r);
	e = e != 0 ? e : get_series(r);
	if (e == 0 && r->at != r->len)
		e = refuse(r, "bytes left over");
	return e;
}

int ops_layout_decode(const void *data, size_t len, struct ops_layout **ret, struct ops_error *err)
{
	struct ops_layout *l = ops_xcalloc(1, sizeof(*l));
	l->arena = ops_xcalloc(1, sizeof(*l->arena));
	ops_arena_init(l->arena);
	struct reader r = {.data = data, .len = len, .err = err, .out = l};
	r.text_max = len < MAX_TEXT / 512 ? len * 512 + ((size_t)1 << 20) : MAX_TEXT;
	int e = get_layout(&r);
	free(r.strings);
	if (e == 0)
		*ret = l;
	else
		ops_layout_free(l);
	return e;
}

void ops_layout_free(struct ops_layout *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; l->series != NULL && i < l->n; i++)
		ops_labels_unref(l->series[i]);
	ops_arena_done(l->arena);
	free(l->arena);
	free(l);
}
