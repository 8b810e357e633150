/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Routes: a list of patterns of segments. Internal to common/net. */
#include "common/base/arena.h"
#include "common/net/http_server.h"

enum {
	OPS_HTTP_MAX_SEGMENTS = 32
};

struct ops_http_route {
	char *pattern;
	unsigned methods;
	enum ops_role least;
	void (*fn)(struct ops_http_req *req, void *arg);
	void *arg;
};

struct ops_http_router {
	struct ops_http_route **routes; /* requests under way point to theirs */
	size_t n, cap;
};

struct ops_http_capture { /* a segment that matched "{name}" */
	const char *name, *value;
};

struct ops_http_match {
	const struct ops_http_route *route; /* NULL: no such path, or not with this method */
	unsigned allowed;		    /* methods that this path knows; 0 = no such path */
	struct ops_http_capture captures[OPS_HTTP_MAX_SEGMENTS];
	size_t ncaptures;
};

void ops_http_router_add(
	struct ops_http_router *r, const struct ops_http_route *route); /* pattern is copied */
void ops_http_router_done(struct ops_http_router *r);
/* path is raw (still percent-encoded). Literal segments win over captures. -EINVAL: malformed
 * escape, dot segment, too deep. */
int ops_http_router_match(const struct ops_http_router *r, struct ops_arena *a, const char *path,
	enum ops_http_method method, struct ops_http_match *ret) OPS_MUST_CHECK;
/* "GET, HEAD, POST" of a mask, in the arena. */
const char *ops_http_methods_text(struct ops_arena *a, unsigned methods);
int ops_http_method_parse(
	const char *text, enum ops_http_method *ret) OPS_MUST_CHECK; /* -EINVAL: unknown */
const char *ops_http_method_text(enum ops_http_method m);
