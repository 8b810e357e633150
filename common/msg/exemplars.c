/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exemplar names its series by all its labels: few of them change between two scrapes, and a
 * reader needs no layout to understand one. What does not fit is left out; samples never depend on
 * it.
 */
#include "common/msg/exemplars.h"

#include <errno.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

enum {
	HEADER_BYTES = 8,
	RECORD_BYTES = 16,
	VERSION = 1,
	MAX_LABELS = 256,
	MAX_TEXT = 0xffff
};

static const char magic[4] = {'O', 'P', 'S', 'E'};

void ops_exemplars_begin(struct ops_strbuf *out)
{
	char header[HEADER_BYTES] = {0};
	memcpy(header, magic, sizeof(magic));
	header[4] = VERSION;
	ops_strbuf_reset(out);
	ops_strbuf_add(out, header, sizeof(header));
}

static bool fits(const struct ops_labels *ls)
{
	bool ok = ls->n <= MAX_LABELS;
	for (uint32_t i = 0; ok && i < ls->n; i++)
		ok = ls->items[i].name_len <= MAX_TEXT && ls->items[i].value_len <= MAX_TEXT;
	return ok;
}

static void put_text(struct ops_strbuf *out, const char *s, size_t len)
{
	char size[2];
	ops_put_u16(size, (uint16_t)len);
	ops_strbuf_add(out, size, sizeof(size));
	ops_strbuf_add(out, s, len);
}

static void put_labels(struct ops_strbuf *out, const struct ops_labels *ls)
{
	char n[2];
	ops_put_u16(n, (uint16_t)ls->n);
	ops_strbuf_add(out, n, sizeof(n));
	for (uint32_t i = 0; i < ls->n; i++) {
		put_text(out, ls->items[i].name, ls->items[i].name_len);
		put_text(out, ls->items[i].value, ls->items[i].value_len);
	}
}

int ops_exemplars_add(struct ops_strbuf *out, const struct ops_exemplar *e)
{
	uint16_t n = ops_get_u16(out->data + 6);
	char record[RECORD_BYTES];
	uint64_t bits;
	if (n >= OPS_EXEMPLARS_MAX || !fits(e->series) || !fits(e->labels))
		return -E2BIG;
	memcpy(&bits, &e->value, sizeof(bits));
	ops_put_u64(record, (uint64_t)e->time_ms);
	ops_put_u64(record + 8, bits);
	ops_strbuf_add(out, record, sizeof(record));
	put_labels(out, e->series);
	put_labels(out, e->labels);
	ops_put_u16(out->data + 6, (uint16_t)(n + 1));
	return 0;
}

/* ---- decoding ---- */

struct reader {
	const char *data;
	size_t len, at;
	struct ops_error *err;
};

static int refuse(const struct reader *r, const char *what)
{
	return ops_error_set(r->err, -EINVAL, "malformed exemplars: %s at byte %zu", what, r->at);
}

static int get_u16(struct reader *r, uint16_t *ret)
{
	if (r->len - r->at < 2)
		return refuse(r, "cut off");
	*ret = ops_get_u16(r->data + r->at);
	r->at += 2;
	return 0;
}

static int get_text(struct reader *r, const char **ret, uint32_t *ret_len)
{
	uint16_t n = 0;
	int e = get_u16(r, &n);
	if (e != 0)
		return e;
	const char *s = r->data + r->at;
	if (n == 0 || r->len - r->at < n)
		return refuse(r, n == 0 ? "empty text" : "cut off");
	if (!ops_utf8_valid(s, n) || memchr(s, '\0', n) != NULL)
		return refuse(r, "text that is not UTF-8");
	*ret = s;
	*ret_len = n;
	r->at += n;
	return 0;
}

static bool sorted(const struct ops_label *a, const struct ops_label *b)
{
	int c = memcmp(a->name, b->name, OPS_MIN(a->name_len, b->name_len));
	return c < 0 || (c == 0 && a->name_len < b->name_len);
}

static int get_labels(struct reader *r, struct ops_labels **ret)
{
	struct ops_label items[MAX_LABELS];
	uint16_t n = 0;
	int e = get_u16(r, &n);
	if (e == 0 && n > MAX_LABELS)
		return refuse(r, "too many labels");
	for (uint16_t i = 0; e == 0 && i < n; i++) {
		e = get_text(r, &items[i].name, &items[i].name_len);
		e = e != 0 ? e : get_text(r, &items[i].value, &items[i].value_len);
		if (e == 0 && i > 0 && !sorted(&items[i - 1], &items[i]))
			return refuse(r, "labels out of order");
	}
	if (e == 0)
		*ret = ops_labels_from_sorted(items, n);
	return e;
}

static int get_one(struct reader *r, void (*fn)(void *arg, const struct ops_exemplar *e), void *arg)
{
	struct ops_exemplar x = {.series = NULL, .labels = NULL};
	if (r->len - r->at < RECORD_BYTES)
		return refuse(r, "cut off");
	uint64_t bits = ops_get_u64(r->data + r->at + 8);
	x.time_ms = (int64_t)ops_get_u64(r->data + r->at);
	memcpy(&x.value, &bits, sizeof(bits));
	r->at += RECORD_BYTES;
	int e = get_labels(r, &x.series);
	e = e != 0 ? e : get_labels(r, &x.labels);
	if (e == 0)
		fn(arg, &x);
	ops_labels_unref(x.series);
	ops_labels_unref(x.labels);
	return e;
}

int ops_exemplars_decode(const void *data, size_t len,
	void (*fn)(void *arg, const struct ops_exemplar *e), void *arg, struct ops_error *err)
{
	struct reader r = {.data = data, .len = len, .err = err};
	if (len < HEADER_BYTES || memcmp(data, magic, sizeof(magic)) != 0 || r.data[4] != VERSION ||
		r.data[5] != 0)
		return refuse(&r, "no header");
	uint16_t n = ops_get_u16(r.data + 6);
	int e = n <= OPS_EXEMPLARS_MAX ? 0 : refuse(&r, "too many");
	r.at = HEADER_BYTES;
	for (uint16_t i = 0; e == 0 && i < n; i++)
		e = get_one(&r, fn, arg);
	return e == 0 && r.at != len ? refuse(&r, "bytes left over") : e;
}
