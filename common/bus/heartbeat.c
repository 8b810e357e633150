/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoch is hex text, because 64 random bits do not fit a JSON number. An address that is none
 * is refused here: the subscriber would dial it.
 */
#include "common/bus/heartbeat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/bus/socket.h"
#include "common/json/json.h"

enum {
	LIMIT_BYTES = 4096,
	INTERVAL_MIN_MS = 10,
	INTERVAL_MAX_MS = 3600 * 1000
};

void ops_heartbeat_encode(const struct ops_heartbeat *h, struct ops_strbuf *out)
{
	ops_strbuf_adds(out, "{\"stream\":");
	ops_strbuf_add_json(out, h->stream, strlen(h->stream));
	ops_strbuf_printf(out,
		",\"epoch\":\"%016" PRIx64 "\",\"head\":%" PRIu64 ",\"first\":%" PRIu64
		",\"replay\":",
		h->epoch, h->head, h->first);
	if (h->replay_url[0] != '\0')
		ops_strbuf_add_json(out, h->replay_url, strlen(h->replay_url));
	else
		ops_strbuf_adds(out, "null");
	ops_strbuf_printf(out, ",\"interval_ms\":%" PRId64 "}", h->interval_ms);
}

static int get_url(const json_t *doc, char ret[OPS_URL_MAX_BYTES + 1])
{
	const char *url = NULL;
	int r = ops_json_get_string(doc, "replay", &url, NULL);

	if (r == 1) {
		ret[0] = '\0';
		return 0;
	}
	if (r != 0 || !ops_socket_url_valid(url) || strlen(url) > OPS_URL_MAX_BYTES)
		return -EBADMSG;
	snprintf(ret, OPS_URL_MAX_BYTES + 1, "%s", url);
	return 0;
}

static int get_numbers(const json_t *doc, struct ops_heartbeat *ret)
{
	const char *epoch = NULL;
	int64_t head = -1, first = -1;

	if (ops_json_get_string(doc, "epoch", &epoch, NULL) != 0 || strlen(epoch) != 16 ||
		ops_parse_hex_u64(epoch, 16, &ret->epoch) != 0 ||
		ops_json_get_i64(doc, "head", &head, NULL) != 0 ||
		ops_json_get_i64(doc, "first", &first, NULL) != 0 ||
		ops_json_get_i64(doc, "interval_ms", &ret->interval_ms, NULL) != 0)
		return -EBADMSG;
	if (head < 0 || head == INT64_MAX || first < 1 || first > head + 1 ||
		ret->interval_ms < INTERVAL_MIN_MS || ret->interval_ms > INTERVAL_MAX_MS)
		return -EBADMSG;
	ret->head = (uint64_t)head;
	ret->first = (uint64_t)first;
	return 0;
}

int ops_heartbeat_decode(const char *json, size_t len, struct ops_heartbeat *ret)
{
	OPS_JSON_AUTO *doc = NULL;
	const char *stream = NULL;
	struct ops_heartbeat h;

	memset(&h, 0, sizeof(h));
	if (ops_json_parse(json, len, LIMIT_BYTES, &doc, NULL) != 0 ||
		ops_json_get_string(doc, "stream", &stream, NULL) != 0 ||
		!ops_name_valid(stream, strlen(stream)) || get_url(doc, h.replay_url) != 0 ||
		get_numbers(doc, &h) != 0)
		return -EBADMSG;
	snprintf(h.stream, sizeof(h.stream), "%s", stream);
	*ret = h;
	return 0;
}
