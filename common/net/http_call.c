/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request as curl options.
 *
 * Redirects are followed here, not by curl: curl keeps its own credentials back from another host,
 * but carries all other request headers along, and an API key in one of them is a credential too.
 * When a redirect leaves the origin (scheme, host, port) the user, the token, the client
 * certificate and every header that is not about the body's form are dropped, for good. One
 * deadline holds for all hops. 301, 302 and 303 turn a POST into a GET, as all clients do; 307 and
 * 308 repeat it.
 *
 * server_name changes what TLS asks for and checks, not where we connect: the URL's host is
 * replaced and mapped back by CURLOPT_CONNECT_TO, and the Host field keeps what the URL said.
 */
#include "common/net/http_call.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/clock.h"

enum {
	MAX_RESPONSE = 10 << 20,
	REDIRECTS = 10
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct ops_http_call *call = arg;
	size_t len = size * n;
	long code = 0;

	if (call->on_data != NULL) {
		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
	}
	if (code >= 200 && code < 300) {
		ops_strbuf_add(&call->response, data, len);
		ops_call_note_data(call);
		return len;
	}
	if (len > call->max_response_bytes - call->response.len) {
		call->too_big = true;
		return 0; /* ends the transfer */
	}
	ops_strbuf_add(&call->response, data, len);
	return len;
}

/* Keeps the value of the one header that was asked for; of a redirect's several answers the last.
 */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct ops_http_call *call = arg;
	size_t len = size * n, name = strlen(call->want_header), from = name + 1;

	if (len > from && line[name] == ':' && strncasecmp(line, call->want_header, name) == 0) {
		while (from < len && line[from] == ' ')
			from++;
		size_t end = from;
		while (end < len && line[end] != '\r' && line[end] != '\n')
			end++;
		free(call->header);
		call->header = ops_xstrndup(line + from, end - from);
	}
	return len;
}

static bool one_line(const char *s)
{
	return s == NULL || strpbrk(s, "\r\n") == NULL;
}

static bool are_headers(const char *const *headers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!one_line(headers[i]) || strchr(headers[i], ':') == NULL)
			return false;
	}
	return true;
}

static bool acceptable(const struct ops_http_request *req)
{
	if (req->url == NULL || !one_line(req->url) || !one_line(req->method) ||
		!one_line(req->bearer))
		return false;
	return are_headers(req->headers, req->nheaders) &&
	       are_headers(req->proxy_headers, req->nproxy_headers);
}

static void set_method(struct ops_http_call *call, const struct ops_http_request *req)
{
	const char *method = req->method != NULL ? req->method : "GET";

	if (req->body_len > 0 || strcmp(method, "POST") == 0) {
		ops_strbuf_add(&call->upload, req->body, req->body_len);
		call->sends_body = true;
		OPS_CURL(call, CURLOPT_POST, 1L);
		OPS_CURL(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->upload.len);
		OPS_CURL(call, CURLOPT_POSTFIELDS, ops_strbuf_text(&call->upload));
		if (strcmp(method, "POST") != 0)
			OPS_CURL(call, CURLOPT_CUSTOMREQUEST, method);
	} else if (strcmp(method, "HEAD") == 0) {
		OPS_CURL(call, CURLOPT_NOBODY, 1L);
	} else if (strcmp(method, "GET") != 0) {
		OPS_CURL(call, CURLOPT_CUSTOMREQUEST, method);
	}
}

static void add_to_list(struct curl_slist **list, const char *text)
{
	struct curl_slist *longer = curl_slist_append(*list, text);

	ops_assert(longer != NULL);
	*list = longer;
}

static void set_credentials(struct ops_http_call *call, const struct ops_http_request *req)
{
	if (req->bearer != NULL) {
		OPS_CURL(call, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		OPS_CURL(call, CURLOPT_XOAUTH2_BEARER, req->bearer);
	} else if (req->basic_user != NULL) {
		OPS_CURL(call, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		OPS_CURL(call, CURLOPT_USERNAME, req->basic_user);
		OPS_CURL(call, CURLOPT_PASSWORD,
			req->basic_password != NULL ? req->basic_password : "");
	}
}

/* curl takes "Name:" for "without this header" and "Name;" for an empty one. */
static void add_header(struct ops_http_call *call, const char *header)
{
	size_t end = strlen(header) - 1;

	if (header[end] != ':') {
		add_to_list(&call->headers, header);
		return;
	}
	OPS_CLEANUP(ops_freep) char *empty = ops_xstrdup(header);
	empty[end] = ';';
	add_to_list(&call->headers, empty);
}

static void set_headers(struct ops_http_call *call, const struct ops_http_request *req)
{
	for (size_t i = 0; i < req->nheaders; i++)
		add_header(call, req->headers[i]);
	add_to_list(&call->headers, "Expect:"); /* no waiting for 100 Continue */
	OPS_CURL(call, CURLOPT_HTTPHEADER, call->headers);
	for (size_t i = 0; i < req->nproxy_headers; i++)
		add_to_list(&call->proxy_headers, req->proxy_headers[i]);
	OPS_CURL(call, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	OPS_CURL(call, CURLOPT_PROXYHEADER, call->proxy_headers);
}

/* Connects to the URL's host but speaks TLS with server_name. */
static int set_server_name(struct ops_http_call *call, CURLU *url, const char *server_name)
{
	char *host = NULL, *port = NULL;
	int rc = -EINVAL;

	if (curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		curl_url_set(url, CURLUPART_HOST, server_name, 0) == CURLUE_OK) {
		OPS_CLEANUP(ops_freep)
		char *map = ops_xasprintf("%s:%s:%s:%s", server_name, port, host, port);
		OPS_CLEANUP(ops_freep) char *field = ops_xasprintf("Host: %s:%s", host, port);
		add_to_list(&call->connect_to, map);
		add_to_list(&call->headers, field);
		OPS_CURL(call, CURLOPT_CONNECT_TO, call->connect_to);
		rc = 0;
	}
	curl_free(host);
	curl_free(port);
	return rc;
}

static int set_url(struct ops_http_call *call, const struct ops_http_request *req)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *text = NULL;
	int rc = -EINVAL;

	ops_assert(url != NULL);
	if (curl_url_set(url, CURLUPART_URL, req->url, 0) == CURLUE_OK &&
		curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		(strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0))
		rc = 0;
	if (rc == 0 && req->tls.server_name != NULL && *req->tls.server_name != '\0' &&
		strcmp(scheme, "https") == 0)
		rc = set_server_name(call, url, req->tls.server_name);
	if (rc == 0 && curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK)
		rc = -EINVAL;
	if (rc == 0)
		OPS_CURL(call, CURLOPT_URL, text);
	curl_free(scheme);
	curl_free(text);
	curl_url_cleanup(url);
	return rc;
}

static void set_protocols(struct ops_http_call *call)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	OPS_CURL(call, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	OPS_CURL(call, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	OPS_CURL(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
}

static void set_transfer(struct ops_http_call *call, const struct ops_http_request *req)
{
	call->max_response_bytes =
		req->max_response_bytes != 0 ? req->max_response_bytes : MAX_RESPONSE;
	OPS_CURL(call, CURLOPT_WRITEFUNCTION, on_body);
	OPS_CURL(call, CURLOPT_WRITEDATA, call);
	if (req->on_data == NULL)
		OPS_CURL(call, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)call->max_response_bytes);
	call->redirects_left = req->no_redirects ? 0 : REDIRECTS;
	call->on_data = req->on_data;
	if (req->want_header != NULL) {
		call->want_header = ops_xstrdup(req->want_header);
		OPS_CURL(call, CURLOPT_HEADERFUNCTION, on_header);
		OPS_CURL(call, CURLOPT_HEADERDATA, call);
	}
	if (req->gzip)
		OPS_CURL(call, CURLOPT_ACCEPT_ENCODING, "gzip");
	if (req->unix_socket != NULL)
		OPS_CURL(call, CURLOPT_UNIX_SOCKET_PATH, req->unix_socket);
}

/* ---- redirects ---- */

static bool is_redirect(int code)
{
	return code == 301 || code == 302 || code == 303 || code == 307 || code == 308;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	char *x = NULL, *y = NULL;
	bool same = curl_url_get(a, part, &x, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    curl_url_get(b, part, &y, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		    strcasecmp(x, y) == 0;

	curl_free(x);
	curl_free(y);
	return same;
}

static bool same_origin(const char *a, const char *b)
{
	CURLU *x = curl_url(), *y = curl_url();

	ops_assert(x != NULL && y != NULL);
	bool same = curl_url_set(x, CURLUPART_URL, a, 0) == CURLUE_OK &&
		    curl_url_set(y, CURLUPART_URL, b, 0) == CURLUE_OK &&
		    same_part(x, y, CURLUPART_SCHEME) && same_part(x, y, CURLUPART_HOST) &&
		    same_part(x, y, CURLUPART_PORT);
	curl_url_cleanup(x);
	curl_url_cleanup(y);
	return same;
}

/* What describes the request's form and cannot be a credential. */
static bool is_harmless(const char *header)
{
	static const char *const names[] = {
		"Accept:", "Content-Type:", "Content-Encoding:", "Expect:", "traceparent:"};

	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (strncasecmp(header, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static void drop_credentials(struct ops_http_call *call)
{
	struct curl_slist *kept = NULL;

	for (const struct curl_slist *h = call->headers; h != NULL; h = h->next) {
		if (is_harmless(h->data))
			add_to_list(&kept, h->data);
	}
	OPS_CURL(call, CURLOPT_HTTPHEADER, kept);
	curl_slist_free_all(call->headers);
	call->headers = kept;
	OPS_CURL(call, CURLOPT_XOAUTH2_BEARER, NULL);
	OPS_CURL(call, CURLOPT_USERNAME, NULL);
	OPS_CURL(call, CURLOPT_PASSWORD, NULL);
	OPS_CURL(call, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
	OPS_CURL(call, CURLOPT_SSLCERT, NULL);
	OPS_CURL(call, CURLOPT_SSLKEY, NULL);
	OPS_CURL(call, CURLOPT_SSLCERT_BLOB, NULL);
	OPS_CURL(call, CURLOPT_SSLKEY_BLOB, NULL);
	OPS_CURL(call, CURLOPT_CONNECT_TO, NULL);
	OPS_CURL(call, CURLOPT_UNIX_SOCKET_PATH, NULL);
}

bool ops_call_redirect(struct ops_http_call *call, int code)
{
	char *from = NULL, *to = NULL;
	int64_t left_ms = call->timeout_ms - (ops_mono_ns() - call->begin_ns) / 1000000;

	if (!is_redirect(code) || call->redirects_left == 0 || left_ms <= 0)
		return false;
	curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &from);
	curl_easy_getinfo(call->easy, CURLINFO_REDIRECT_URL, &to);
	if (from == NULL || to == NULL)
		return false;
	OPS_CLEANUP(ops_freep)
	char *next = ops_xstrdup(to); /* curl's own copy goes with the old URL */
	call->redirects_left--;
	if (!same_origin(from, next))
		drop_credentials(call);
	if (code <= 303 && call->sends_body) {
		OPS_CURL(call, CURLOPT_CUSTOMREQUEST, NULL);
		OPS_CURL(call, CURLOPT_HTTPGET, 1L);
		call->sends_body = false;
	}
	ops_strbuf_reset(&call->response);
	OPS_CURL(call, CURLOPT_URL, next);
	OPS_CURL(call, CURLOPT_TIMEOUT_MS, (long)left_ms);
	return true;
}

int ops_http_call_start(struct ops_http_client *c, const struct ops_http_request *req,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call)
{
	if (!acceptable(req))
		return -EINVAL;
	struct ops_http_call *call = ops_call_new(c, fn, arg);
	if (call == NULL)
		return -ESHUTDOWN;
	int rc = set_url(call, req);
	if (rc != 0) {
		ops_call_free(call);
		return rc;
	}
	set_protocols(call);
	set_method(call, req);
	set_headers(call, req);
	set_credentials(call, req);
	set_transfer(call, req);
	ops_call_set_tls(call, &req->tls);
	ops_call_set_timeout(call, req->timeout_ms);
	ops_call_set_proxy(call, req->proxy_url);
	ops_call_start(call);
	if (ret_call != NULL)
		*ret_call = call;
	return 0;
}
