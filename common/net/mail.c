/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One e-mail through a smarthost, by curl: EHLO, STARTTLS, AUTH by what the server offers, MAIL,
 * RCPT for each recipient, DATA. One recipient refused means the message is not sent to any, so the
 * caller can say what happened and try again without sending twice. Addresses and the EHLO name go
 * into command lines: anything that could end one is refused.
 */
#include "common/net/http_call.h"

#include <errno.h>
#include <string.h>

#include "common/base/number.h"

static size_t on_upload(char *to, size_t size, size_t n, void *arg)
{
	struct ops_http_call *call = arg;
	size_t len = OPS_MIN(size * n, call->upload.len - call->uploaded);

	if (len > 0)
		memcpy(to, call->upload.data + call->uploaded, len);
	call->uploaded += len;
	return len;
}

static bool is_address(const char *s)
{
	if (s == NULL || *s == '\0')
		return false;
	for (const char *p = s; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f || *p == '<' || *p == '>')
			return false;
	}
	return true;
}

/* "host:port" or "[v6]:port". */
static bool is_smarthost(const char *s)
{
	int64_t port = 0;

	if (!is_address(s) || strpbrk(s, "/@?#%\\") != NULL)
		return false;
	const char *colon = strrchr(s, ':');
	return colon != NULL && colon != s &&
	       ops_parse_i64(colon + 1, strlen(colon + 1), &port) == 0 && port > 0 && port < 65536;
}

static bool acceptable(const struct ops_mail *mail)
{
	if (!is_smarthost(mail->smarthost) || !is_address(mail->from) || mail->nto == 0 ||
		mail->message_len == 0)
		return false;
	for (size_t i = 0; i < mail->nto; i++) {
		if (!is_address(mail->to[i]))
			return false;
	}
	return mail->hello == NULL || *mail->hello == '\0' || is_address(mail->hello);
}

static void set_url(struct ops_http_call *call, const struct ops_mail *mail)
{
	char *hello = curl_easy_escape(call->easy, mail->hello != NULL ? mail->hello : "", 0);

	ops_assert(hello != NULL);
	OPS_CLEANUP(ops_freep)
	char *url = ops_xasprintf(
		"%s://%s/%s", mail->implicit_tls ? "smtps" : "smtp", mail->smarthost, hello);
	curl_free(hello);
	OPS_CURL(call, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	OPS_CURL(call, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
#else
	OPS_CURL(call, CURLOPT_PROTOCOLS, (long)(CURLPROTO_SMTP | CURLPROTO_SMTPS));
#endif
}

static void set_envelope(struct ops_http_call *call, const struct ops_mail *mail)
{
	OPS_CLEANUP(ops_freep) char *from = ops_xasprintf("<%s>", mail->from);

	OPS_CURL(call, CURLOPT_MAIL_FROM, from);
	for (size_t i = 0; i < mail->nto; i++) {
		OPS_CLEANUP(ops_freep) char *to = ops_xasprintf("<%s>", mail->to[i]);
		struct curl_slist *longer = curl_slist_append(call->recipients, to);
		ops_assert(longer != NULL);
		call->recipients = longer;
	}
	OPS_CURL(call, CURLOPT_MAIL_RCPT, call->recipients);
	ops_strbuf_add(&call->upload, mail->message, mail->message_len);
	OPS_CURL(call, CURLOPT_UPLOAD, 1L);
	OPS_CURL(call, CURLOPT_READFUNCTION, on_upload);
	OPS_CURL(call, CURLOPT_READDATA, call);
	OPS_CURL(call, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->upload.len);
}

int ops_mail_start(struct ops_http_client *c, const struct ops_mail *mail,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call)
{
	if (!acceptable(mail))
		return -EINVAL;
	struct ops_http_call *call = ops_call_new(c, fn, arg);
	if (call == NULL)
		return -ESHUTDOWN;
	call->is_mail = true;
	set_url(call, mail);
	set_envelope(call, mail);
	OPS_CURL(call, CURLOPT_USE_SSL,
		mail->require_tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_TRY);
	if (mail->username != NULL && *mail->username != '\0') {
		OPS_CURL(call, CURLOPT_USERNAME, mail->username);
		OPS_CURL(call, CURLOPT_PASSWORD, mail->password != NULL ? mail->password : "");
	}
	ops_call_set_tls(call, &mail->tls);
	ops_call_set_timeout(call, mail->timeout_ms);
	ops_call_start(call);
	if (ret_call != NULL)
		*ret_call = call;
	return 0;
}
