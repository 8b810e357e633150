/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request as a connection reads it: scan, head, framing, body, parameters, path, credentials,
 * trace. What is accepted must hold the promises that handlers rely on: no NUL, no CR or LF in any
 * value, a path that begins with a slash.
 */
#include <string.h>

#include "common/net/http_auth.h"
#include "common/net/http_params.h"
#include "common/net/http_parse.h"
#include "common/net/http_router.h"
#include "common/net/http_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_fields(const struct ops_http_head *h)
{
	ops_assert(h->path[0] == '/' || strcmp(h->path, "*") == 0);
	ops_assert(!(h->chunked && h->content_length > 0));
	for (size_t i = 0; i < h->nfields; i++) {
		ops_assert(strpbrk(h->fields[i].value, "\r\n") == NULL);
		ops_assert(ops_http_is_token(h->fields[i].name, strlen(h->fields[i].name)));
	}
}

static void read_meaning(struct ops_arena *a, const struct ops_http_head *h)
{
	struct ops_http_params p = {.n = 0};
	struct ops_http_router r = {.n = 0};
	struct ops_http_match m;
	struct ops_credentials c;
	struct ops_trace t;

	if (ops_http_params_parse(a, h->query, strlen(h->query), &p) == 0 &&
		ops_http_router_match(&r, a, h->path, OPS_GET, &m) == 0)
		ops_assert(m.route == NULL);
	ops_http_params_done(&p);
	ops_credentials_parse(ops_http_head_get(h, "Authorization"), &c);
	ops_assert(c.scheme != OPS_AUTH_BASIC || (c.user != NULL && c.secret != NULL));
	ops_credentials_done(&c);
	ops_trace_init(&t, ops_http_head_get(h, "traceparent"));
	ops_assert(strlen(t.traceparent) == 55);
}

static void read_body(const char *data, size_t size)
{
	struct ops_http_chunked c = {.left = 0};
	struct ops_strbuf out = OPS_STRBUF_INIT;
	size_t used = 0;

	if (ops_http_chunked_feed(&c, data, size, 4096, &out, &used) == 0)
		ops_assert(used <= size && out.len <= 4096);
	ops_strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *reason = NULL;
	size_t scan = 0, len = 0;
	struct ops_arena a;
	struct ops_http_head h;

	ops_arena_init(&a);
	if (ops_http_head_scan(text, size, &scan, &len, &reason) == 0 && len > 0 &&
		ops_http_head_parse(&a, text, len, &h, &reason) == 0) {
		check_fields(&h);
		read_meaning(&a, &h);
		if (h.chunked)
			read_body(text + len, size - len);
	}
	ops_arena_done(&a);
	return 0;
}
