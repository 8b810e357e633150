/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms that all answers share: success and error envelopes, times, values, labels. Answers are
 * written into one buffer, not built as a tree: a result can be large. What a caller got wrong is
 * bad_data (400), what failed while evaluating is execution (422), too slow is timeout (503), as in
 * Prometheus, so that its clients show the right message.
 */
#include "services/detector/api/api_internal.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/number.h"

#define JSON_TYPE "application/json"

static const struct {
	const char *type;
	int code;
} error_types[] = {
	{"bad_data", 400},
	{"execution", 422},
	{"timeout", 503},
	{"canceled", 499},
	{"unavailable", 503},
	{"not_found", 404},
	{"not_acceptable", 406},
	{"internal", 500},
};

/* Reading is open to pages of other origins, as in Prometheus; who may read decides the role. */
void det_api_headers(struct ops_http_req *req)
{
	if (ops_http_header(req, "Origin") == NULL) {
		return;
	}
	ops_http_reply_header(req, "Vary", "Origin");
	ops_http_reply_header(req, "Access-Control-Allow-Origin", "*");
	ops_http_reply_header(req, "Access-Control-Allow-Methods", "GET, POST, OPTIONS");
	ops_http_reply_header(
		req, "Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin");
	ops_http_reply_header(req, "Access-Control-Expose-Headers", "Date");
}

void det_api_reply_error(struct ops_http_req *req, const char *type, const char *message)
{
	int code = 500;
	for (size_t i = 0; i < OPS_LENGTH(error_types); i++) {
		if (strcmp(error_types[i].type, type) == 0) {
			code = error_types[i].code;
		}
	}
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "{\"status\":\"error\",\"errorType\":");
	det_api_string(&out, type);
	ops_strbuf_adds(&out, ",\"error\":");
	det_api_string(&out, message);
	ops_strbuf_addc(&out, '}');
	det_api_headers(req);
	ops_http_reply(req, code, JSON_TYPE, out.data, out.len);
	ops_strbuf_done(&out);
}

int det_api_bad(struct ops_http_req *req, const char *parameter, const char *fmt, ...)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	va_list args;
	ops_strbuf_printf(&text, "invalid parameter \"%s\": ", parameter);
	va_start(args, fmt);
	ops_strbuf_vprintf(&text, fmt, args);
	va_end(args);
	det_api_reply_error(req, "bad_data", ops_strbuf_text(&text));
	return -EINVAL;
}

int det_api_refuse(struct ops_http_req *req, const char *fmt, ...)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	va_list args;
	va_start(args, fmt);
	ops_strbuf_vprintf(&text, fmt, args);
	va_end(args);
	det_api_reply_error(req, "bad_data", ops_strbuf_text(&text));
	return -EINVAL;
}

static void add_texts(struct ops_strbuf *out, const char *key, const char *const *items, size_t n)
{
	if (n == 0) {
		return;
	}
	ops_strbuf_printf(out, ",\"%s\":[", key);
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		det_api_string(out, items[i]);
	}
	ops_strbuf_addc(out, ']');
}

void det_api_open_answer(struct ops_strbuf *out)
{
	ops_strbuf_adds(out, "{\"status\":\"success\",\"data\":");
}

void det_api_close_answer(struct ops_strbuf *out, const struct det_annotations *annotations)
{
	if (annotations != NULL) {
		add_texts(out, "warnings", annotations->warnings, annotations->nwarnings);
		add_texts(out, "infos", annotations->infos, annotations->ninfos);
	}
	ops_strbuf_addc(out, '}');
}

void det_api_reply(struct ops_http_req *req, const struct ops_strbuf *data,
	const struct det_annotations *annotations)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_reserve(&out, data->len + 64);
	det_api_open_answer(&out);
	ops_strbuf_add(&out, data->data, data->len);
	det_api_close_answer(&out, annotations);
	det_api_headers(req);
	ops_http_reply(req, 200, JSON_TYPE, out.data, out.len);
	ops_strbuf_done(&out);
}

void det_api_reply_data(struct ops_http_req *req, const struct ops_strbuf *data)
{
	det_api_reply(req, data, NULL);
}

void det_api_string(struct ops_strbuf *out, const char *text)
{
	ops_strbuf_add_json(out, text, strlen(text));
}

void det_api_time(struct ops_strbuf *out, int64_t t_ms)
{
	uint64_t ms = t_ms < 0 ? 0 - (uint64_t)t_ms : (uint64_t)t_ms;
	ops_strbuf_reserve(out, 32);
	if (t_ms < 0) {
		out->data[out->len++] = '-';
	}
	out->len += ops_format_u64(ms / 1000, out->data + out->len);
	unsigned fraction = (unsigned)(ms % 1000);
	if (fraction != 0) {
		const char text[4] = {'.', (char)('0' + fraction / 100),
			(char)('0' + fraction / 10 % 10), (char)('0' + fraction % 10)};
		ops_strbuf_add(out, text, sizeof(text));
	}
}

void det_api_value(struct ops_strbuf *out, double value)
{
	enum {
		LONGEST = 352
	};
	double size = fabs(value);
	bool plain = !isfinite(value) || value == 0 || (size >= 1e-6 && size < 1e21);
	ops_strbuf_reserve(out, LONGEST + 2);
	out->data[out->len++] = '"';
	char *at = out->data + out->len;
	out->len += plain ? ops_format_double_f(value, at) : ops_format_double(value, at);
	ops_strbuf_addc(out, '"');
}

void det_api_labels(struct ops_strbuf *out, const struct ops_label *labels, uint32_t n)
{
	ops_strbuf_addc(out, '{');
	for (uint32_t i = 0; i < n; i++) {
		ops_strbuf_adds(out, i > 0 ? "," : "");
		ops_strbuf_add_json(out, labels[i].name, labels[i].name_len);
		ops_strbuf_addc(out, ':');
		ops_strbuf_add_json(out, labels[i].value, labels[i].value_len);
	}
	ops_strbuf_addc(out, '}');
}
