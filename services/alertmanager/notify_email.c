/* SPDX-License-Identifier: Apache-2.0 */
/*
 * E-mail: multipart/alternative with a plain text and an HTML part when both are configured, sent
 * by SMTP (STARTTLS required unless the file says otherwise). Headers of the file are templates;
 * To, From and Subject have defaults.
 */
#include <errno.h>
#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "services/alertmanager/mime.h"
#include "services/alertmanager/notify.h"
#include "services/alertmanager/template.h"

enum {
	RECIPIENTS_MAX = 100
};

static bool has_header(const struct alm_headers *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (strcasecmp(h->items[i].name, name) == 0)
			return true;
	}
	return false;
}

static void add_headers(struct alm_expander *x, const struct alm_email *e,
	const struct alm_notification *n, struct ops_strbuf *out)
{
	struct ops_strbuf date OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	char uuid[37];

	if (!has_header(&e->headers, "From"))
		alm_mime_header(out, "From", alm_expand(x, e->from));
	if (!has_header(&e->headers, "To"))
		alm_mime_header(out, "To", alm_expand(x, e->to));
	if (!has_header(&e->headers, "Subject"))
		alm_mime_header(out, "Subject",
			alm_expand(x, "{{ template \"email.default.subject\" . }}"));
	for (size_t i = 0; i < e->headers.n; i++)
		alm_mime_header(
			out, e->headers.items[i].name, alm_expand(x, e->headers.items[i].value));
	alm_mime_date(&date, n->at_ms);
	alm_mime_header(out, "Date", ops_strbuf_text(&date));
	ops_uuid4(uuid);
	ops_strbuf_printf(out, "Message-Id: <%s@%s>\r\n", uuid,
		e->hello != NULL && e->hello[0] != '\0' ? e->hello : "localhost");
	ops_strbuf_adds(out, "MIME-Version: 1.0\r\n");
}

static void add_body(struct alm_expander *x, const struct alm_email *e, struct ops_strbuf *out)
{
	const char *text = alm_expand(x, e->text), *html = alm_expand_html(x, e->html);
	char boundary[37];

	if (html[0] == '\0' || text[0] == '\0') {
		bool plain = html[0] == '\0';
		alm_mime_part(out, plain ? "text/plain" : "text/html", plain ? text : html,
			strlen(plain ? text : html));
		return;
	}
	ops_uuid4(boundary);
	ops_strbuf_printf(
		out, "Content-Type: multipart/alternative; boundary=\"%s\"\r\n\r\n", boundary);
	ops_strbuf_printf(out, "--%s\r\n", boundary);
	alm_mime_part(out, "text/plain", text, strlen(text));
	ops_strbuf_printf(out, "--%s\r\n", boundary);
	alm_mime_part(out, "text/html", html, strlen(html));
	ops_strbuf_printf(out, "--%s--\r\n", boundary);
}

static int read_addresses(struct alm_expander *x, const struct alm_email *e, struct ops_arena *a,
	struct ops_mail *mail, struct ops_error *err)
{
	char *to[RECIPIENTS_MAX], *from[1];
	size_t n = alm_mime_addresses(alm_expand(x, e->to), to, RECIPIENTS_MAX);
	size_t nfrom = alm_mime_addresses(alm_expand(x, e->from), from, 1);
	const char **copies = ops_arena_array(a, const char *, n + 1);

	for (size_t i = 0; i < n; i++) {
		copies[i] = ops_arena_strdup(a, to[i]);
		free(to[i]);
	}
	mail->to = copies;
	mail->nto = n;
	if (nfrom > 0) {
		mail->from = ops_arena_strdup(a, from[0]);
		free(from[0]);
	}
	if (n == 0 || nfrom == 0)
		return ops_error_set(
			err, -EINVAL, "email: \"%s\" holds no address", n == 0 ? e->to : e->from);
	return 0;
}

int alm_build_email(const struct alm_notification *n, struct ops_arena *a, struct alm_outgoing *ret,
	struct ops_error *err)
{
	const struct alm_email *e = &n->integration->u.email;
	struct ops_strbuf message OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct alm_expander x;
	const char *password = NULL;

	*ret = (struct alm_outgoing){.is_mail = true};
	int rc = alm_secret(a, e->auth_password, e->auth_password_file, &password, err);
	if (rc != 0)
		return rc;
	alm_expander_init(&x, a, n->cfg->tmpl, n);
	add_headers(&x, e, n, &message);
	add_body(&x, e, &message);
	rc = x.failed ? 0 : read_addresses(&x, e, a, &ret->mail, err);
	if (x.failed) {
		*err = x.err;
		return -EINVAL;
	}
	if (rc != 0)
		return rc;
	ret->mail.smarthost = e->smarthost;
	ret->mail.hello = e->hello;
	ret->mail.username =
		e->auth_username != NULL && e->auth_username[0] != '\0' ? e->auth_username : NULL;
	ret->mail.password = ret->mail.username != NULL ? password : NULL;
	ret->mail.require_tls = e->require_tls && !e->implicit_tls;
	ret->mail.implicit_tls = e->implicit_tls;
	ret->mail.tls = e->tls;
	ret->mail.message = ops_arena_dup(a, ops_strbuf_text(&message), message.len + 1);
	ret->mail.message_len = message.len;
	return 0;
}
