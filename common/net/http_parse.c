/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request syntax by RFC 9110 and RFC 9112, without their tolerances.
 *
 * Request smuggling lives on what one parser forgives and the next does not. So a bare LF, a bare
 * CR, a NUL, white space before a colon, a folded line, two Content-Length lines (even equal ones),
 * Content-Length beside Transfer-Encoding, and any transfer coding but exactly one "chunked" are
 * errors, and the caller closes the connection after each: nothing behind a refused head is ever
 * read as a request. Everything works on byte ranges with lengths; C strings are made only after a
 * range was found free of NUL.
 *
 * The scan for the end of the head remembers where it stopped, so a head that drips in byte by byte
 * costs linear time.
 */
#include "common/net/http_parse.h"

#include <string.h>
#include <strings.h>

#include "common/base/number.h"

enum {
	METHOD_MAX = 16,
	CHUNK_LINE_MAX = 1024,	  /* extensions of one chunk */
	CHUNK_TRAILER_MAX = 8192, /* all trailers */
};

struct span {
	const char *at;
	size_t len;
};

static bool is_tchar(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool ops_http_is_token(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_tchar((unsigned char)s[i]))
			return false;
	}
	return len > 0;
}

int ops_http_head_scan(
	const char *data, size_t len, size_t *scan, size_t *ret_len, const char **ret_reason)
{
	*ret_len = 0;
	for (size_t i = *scan; i < len; i++) {
		bool after_cr = i > 0 && data[i - 1] == '\r';
		if (data[i] == '\0') {
			*ret_reason = "nul_byte";
			return 400;
		}
		if ((data[i] == '\n') != after_cr) {
			*ret_reason = "bare_cr_or_lf";
			return 400;
		}
		if (data[i] == '\n' && i >= 3 && data[i - 2] == '\n') {
			*ret_len = i + 1;
			return 0;
		}
		*scan = i + 1;
	}
	return 0;
}

const char *ops_http_head_get(const struct ops_http_head *h, const char *name)
{
	for (size_t i = 0; i < h->nfields; i++) {
		if (strcasecmp(h->fields[i].name, name) == 0)
			return h->fields[i].value;
	}
	return NULL;
}

/* Cuts the next CRLF line off; the caller knows that there is one. */
static struct span next_line(struct span *rest)
{
	const char *lf = memchr(rest->at, '\n', rest->len);
	size_t whole = lf != NULL ? (size_t)(lf - rest->at) + 1 : rest->len;
	struct span line = {rest->at, whole >= 2 ? whole - 2 : 0};

	rest->at += whole;
	rest->len -= whole;
	return line;
}

static int fail(int code, const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return code;
}

/* "http://authority/path": RFC 9112 3.2.2 wants servers to take it; the authority is the Host
 * field's business. */
static struct span strip_authority(struct span target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (size_t i = 0; i < OPS_LENGTH(schemes); i++) {
		size_t n = strlen(schemes[i]);
		if (target.len <= n || strncasecmp(target.at, schemes[i], n) != 0)
			continue;
		const char *slash = memchr(target.at + n, '/', target.len - n);
		if (slash == NULL)
			return (struct span){"/", 1};
		return (struct span){slash, target.len - (size_t)(slash - target.at)};
	}
	return target;
}

static int parse_target(struct ops_arena *a, struct span target, struct ops_http_head *ret)
{
	for (size_t i = 0; i < target.len; i++) {
		unsigned char c = (unsigned char)target.at[i];
		if (c <= ' ' || c >= 0x7f || c == '#')
			return 400;
	}
	target = strip_authority(target);
	bool star = target.len == 1 && target.at[0] == '*' && strcmp(ret->method, "OPTIONS") == 0;
	if (!star && (target.len == 0 || target.at[0] != '/'))
		return 400;
	const char *mark = memchr(target.at, '?', target.len);
	size_t path_len = mark != NULL ? (size_t)(mark - target.at) : target.len;
	ret->path = ops_arena_strndup(a, target.at, path_len);
	ret->query = mark != NULL ? ops_arena_strndup(a, mark + 1, target.len - path_len - 1) : "";
	return 0;
}

static int parse_version(struct span v, struct ops_http_head *ret, const char **ret_reason)
{
	if (v.len != 8 || memcmp(v.at, "HTTP/", 5) != 0 || v.at[6] != '.')
		return fail(400, "request_line", ret_reason);
	if (v.at[5] != '1' || v.at[7] < '0' || v.at[7] > '9')
		return fail(505, "version", ret_reason);
	ret->minor = v.at[7] == '0' ? 0 : 1;
	return 0;
}

static int parse_request_line(
	struct ops_arena *a, struct span line, struct ops_http_head *ret, const char **ret_reason)
{
	const char *first = memchr(line.at, ' ', line.len);
	const char *last = memrchr(line.at, ' ', line.len);

	if (first == NULL || first == last)
		return fail(400, "request_line", ret_reason);
	size_t method_len = (size_t)(first - line.at);
	if (method_len > METHOD_MAX || !ops_http_is_token(line.at, method_len))
		return fail(400, "request_line", ret_reason);
	ret->method = ops_arena_strndup(a, line.at, method_len);
	struct span target = {first + 1, (size_t)(last - first) - 1};
	struct span version = {last + 1, line.len - (size_t)(last - line.at) - 1};
	int rc = parse_version(version, ret, ret_reason);
	if (rc != 0)
		return rc;
	rc = parse_target(a, target, ret);
	return rc != 0 ? fail(rc, "request_target", ret_reason) : 0;
}

static struct span trim(struct span s)
{
	while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
		s.at++;
		s.len--;
	}
	while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
		s.len--;
	return s;
}

static int parse_field(
	struct ops_arena *a, struct span line, struct ops_http_field *ret, const char **ret_reason)
{
	const char *colon = memchr(line.at, ':', line.len);

	if (line.at[0] == ' ' || line.at[0] == '\t')
		return fail(400, "folded_header", ret_reason);
	if (colon == NULL || !ops_http_is_token(line.at, (size_t)(colon - line.at)))
		return fail(400, "header_name", ret_reason);
	size_t name_len = (size_t)(colon - line.at);
	struct span value = trim((struct span){colon + 1, line.len - name_len - 1});
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.at[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return fail(400, "header_value", ret_reason);
	}
	ret->name = ops_arena_strndup(a, line.at, name_len);
	ret->value = ops_arena_strndup(a, value.at, value.len);
	return 0;
}

static int parse_fields(
	struct ops_arena *a, struct span rest, struct ops_http_head *ret, const char **ret_reason)
{
	ret->fields = ops_arena_array(a, struct ops_http_field, OPS_HTTP_MAX_FIELDS);
	for (struct span line = next_line(&rest); line.len > 0; line = next_line(&rest)) {
		if (ret->nfields == OPS_HTTP_MAX_FIELDS)
			return fail(431, "too_many_headers", ret_reason);
		int rc = parse_field(a, line, &ret->fields[ret->nfields], ret_reason);
		if (rc != 0)
			return rc;
		ret->nfields++;
	}
	return 0;
}

/* How often a field occurs; *ret_value is the first. */
static size_t count_field(const struct ops_http_head *h, const char *name, const char **ret_value)
{
	size_t n = 0;

	for (size_t i = 0; i < h->nfields; i++) {
		if (strcasecmp(h->fields[i].name, name) == 0 && n++ == 0)
			*ret_value = h->fields[i].value;
	}
	return n;
}

static int check_framing(struct ops_http_head *h, const char **ret_reason)
{
	const char *length = NULL, *coding = NULL;
	size_t lengths = count_field(h, "Content-Length", &length);
	size_t codings = count_field(h, "Transfer-Encoding", &coding);

	if (lengths > 1)
		return fail(400, "several_content_lengths", ret_reason);
	if (codings > 0 && lengths > 0)
		return fail(400, "length_and_transfer_encoding", ret_reason);
	if (codings > 1 || (codings == 1 && h->minor == 0))
		return fail(400, "transfer_encoding", ret_reason);
	if (codings == 1 && strcasecmp(coding, "chunked") != 0)
		return fail(501, "transfer_encoding", ret_reason);
	h->chunked = codings == 1;
	if (lengths == 0)
		return 0;
	if (length[0] < '0' || length[0] > '9' ||
		ops_parse_u64(length, strlen(length), &h->content_length) != 0)
		return fail(400, "content_length", ret_reason);
	return 0;
}

/* True when the comma list has the word. */
static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);

	while (list != NULL && *list != '\0') {
		list += strspn(list, ", \t");
		size_t len = strcspn(list, ", \t");
		if (len == n && strncasecmp(list, word, n) == 0)
			return true;
		list += len;
	}
	return false;
}

static int check_connection(struct ops_http_head *h, const char **ret_reason)
{
	const char *host = NULL, *expect = NULL;
	size_t hosts = count_field(h, "Host", &host);

	if (hosts > 1 || (hosts == 0 && h->minor > 0))
		return fail(400, "host", ret_reason);
	h->keep_alive = h->minor > 0;
	for (size_t i = 0; i < h->nfields; i++) {
		if (strcasecmp(h->fields[i].name, "Connection") != 0)
			continue;
		if (list_has(h->fields[i].value, "close"))
			h->keep_alive = false;
		else if (h->minor == 0 && list_has(h->fields[i].value, "keep-alive"))
			h->keep_alive = true;
	}
	if (count_field(h, "Expect", &expect) == 0 || h->minor == 0)
		return 0;
	if (strcasecmp(expect, "100-continue") != 0)
		return fail(417, "expect", ret_reason);
	h->expect_continue = true;
	return 0;
}

int ops_http_head_parse(struct ops_arena *a, const char *data, size_t len,
	struct ops_http_head *ret, const char **ret_reason)
{
	struct span rest = {data, len};
	struct ops_http_head head = {.method = ""};

	int rc = parse_request_line(a, next_line(&rest), &head, ret_reason);
	if (rc == 0)
		rc = parse_fields(a, rest, &head, ret_reason);
	if (rc == 0)
		rc = check_framing(&head, ret_reason);
	if (rc == 0)
		rc = check_connection(&head, ret_reason);
	if (rc == 0)
		*ret = head;
	return rc;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of "size[;extension]CRLF". */
static int chunk_size_byte(struct ops_http_chunked *c, char byte)
{
	int digit = hex_value(byte);

	if (digit >= 0 && c->digits < 15) { /* 60 bits: no overflow */
		c->left = c->left << 4 | (unsigned)digit;
		c->digits++;
		return 0;
	}
	if (c->digits == 0 || digit >= 0)
		return 400;
	c->line_bytes = 0;
	if (byte == ';')
		c->state = OPS_CHUNK_EXT;
	else if (byte == '\r')
		c->state = OPS_CHUNK_SIZE_LF;
	else
		return 400;
	return 0;
}

/* A byte of an extension or a trailer line: bounded, no control characters. */
static int chunk_line_byte(
	struct ops_http_chunked *c, char byte, size_t max, enum ops_http_chunk_state at_cr)
{
	unsigned char u = (unsigned char)byte;

	if (byte == '\r') {
		c->state = at_cr;
		return 0;
	}
	if (++c->line_bytes > max || (u < ' ' && u != '\t') || u == 0x7f)
		return 400;
	c->in_line = true;
	return 0;
}

static int chunk_expect(
	struct ops_http_chunked *c, char byte, char want, enum ops_http_chunk_state next)
{
	if (byte != want)
		return 400;
	c->state = next;
	return 0;
}

static int chunk_size_end(struct ops_http_chunked *c, char byte)
{
	c->digits = 0;
	c->in_line = false;
	c->line_bytes = 0;
	return chunk_expect(c, byte, '\n', c->left == 0 ? OPS_CHUNK_TRAILER : OPS_CHUNK_DATA);
}

static int chunk_byte(struct ops_http_chunked *c, char byte)
{
	switch (c->state) {
	case OPS_CHUNK_SIZE:
		return chunk_size_byte(c, byte);
	case OPS_CHUNK_EXT:
		return chunk_line_byte(c, byte, CHUNK_LINE_MAX, OPS_CHUNK_SIZE_LF);
	case OPS_CHUNK_SIZE_LF:
		return chunk_size_end(c, byte);
	case OPS_CHUNK_CR:
		return chunk_expect(c, byte, '\r', OPS_CHUNK_LF);
	case OPS_CHUNK_LF:
		return chunk_expect(c, byte, '\n', OPS_CHUNK_SIZE);
	case OPS_CHUNK_TRAILER:
		return chunk_line_byte(c, byte, CHUNK_TRAILER_MAX,
			c->in_line ? OPS_CHUNK_TRAILER_LF : OPS_CHUNK_END_LF);
	case OPS_CHUNK_TRAILER_LF:
		c->in_line = false;
		return chunk_expect(c, byte, '\n', OPS_CHUNK_TRAILER);
	case OPS_CHUNK_END_LF:
		return chunk_expect(c, byte, '\n', OPS_CHUNK_DONE);
	case OPS_CHUNK_DATA:
	case OPS_CHUNK_DONE:
		break;
	}
	return 400;
}

int ops_http_chunked_feed(struct ops_http_chunked *c, const char *data, size_t len,
	size_t limit_bytes, struct ops_strbuf *out, size_t *ret_used)
{
	size_t i = 0;

	while (i < len && c->state != OPS_CHUNK_DONE) {
		if (c->state == OPS_CHUNK_DATA) {
			size_t n = (size_t)OPS_MIN(c->left, (uint64_t)(len - i));
			ops_strbuf_add(out, data + i, n);
			i += n;
			c->left -= n;
			if (c->left == 0)
				c->state = OPS_CHUNK_CR;
			continue;
		}
		int rc = chunk_byte(c, data[i++]);
		if (rc != 0)
			return rc;
		if (c->state == OPS_CHUNK_DATA && c->left > limit_bytes - out->len)
			return 413; /* before a byte of it is stored */
	}
	*ret_used = i;
	return 0;
}
