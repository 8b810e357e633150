/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a scraper needs of RFC 9112, and no more lenient than it must be: a bare line feed ends a
 * line (small exporters write such), everything else that could be read in two ways - lengths that
 * differ, unknown transfer codings, a chunk size that is no number - ends the connection.
 * Transfer-Encoding beside Content-Length wins, as the standard says, and the connection is not
 * used again.
 */
#include "services/collector/http_response.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

struct line { /* without its end */
	const char *data;
	size_t len;
};

static int bad(const char **ret_what, const char *what)
{
	*ret_what = what;
	return -EBADMSG;
}

/* -EAGAIN when there is no end of line. */
static int next_line(const char *data, size_t len, size_t *at, struct line *ret)
{
	const char *from = data + *at, *nl = memchr(from, '\n', len - *at);
	if (nl == NULL) {
		return -EAGAIN;
	}
	*at = (size_t)(nl - data) + 1;
	ret->data = from;
	ret->len = (size_t)(nl - from);
	if (ret->len > 0 && nl[-1] == '\r') {
		ret->len--;
	}
	return 0;
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

/* HTTP/1.x NNN reason */
static int status_line(const struct line *l, struct col_head *ret, const char **ret_what)
{
	const char *s = l->data;
	if (l->len < 12 || memcmp(s, "HTTP/1.", 7) != 0 || !digit(s[7]) || s[8] != ' ' ||
		!digit(s[9]) || !digit(s[10]) || !digit(s[11]) || (l->len > 12 && s[12] != ' ')) {
		return bad(ret_what, "the answer is not HTTP/1");
	}
	ret->code = (s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0');
	ret->keep_alive = s[7] != '0';
	return ret->code >= 100 ? 0 : bad(ret_what, "the answer has no valid status");
}

static struct line trim(struct line v)
{
	while (v.len > 0 && (v.data[0] == ' ' || v.data[0] == '\t')) {
		v.data++;
		v.len--;
	}
	while (v.len > 0 && (v.data[v.len - 1] == ' ' || v.data[v.len - 1] == '\t')) {
		v.len--;
	}
	return v;
}

static bool is(struct line v, const char *text)
{
	return v.len == strlen(text) && strncasecmp(v.data, text, v.len) == 0;
}

/* Whether a comma-separated list has the word. */
static bool lists(struct line v, const char *word)
{
	while (v.len > 0) {
		const char *comma = memchr(v.data, ',', v.len);
		size_t n = comma != NULL ? (size_t)(comma - v.data) : v.len;
		if (is(trim((struct line){v.data, n}), word)) {
			return true;
		}
		n += comma != NULL ? 1 : 0;
		v.data += n;
		v.len -= n;
	}
	return false;
}

struct head_reader {
	struct col_head *head;
	bool has_length, chunked;
	const char *what;
};

static int take_length(struct head_reader *r, struct line v)
{
	uint64_t n = 0;
	if (v.len == 0 || v.len > 18) {
		return bad(&r->what, "the answer's Content-Length is not a number");
	}
	for (size_t i = 0; i < v.len; i++) {
		if (!digit(v.data[i])) {
			return bad(&r->what, "the answer's Content-Length is not a number");
		}
		n = n * 10 + (uint64_t)(v.data[i] - '0');
	}
	if (r->has_length && n != r->head->content_length) {
		return bad(&r->what, "the answer has two lengths");
	}
	r->has_length = true;
	r->head->content_length = n;
	return 0;
}

static int take_coding(struct head_reader *r, struct line v)
{
	if (is(v, "gzip") || is(v, "x-gzip")) {
		r->head->gzip = true;
		return 0;
	}
	return v.len == 0 || is(v, "identity")
		       ? 0
		       : bad(&r->what, "the answer's Content-Encoding is not gzip");
}

static int take_field(struct head_reader *r, struct line name, struct line v)
{
	struct col_head *h = r->head;
	if (is(name, "content-length")) {
		return take_length(r, v);
	}
	if (is(name, "transfer-encoding")) {
		if (r->chunked || !is(v, "chunked")) {
			return bad(&r->what, "the answer's Transfer-Encoding is not chunked");
		}
		r->chunked = true;
		return 0;
	}
	if (is(name, "content-encoding")) {
		return take_coding(r, v);
	}
	if (is(name, "content-type")) {
		size_t n = OPS_MIN(v.len, sizeof(h->content_type) - 1);
		memcpy(h->content_type, v.data, n);
		h->content_type[n] = '\0';
		return 0;
	}
	if (is(name, "connection")) {
		h->keep_alive = (h->keep_alive || lists(v, "keep-alive")) && !lists(v, "close");
	}
	return 0;
}

static int header_line(struct head_reader *r, struct line l)
{
	const char *colon = memchr(l.data, ':', l.len);
	if (memchr(l.data, '\0', l.len) != NULL) {
		return bad(&r->what, "the answer's head has a NUL byte");
	}
	if (colon == NULL || colon == l.data || l.data[0] == ' ' || l.data[0] == '\t') {
		return bad(&r->what, "the answer's head has a line that is no field");
	}
	size_t n = (size_t)(colon - l.data);
	return take_field(
		r, (struct line){l.data, n}, trim((struct line){colon + 1, l.len - n - 1}));
}

static void decide_framing(const struct head_reader *r)
{
	struct col_head *h = r->head;
	if (h->code < 200 || h->code == 204 || h->code == 304) {
		h->framing = COL_FRAMING_NONE;
	} else if (r->chunked) {
		h->framing = COL_FRAMING_CHUNKED;
		h->keep_alive = h->keep_alive && !r->has_length;
	} else if (r->has_length) {
		h->framing = COL_FRAMING_LENGTH;
	} else {
		h->framing = COL_FRAMING_CLOSE;
		h->keep_alive = false;
	}
}

/* One head, maybe an interim one, from *at on. */
static int parse_one(const char *data, size_t len, size_t *at, struct head_reader *r)
{
	struct line l;
	int e = next_line(data, len, at, &l);
	if (e == 0) {
		e = status_line(&l, r->head, &r->what);
	}
	while (e == 0) {
		e = next_line(data, len, at, &l);
		if (e == 0 && l.len == 0) {
			break;
		}
		if (e == 0) {
			e = header_line(r, l);
		}
	}
	return e;
}

int col_head_parse(const char *data, size_t len, struct col_head *ret, const char **ret_what)
{
	size_t at = 0, seen = OPS_MIN(len, (size_t)COL_HEAD_MAX_BYTES);
	for (;;) {
		struct col_head head = {.code = 0};
		struct head_reader r = {.head = &head};
		int e = parse_one(data, seen, &at, &r);
		if (e == -EAGAIN && len >= COL_HEAD_MAX_BYTES) {
			return bad(ret_what, "the answer's head is too long");
		}
		if (e != 0) {
			*ret_what = r.what;
			return e;
		}
		if (head.code == 101) {
			return bad(ret_what, "the target switches protocols");
		}
		if (head.code >= 200) {
			decide_framing(&r);
			head.len = at;
			*ret = head;
			return 0;
		}
	}
}

/* ---- chunks ---- */

static int hex(char c)
{
	if (digit(c)) {
		return c - '0';
	}
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* SIZE[;extension] */
static int chunk_size(struct line l, uint64_t *ret, const char **ret_what)
{
	uint64_t n = 0;
	size_t i = 0;
	for (; i < l.len && hex(l.data[i]) >= 0; i++) {
		n = n << 4 | (uint64_t)hex(l.data[i]);
	}
	bool ended = i == l.len || l.data[i] == ';' || l.data[i] == ' ' || l.data[i] == '\t';
	if (i == 0 || i > 15 || !ended) {
		return bad(ret_what, "the answer has a chunk without a size");
	}
	*ret = n;
	return 0;
}

/* Moves what there is of the chunk. */
static void take_chunk(struct col_chunks *c, char *data, size_t len)
{
	size_t n = (size_t)OPS_MIN(c->left, (uint64_t)(len - c->in));
	if (c->in != c->out) {
		memmove(data + c->out, data + c->in, n);
	}
	c->in += n;
	c->out += n;
	c->left -= n;
}

static int chunk_line(struct col_chunks *c, const char *data, size_t len, const char **ret_what)
{
	struct line l;
	size_t at = c->in;
	int e = next_line(data, len, &at, &l);
	if (e != 0) {
		bool long_line = len - c->in > COL_HEAD_MAX_BYTES;
		return long_line ? bad(ret_what, "the answer has a chunk without a size") : e;
	}
	c->in = at;
	if (c->trailer) {
		return l.len == 0 ? 1 : 0;
	}
	e = chunk_size(l, &c->left, ret_what);
	c->inside = e == 0 && c->left > 0;
	c->trailer = e == 0 && c->left == 0;
	return e;
}

/* The line end behind a chunk. */
static int chunk_end(struct col_chunks *c, const char *data, size_t len, const char **ret_what)
{
	size_t there = len - c->in, n = there > 0 && data[c->in] == '\r' ? 2 : 1;
	if (there < n) {
		return -EAGAIN;
	}
	if (data[c->in + n - 1] != '\n') {
		return bad(ret_what, "the answer has a chunk that is longer than it says");
	}
	c->in += n;
	c->inside = false;
	return 0;
}

int col_chunks_decode(struct col_chunks *c, char *data, size_t len, const char **ret_what)
{
	for (;;) {
		int e;
		if (c->inside) {
			take_chunk(c, data, len);
			e = c->left > 0 ? -EAGAIN : chunk_end(c, data, len, ret_what);
		} else {
			e = chunk_line(c, data, len, ret_what);
		}
		if (e != 0) {
			return e > 0 ? 0 : e;
		}
	}
}
