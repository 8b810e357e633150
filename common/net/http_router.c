/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service has a few dozen routes, so a linear walk with segment compare is faster than it needs
 * to be and easy to see through. The path is split before it is decoded: an encoded slash belongs
 * to its segment (label names and scopes may hold one). Among patterns that fit, the one with a
 * literal at the first place where two differ wins, so registration order does not matter.
 *
 * HEAD is added to every GET, OPTIONS is answered by the server for every known path.
 */
#include "common/net/http_router.h"

#include <errno.h>
#include <string.h>

#include "common/net/http_params.h"

static const struct {
	enum ops_http_method method;
	const char *text;
} methods_known[] = {
	{OPS_GET, "GET"},
	{OPS_HEAD, "HEAD"},
	{OPS_POST, "POST"},
	{OPS_PUT, "PUT"},
	{OPS_DELETE, "DELETE"},
	{OPS_OPTIONS, "OPTIONS"},
	{OPS_PATCH, "PATCH"},
};

struct segments {
	const char *raw[OPS_HTTP_MAX_SEGMENTS], *decoded[OPS_HTTP_MAX_SEGMENTS];
	size_t n;
};

int ops_http_method_parse(const char *text, enum ops_http_method *ret)
{
	for (size_t i = 0; i < OPS_LENGTH(methods_known); i++) {
		if (strcmp(methods_known[i].text, text) == 0) {
			*ret = methods_known[i].method;
			return 0;
		}
	}
	return -EINVAL;
}

const char *ops_http_method_text(enum ops_http_method m)
{
	for (size_t i = 0; i < OPS_LENGTH(methods_known); i++) {
		if (methods_known[i].method == m)
			return methods_known[i].text;
	}
	return "other";
}

const char *ops_http_methods_text(struct ops_arena *a, unsigned methods)
{
	const char *text = "";

	for (size_t i = 0; i < OPS_LENGTH(methods_known); i++) {
		if ((methods & (unsigned)methods_known[i].method) != 0)
			text = ops_arena_printf(a, "%s%s%s", text, *text != '\0' ? ", " : "",
				methods_known[i].text);
	}
	return text;
}

void ops_http_router_add(struct ops_http_router *r, const struct ops_http_route *route)
{
	ops_assert(route->pattern[0] == '/' && route->fn != NULL);
	OPS_GROW(r->routes, r->n, r->cap);
	struct ops_http_route *copy = ops_xcalloc(1, sizeof(*copy));
	*copy = *route;
	copy->pattern = ops_xstrdup(route->pattern);
	if ((route->methods & OPS_GET) != 0)
		copy->methods |= OPS_HEAD;
	r->routes[r->n++] = copy;
}

void ops_http_router_done(struct ops_http_router *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->routes[i]->pattern);
		free(r->routes[i]);
	}
	free(r->routes);
	*r = (struct ops_http_router){0};
}

static bool is_dots(const char *s)
{
	return strcmp(s, ".") == 0 || strcmp(s, "..") == 0;
}

static int split(struct ops_arena *a, const char *path, struct segments *ret)
{
	const char *at = path + 1;

	for (;;) {
		const char *slash = strchr(at, '/');
		size_t len = slash != NULL ? (size_t)(slash - at) : strlen(at);
		const char *decoded = ops_http_percent_decode(a, at, len, false);
		if (decoded == NULL || is_dots(decoded))
			return -EINVAL;
		if (ret->n == OPS_HTTP_MAX_SEGMENTS)
			return -EINVAL;
		ret->raw[ret->n] = at;
		ret->decoded[ret->n++] = decoded;
		if (slash == NULL)
			return 0;
		at = slash + 1;
	}
}

static bool is_capture(const char *seg, size_t len)
{
	return len >= 3 && seg[0] == '{' && seg[len - 1] == '}';
}

static bool is_rest(const char *seg, size_t len)
{
	return len > 5 && memcmp(seg + len - 4, "...}", 4) == 0;
}

static int add_capture(struct ops_arena *a, const char *seg, size_t name_len, const char *value,
	struct ops_http_match *m)
{
	if (value == NULL)
		return -EINVAL;
	m->captures[m->ncaptures++] =
		(struct ops_http_capture){ops_arena_strndup(a, seg + 1, name_len), value};
	return 0;
}

/* Matches one pattern; fills captures. False: does not fit. */
static bool fits(struct ops_arena *a, const char *pattern, const struct segments *segs,
	struct ops_http_match *m)
{
	const char *p = pattern + 1;

	m->ncaptures = 0;
	for (size_t i = 0;; i++) {
		size_t len = strcspn(p, "/");
		if (i >= segs->n)
			return false;
		if (is_rest(p, len)) {
			const char *rest = ops_http_percent_decode(
				a, segs->raw[i], strlen(segs->raw[i]), false);
			return add_capture(a, p, len - 5, rest, m) == 0;
		}
		if (is_capture(p, len)) {
			if (segs->decoded[i][0] == '\0' ||
				add_capture(a, p, len - 2, segs->decoded[i], m) != 0)
				return false;
		} else if (strlen(segs->decoded[i]) != len ||
			   memcmp(p, segs->decoded[i], len) != 0) {
			return false;
		}
		if (p[len] == '\0')
			return i + 1 == segs->n;
		p += len + 1;
	}
}

/* Both fit the same path: the one with a literal where the other captures is the narrower. */
static bool narrower(const char *a, const char *b)
{
	while (*a != '\0' && *a == *b) {
		a++;
		b++;
	}
	return *b == '{' && *a != '{';
}

int ops_http_router_match(const struct ops_http_router *r, struct ops_arena *a, const char *path,
	enum ops_http_method method, struct ops_http_match *ret)
{
	struct segments segs = {.n = 0};
	struct ops_http_match best = {.route = NULL};

	if (path[0] != '/')
		return -EINVAL;
	int rc = split(a, path, &segs);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < r->n; i++) {
		struct ops_http_match m = {.route = r->routes[i]};
		if (!fits(a, m.route->pattern, &segs, &m))
			continue;
		best.allowed |= m.route->methods;
		if ((m.route->methods & (unsigned)method) == 0)
			continue;
		if (best.route == NULL || narrower(m.route->pattern, best.route->pattern)) {
			m.allowed = best.allowed;
			best = m;
		}
	}
	*ret = best;
	return 0;
}
