/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl multi on the loop. curl tells which descriptors and which time-out it waits for; we give it
 * the events and collect what is finished after each of its turns. User callbacks run there,
 * outside of curl, so they may start and cancel calls as they like.
 *
 * curl's resolver runs in threads of its own, hence CURLOPT_NOSIGNAL. Proxies come from the request
 * only, never from the environment: what a service talks to must not depend on how it was started.
 *
 * libcurl says good-bye to an SMTP server (QUIT) synchronously when it closes an idle connection,
 * for up to two minutes. A mail connection is therefore shut down under it once the message is
 * accepted: the QUIT fails at once.
 */
#include "common/net/http_call.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/metrics/metrics.h"
#include "ops_version.h"

enum {
	CALL_MAGIC = 0x4843414c,
	TIMEOUT_MS = 10000,
	CONNECTIONS = 512,
	CONNECTIONS_PER_HOST = 32,
};

struct ops_http_client {
	struct ops_loop *loop;
	CURLM *multi;
	struct ops_timer *timer;
	struct ops_http_call *calls;
	bool stopped;
	bool has_data; /* some call has */
};

static const char *const outcome_names[] = {
	"done", "timeout", "refused", "unresolved", "tls", "too_big", "failed", "cancelled"};

static struct ops_metric calls_total = OPS_COUNTER(
	"ops_http_client_calls_total", "Outgoing HTTP and SMTP calls by outcome.", "outcome");

static enum ops_http_outcome outcome_of(CURLcode rc)
{
	switch ((int)rc) {
	case CURLE_OK:
		return OPS_HTTP_DONE;
	case CURLE_OPERATION_TIMEDOUT:
		return OPS_HTTP_TIMEOUT;
	case CURLE_COULDNT_CONNECT:
		return OPS_HTTP_REFUSED;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return OPS_HTTP_UNRESOLVED;
	case CURLE_FILESIZE_EXCEEDED:
		return OPS_HTTP_TOO_BIG;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_USE_SSL_FAILED:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return OPS_HTTP_TLS;
	default:
		return OPS_HTTP_FAILED;
	}
}

/* ---- one call ---- */

struct ops_http_call *ops_call_new(struct ops_http_client *c,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg)
{
	if (c->stopped)
		return NULL;
	struct ops_http_call *call = ops_xcalloc(1, sizeof(*call));
	call->magic = CALL_MAGIC;
	call->client = c;
	call->fn = fn;
	call->arg = arg;
	call->easy = curl_easy_init();
	ops_assert(call->easy != NULL);
	OPS_CURL(call, CURLOPT_PRIVATE, call);
	OPS_CURL(call, CURLOPT_ERRORBUFFER, call->error);
	OPS_CURL(call, CURLOPT_NOSIGNAL, 1L);
	OPS_CURL(call, CURLOPT_PROXY, "");
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A call that ends while its name resolves must not wait for the resolver's thread. */
	OPS_CURL(call, CURLOPT_QUICK_EXIT, 1L);
#endif
	OPS_CURL(call, CURLOPT_USERAGENT, "hms-ops/" OPS_VERSION);
	return call;
}

void ops_call_free(struct ops_http_call *call)
{
	curl_easy_cleanup(call->easy);
	curl_slist_free_all(call->headers);
	curl_slist_free_all(call->connect_to);
	curl_slist_free_all(call->recipients);
	curl_slist_free_all(call->proxy_headers);
	free(call->want_header);
	free(call->header);
	if (call->upload.data != NULL)
		explicit_bzero(call->upload.data, call->upload.len);
	ops_strbuf_done(&call->upload);
	ops_strbuf_done(&call->response);
	call->magic = 0;
	free(call);
}

static const char *or_null(const char *s)
{
	return s != NULL && *s != '\0' ? s : NULL;
}

static void set_tls_versions(struct ops_http_call *call, const struct ops_tls_client *tls)
{
	static const long lowest[] = {CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_0,
		CURL_SSLVERSION_TLSv1_1, CURL_SSLVERSION_TLSv1_2, CURL_SSLVERSION_TLSv1_3};
	static const long highest[] = {CURL_SSLVERSION_MAX_DEFAULT, CURL_SSLVERSION_MAX_TLSv1_0,
		CURL_SSLVERSION_MAX_TLSv1_1, CURL_SSLVERSION_MAX_TLSv1_2,
		CURL_SSLVERSION_MAX_TLSv1_3};

	OPS_CURL(call, CURLOPT_SSLVERSION, lowest[tls->min_version] | highest[tls->max_version]);
	if (tls->min_version == OPS_TLS_1_0 || tls->min_version == OPS_TLS_1_1) {
		/* OpenSSL 3 has no digests for them above level 0. */
		OPS_CURL(call, CURLOPT_SSL_CIPHER_LIST, "DEFAULT@SECLEVEL=0");
	}
}

static struct curl_blob blob_of(const char *text)
{
	union { /* curl copies and does not write, but takes a pointer to what it might */
		const char *in;
		void *out;
	} data = {.in = text};

	return (struct curl_blob){.data = data.out, .len = strlen(text), .flags = CURL_BLOB_COPY};
}

static void set_tls_texts(struct ops_http_call *call, const struct ops_tls_client *tls)
{
	if (or_null(tls->ca) != NULL) {
		struct curl_blob ca = blob_of(tls->ca);
		OPS_CURL(call, CURLOPT_CAINFO, NULL); /* this authority only */
		OPS_CURL(call, CURLOPT_CAPATH, NULL);
		OPS_CURL(call, CURLOPT_CAINFO_BLOB, &ca);
	}
	if (or_null(tls->cert) != NULL) {
		struct curl_blob cert = blob_of(tls->cert);
		OPS_CURL(call, CURLOPT_SSLCERT_BLOB, &cert);
	}
	if (or_null(tls->key) != NULL) {
		struct curl_blob key = blob_of(tls->key);
		OPS_CURL(call, CURLOPT_SSLKEY_BLOB, &key);
	}
}

void ops_call_set_tls(struct ops_http_call *call, const struct ops_tls_client *tls)
{
	set_tls_versions(call, tls);
	OPS_CURL(call, CURLOPT_SSL_VERIFYPEER, tls->insecure_skip_verify ? 0L : 1L);
	OPS_CURL(call, CURLOPT_SSL_VERIFYHOST, tls->insecure_skip_verify ? 0L : 2L);
	if (or_null(tls->ca_file) != NULL) {
		OPS_CURL(call, CURLOPT_CAINFO, tls->ca_file);
		OPS_CURL(call, CURLOPT_CAPATH, NULL); /* this authority only */
	}
	if (or_null(tls->cert_file) != NULL)
		OPS_CURL(call, CURLOPT_SSLCERT, tls->cert_file);
	if (or_null(tls->key_file) != NULL)
		OPS_CURL(call, CURLOPT_SSLKEY, tls->key_file);
	set_tls_texts(call, tls);
}

void ops_call_set_timeout(struct ops_http_call *call, int64_t timeout_ms)
{
	call->timeout_ms = timeout_ms > 0 ? timeout_ms : TIMEOUT_MS;
	OPS_CURL(call, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
}

void ops_call_set_proxy(struct ops_http_call *call, const char *proxy_url)
{
	if (or_null(proxy_url) != NULL)
		OPS_CURL(call, CURLOPT_PROXY, proxy_url);
}

void ops_call_start(struct ops_http_call *call)
{
	struct ops_http_client *c = call->client;

	call->begin_ns = ops_mono_ns();
	call->link = &c->calls;
	call->next = c->calls;
	if (call->next != NULL)
		call->next->link = &call->next;
	c->calls = call;
	ops_assert(curl_multi_add_handle(c->multi, call->easy) == CURLM_OK);
}

static void unlink_call(struct ops_http_call *call)
{
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	curl_multi_remove_handle(call->client->multi, call->easy);
}

/* A refusal of the mail server is an answer: its code says more than curl's error. */
static void adjust_mail(
	const struct ops_http_call *call, CURLcode rc, struct ops_http_response *res)
{
	curl_socket_t fd = CURL_SOCKET_BAD;

	if (rc == CURLE_OK) {
		res->code = 250;
		if (curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
			fd != CURL_SOCKET_BAD)
			shutdown(fd, SHUT_RDWR);
	} else if (res->code >= 400 && res->outcome == OPS_HTTP_FAILED) {
		res->outcome = OPS_HTTP_DONE;
	}
}

static void fill_response(
	const struct ops_http_call *call, CURLcode rc, struct ops_http_response *res)
{
	long code = 0;
	curl_off_t bytes = 0, retry_after_s = 0;
	char *type = NULL;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &bytes);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
	res->outcome = call->too_big ? OPS_HTTP_TOO_BIG : outcome_of(rc);
	res->code = (int)code;
	res->error = call->error[0] != '\0' ? call->error : curl_easy_strerror(rc);
	if (call->too_big)
		res->error = "the response is larger than its limit";
	res->content_type = type != NULL ? type : "";
	res->header = call->header != NULL ? call->header : "";
	res->wire_bytes = (size_t)bytes;
	res->retry_after_ms = retry_after_s > 0 && retry_after_s < INT64_MAX / 1000
				      ? (int64_t)retry_after_s * 1000
				      : -1;
	if (call->is_mail)
		adjust_mail(call, rc, res);
	if (res->outcome == OPS_HTTP_DONE && !call->is_mail)
		res->error = "";
}

static void finish(struct ops_http_call *call, const struct ops_http_response *given)
{
	struct ops_http_response res = *given;

	res.body = ops_strbuf_text(&call->response);
	res.len = call->response.len;
	res.duration_ms = (ops_mono_ns() - call->begin_ns) / 1000000;
	unlink_call(call);
	ops_metric_add(&calls_total, 1, outcome_names[res.outcome]);
	call->fn(call->arg, &res);
	ops_call_free(call);
}

void ops_http_call_cancel(struct ops_http_call *call)
{
	const struct ops_http_response res = {.outcome = OPS_HTTP_CANCELLED,
		.error = "cancelled",
		.content_type = "",
		.header = "",
		.retry_after_ms = -1};

	OPS_MAGIC_CHECK(call, CALL_MAGIC);
	finish(call, &res);
}

/* ---- curl multi on the loop ---- */

/* Follows a redirect: the same easy handle, changed while curl does not own it. */
static bool go_on(struct ops_http_call *call, const struct ops_http_response *res)
{
	CURLM *multi = call->client->multi;

	if (res->outcome != OPS_HTTP_DONE || call->is_mail || !ops_call_redirect(call, res->code))
		return false;
	ops_assert(curl_multi_remove_handle(multi, call->easy) == CURLM_OK);
	ops_assert(curl_multi_add_handle(multi, call->easy) == CURLM_OK);
	return true;
}

void ops_call_note_data(struct ops_http_call *call)
{
	call->has_data = call->client->has_data = true;
}

/* Hands over what arrived, outside of curl: the receiver may cancel this call or any other. */
static void deliver(struct ops_http_client *c)
{
	while (c->has_data) {
		struct ops_http_call *call = c->calls;
		while (call != NULL && !call->has_data)
			call = call->next;
		if (call == NULL) {
			c->has_data = false;
			return;
		}
		struct ops_strbuf data = call->response;
		call->response = (struct ops_strbuf)OPS_STRBUF_INIT;
		call->has_data = false;
		call->on_data(call->arg, ops_strbuf_text(&data), data.len);
		ops_strbuf_done(&data);
	}
}

static void collect(struct ops_http_client *c)
{
	int left = 0;

	deliver(c);
	for (CURLMsg *m = curl_multi_info_read(c->multi, &left); m != NULL;
		m = curl_multi_info_read(c->multi, &left)) {
		struct ops_http_call *call = NULL;
		struct ops_http_response res = {.retry_after_ms = -1};
		if (m->msg != CURLMSG_DONE)
			continue;
		ops_assert(curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK);
		OPS_MAGIC_CHECK(call, CALL_MAGIC);
		fill_response(call, m->data.result, &res);
		if (!go_on(call, &res))
			finish(call, &res);
	}
}

static void on_socket_event(int fd, unsigned what, void *arg)
{
	struct ops_http_client *c = arg;
	int running = 0, mask = 0;

	if ((what & OPS_READABLE) != 0)
		mask |= CURL_CSELECT_IN;
	if ((what & OPS_WRITABLE) != 0)
		mask |= CURL_CSELECT_OUT;
	curl_multi_socket_action(c->multi, fd, mask, &running);
	collect(c);
}

static void on_timeout(void *arg)
{
	struct ops_http_client *c = arg;
	int running = 0;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(c);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct ops_http_client *c = arg;
	struct ops_watch *watch = socket_arg;
	unsigned wanted = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		ops_watch_free(watch);
		return 0;
	}
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		wanted |= OPS_READABLE;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		wanted |= OPS_WRITABLE;
	if (watch == NULL) {
		watch = ops_watch_new(c->loop, fd, wanted, on_socket_event, c);
		curl_multi_assign(c->multi, fd, watch);
	} else {
		ops_watch_set(watch, wanted);
	}
	return 0;
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct ops_http_client *c = arg;

	(void)multi;
	if (timeout_ms < 0)
		ops_timer_stop(c->timer);
	else
		ops_timer_start(c->timer, timeout_ms);
	return 0;
}

struct ops_http_client *ops_http_client_new(
	struct ops_loop *loop, const struct ops_http_client_config *cfg)
{
	static bool initialized;
	struct ops_http_client *c = ops_xcalloc(1, sizeof(*c));
	long all = cfg->connections_in_all != 0 ? (long)cfg->connections_in_all : CONNECTIONS;
	long per_host = cfg->connections_per_host != 0 ? (long)cfg->connections_per_host
						       : CONNECTIONS_PER_HOST;

	if (!initialized)
		ops_assert(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
	initialized = true;
	c->loop = loop;
	c->multi = curl_multi_init();
	ops_assert(c->multi != NULL);
	c->timer = ops_timer_new(loop, on_timeout, c);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, all);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, per_host);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, all);
	return c;
}

void ops_http_client_stop(struct ops_http_client *c)
{
	if (c == NULL)
		return;
	c->stopped = true;
	while (c->calls != NULL) {
		/* Its end moves the list on. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		ops_http_call_cancel(c->calls);
	}
}

void ops_http_client_free(struct ops_http_client *c)
{
	if (c == NULL)
		return;
	ops_http_client_stop(c);
	curl_multi_cleanup(c->multi);
	ops_timer_free(c->timer);
	free(c);
}
