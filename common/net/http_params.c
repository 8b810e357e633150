/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parameters are decoded once per request, in order, form before query string, as Prometheus' API
 * and its clients expect (match[] repeats). A malformed escape is an error rather than taken
 * literally, so that what a handler checks is what a client meant; an encoded NUL is one too, since
 * values become C strings.
 */
#include "common/net/http_params.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"

char *ops_http_percent_decode(struct ops_arena *a, const char *s, size_t len, bool plus)
{
	char *out = ops_arena_alloc(a, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] != '%') {
			out[n++] = plus && s[i] == '+' ? ' ' : s[i];
			continue;
		}
		if (len - i < 3 || ops_hex_decode(s + i + 1, 2, &out[n]) != 0 || out[n] == '\0')
			return NULL;
		n++;
		i += 2;
	}
	out[n] = '\0';
	return memchr(out, '\0', n) == NULL ? out : NULL;
}

static int add_pair(struct ops_arena *a, const char *s, size_t len, struct ops_http_params *p)
{
	const char *eq = memchr(s, '=', len);
	size_t name_len = eq != NULL ? (size_t)(eq - s) : len;

	if (p->n == OPS_HTTP_MAX_PARAMS)
		return -E2BIG;
	const char *name = ops_http_percent_decode(a, s, name_len, true);
	const char *value =
		eq != NULL ? ops_http_percent_decode(a, eq + 1, len - name_len - 1, true) : "";
	if (name == NULL || value == NULL)
		return -EINVAL;
	OPS_GROW(p->items, p->n, p->cap);
	p->items[p->n++] = (struct ops_http_param){name, value};
	return 0;
}

int ops_http_params_parse(struct ops_arena *a, const char *s, size_t len, struct ops_http_params *p)
{
	for (size_t at = 0; at < len;) {
		const char *amp = memchr(s + at, '&', len - at);
		size_t n = amp != NULL ? (size_t)(amp - s) - at : len - at;
		int rc = n > 0 ? add_pair(a, s + at, n, p) : 0;
		if (rc != 0)
			return rc;
		at += n + 1;
	}
	return 0;
}

void ops_http_params_done(struct ops_http_params *p)
{
	free(p->items);
	*p = (struct ops_http_params){0};
}
