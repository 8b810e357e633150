/* SPDX-License-Identifier: Apache-2.0 */
/* The value parsers without a head around them: the first byte chooses which. */
#include <string.h>

#include "common/net/http_auth.h"
#include "common/net/http_params.h"
#include "common/net/http_parse.h"
#include "common/net/http_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void params(const char *s, size_t len)
{
	struct ops_arena a;
	struct ops_http_params p = {.n = 0};

	ops_arena_init(&a);
	if (ops_http_params_parse(&a, s, len, &p) == 0) {
		size_t bytes = 0;
		for (size_t i = 0; i < p.n; i++)
			bytes += strlen(p.items[i].name) + strlen(p.items[i].value);
		ops_assert(bytes <= len); /* decoding never makes text longer */
	}
	ops_http_params_done(&p);
	ops_arena_done(&a);
}

static void credentials(const char *s)
{
	struct ops_credentials c;

	ops_credentials_parse(s, &c);
	ops_assert((c.scheme == OPS_AUTH_BASIC) == (c.user != NULL));
	ops_credentials_done(&c);
}

static void trace(const char *s)
{
	char id[33];
	unsigned flags = 0;

	if (ops_trace_parse(s, id, &flags) == 0)
		ops_assert(strlen(id) == 32 && flags <= 1);
}

static void chunked(const char *s, size_t len)
{
	struct ops_http_chunked c = {.left = 0};
	struct ops_strbuf out = OPS_STRBUF_INIT;

	for (size_t at = 0; at < len && c.state != OPS_CHUNK_DONE;) {
		size_t used = 0;
		if (ops_http_chunked_feed(
			    &c, s + at, OPS_MIN((size_t)3, len - at), 1000, &out, &used) != 0)
			break;
		at += used;
	}
	ops_assert(out.len <= 1000);
	ops_strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	char *text = ops_xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 4) {
	case 0:
		params((const char *)data + 1, size - 1);
		break;
	case 1:
		credentials(text);
		break;
	case 2:
		trace(text);
		break;
	default:
		chunked((const char *)data + 1, size - 1);
		break;
	}
	free(text);
	return 0;
}
