/* SPDX-License-Identifier: Apache-2.0 */
/* E-mail against a server that speaks SMTP, with STARTTLS, implicit TLS and AUTH, and keeps the
 * dialogue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/net/test_certs.h"
#include "common/net/test_fake.h"

struct smtp {
	struct fake *f;
	int fd;
	SSL *ssl;
};

static void smtp_say(struct smtp *s, const char *text)
{
	if (s->ssl != NULL)
		SSL_write(s->ssl, text, (int)strlen(text));
	else
		put(s->fd, text);
}

static bool smtp_line(struct smtp *s, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t got = s->ssl != NULL ? SSL_read(s->ssl, line + n, 1)
					     : recv(s->fd, line + n, 1, 0);
		if (got != 1)
			return false;
		if (line[n++] == '\n')
			break;
	}
	line[n] = '\0';
	note(s->f, line);
	return true;
}

static void smtp_data(struct smtp *s)
{
	char line[1024];

	smtp_say(s, "354 go on\r\n");
	while (smtp_line(s, line, sizeof(line)) && strcmp(line, ".\r\n") != 0)
		;
	smtp_say(s, strstr(s->f->arg, "reject-data") != NULL ? "554 spam\r\n" : "250 queued\r\n");
}

/* f->arg: words that change what the server does. */
static void smtp_command(struct smtp *s, const char *line)
{
	const char *how = s->f->arg;
	char answer_line[1024];

	if (strncmp(line, "EHLO", 4) == 0) {
		smtp_say(s, "250-fake\r\n");
		if (strstr(how, "starttls") != NULL && s->ssl == NULL)
			smtp_say(s, "250-STARTTLS\r\n");
		smtp_say(s, "250-AUTH PLAIN LOGIN\r\n250 SIZE 1000000\r\n");
	} else if (strncmp(line, "STARTTLS", 8) == 0) {
		smtp_say(s, "220 go\r\n");
		s->ssl = tls_accept(s->f, s->fd);
	} else if (strncmp(line, "AUTH", 4) == 0) {
		smtp_say(s, "334 \r\n");
		(void)smtp_line(s, answer_line, sizeof(answer_line));
		smtp_say(s, strstr(how, "reject-auth") != NULL ? "535 no\r\n" : "235 yes\r\n");
	} else if (strncmp(line, "RCPT TO:<no@", 12) == 0) {
		smtp_say(s, "550 unknown\r\n");
	} else if (strncmp(line, "DATA", 4) == 0) {
		smtp_data(s);
	} else if (strncmp(line, "MAIL", 4) == 0 && strstr(how, "hang") != NULL) {
		(void)poll(&(struct pollfd){.fd = s->fd, .events = POLLIN}, 1, 2000);
	} else {
		smtp_say(s, "250 ok\r\n");
	}
}

static void serve_smtp(struct fake *f, int fd)
{
	struct smtp s = {.f = f, .fd = fd};
	char line[1024];

	if (strstr(f->arg, "implicit") != NULL)
		s.ssl = tls_accept(f, fd);
	if (strstr(f->arg, "implicit") == NULL || s.ssl != NULL)
		smtp_say(&s, "220 fake ready\r\n");
	while (smtp_line(&s, line, sizeof(line)))
		smtp_command(&s, line);
	SSL_free(s.ssl);
	ERR_clear_error();
}

static struct result send_mail(
	const char *how, const char *dir, struct ops_mail *mail, struct fake *f)
{
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	fake_start(f, serve_smtp, how);
	f->dir = dir;
	fake_go(f);
	OPS_CLEANUP(ops_freep) char *host = ops_xasprintf("127.0.0.1:%u", f->port);
	mail->smarthost = host;
	assert_int_equal(ops_mail_start(c, mail, on_result, &r, &one), 0);
	ops_loop_run(r.loop);
	int64_t begin = ops_mono_ms();
	ops_http_client_free(c);
	assert_in_range(ops_mono_ms() - begin, 0, 500); /* no waiting for a good-bye */
	ops_loop_free(r.loop);
	assert_int_equal(r.calls, 1);
	return r;
}

static void test_mail(void **state)
{
	static const char *const good[] = {"a@example.org", "b@example.org"},
				 *const bad[] = {"a@example.org", "no@example.org"};
	static const char message[] = "Subject: x\r\n\r\nline\r\n.dot\r\n";
	OPS_CLEANUP(ops_freep) char *ca = ops_path_join(*state, "ca.pem");
	const struct ops_tls_client tls = {.ca_file = ca}, skip = {.insecure_skip_verify = true};
	const struct {
		const char *how;
		bool bad_recipient, auth, require_tls, implicit_tls;
		const struct ops_tls_client *tls;
		enum ops_http_outcome outcome;
		int code;
		const char *dialogue;
	} table[] = {
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250, "EHLO ops.example\r\n"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250,
			"MAIL FROM:<ops@example.org>"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250,
			"RCPT TO:<b@example.org>"},
		{"", false, false, false, false, &tls, OPS_HTTP_DONE, 250, "\r\n..dot\r\n.\r\n"},
		{"", false, true, false, false, &tls, OPS_HTTP_DONE, 250, "AUTH PLAIN"},
		{"", true, false, false, false, &tls, OPS_HTTP_DONE, 550, "no@example.org"},
		{"reject-auth", false, true, false, false, &tls, OPS_HTTP_DONE, 535, "AUTH PLAIN"},
		{"reject-data", false, false, false, false, &tls, OPS_HTTP_DONE, 554, "DATA"},
		{"", false, false, true, false, &tls, OPS_HTTP_TLS, 0,
			"EHLO"}, /* no STARTTLS offered */
		{"starttls", false, true, true, false, &skip, OPS_HTTP_DONE, 250,
			"STARTTLS\r\nEHLO ops.example\r\nAUTH PLAIN"},
		{"starttls", false, true, true, false, &tls, OPS_HTTP_TLS, 0,
			"STARTTLS"}, /* certificate for another name */
		{"implicit", false, false, true, true, &skip, OPS_HTTP_DONE, 250, "EHLO"},
		{"hang", false, false, false, false, &tls, OPS_HTTP_TIMEOUT, 0, "MAIL"},
	};

	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct fake f;
		struct ops_mail mail = {.hello = "ops.example",
			.from = "ops@example.org",
			.to = table[i].bad_recipient ? bad : good,
			.nto = 2,
			.username = table[i].auth ? "ann" : NULL,
			.password = "pw",
			.require_tls = table[i].require_tls,
			.implicit_tls = table[i].implicit_tls,
			.tls = *table[i].tls,
			.message = message,
			.message_len = sizeof(message) - 1,
			.timeout_ms = strcmp(table[i].how, "hang") == 0 ? 100 : 5000};
		struct result r = send_mail(table[i].how, *state, &mail, &f);
		if (r.outcome != table[i].outcome ||
			(table[i].code != 0 && r.code != table[i].code) ||
			!has_seen(&f, table[i].dialogue))
			fail_msg("%zu: outcome %d code %d %s\n%s", i, (int)r.outcome, r.code,
				r.error, ops_strbuf_text(&f.seen));
		if (table[i].code != 250 && table[i].bad_recipient)
			assert_false(has_seen(&f, "DATA"));
		fake_stop(&f);
	}
}

static void test_mail_refuses(void **state)
{
	static const char *const to[] = {"a@b"}, *const split[] = {"a@b>\r\nRCPT TO:<c@d"};
	const struct ops_mail good = {.smarthost = "h:25",
		.from = "a@b",
		.to = to,
		.nto = 1,
		.message = "x\r\n",
		.message_len = 3};
	struct result r = {.loop = ops_loop_new()};
	struct ops_http_client *c =
		ops_http_client_new(r.loop, &(struct ops_http_client_config){0});
	struct ops_http_call *one = NULL;

	(void)state;
	for (int i = 0; i < 9; i++) {
		struct ops_mail m = good;
		switch (i) {
		case 0:
			m.smarthost = "h";
			break;
		case 1:
			m.smarthost = "h:0";
			break;
		case 2:
			m.smarthost = "u@h:25";
			break;
		case 3:
			m.smarthost = "h/x:25";
			break;
		case 4:
			m.from = "a@b>\r\nX";
			break;
		case 5:
			m.to = split;
			break;
		case 6:
			m.nto = 0;
			break;
		case 7:
			m.message_len = 0;
			break;
		default:
			m.hello = "a b";
			break;
		}
		assert_int_equal(ops_mail_start(c, &m, on_result, &r, &one), -EINVAL);
	}
	ops_http_client_free(c);
	ops_loop_free(r.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mail),
		cmocka_unit_test(test_mail_refuses),
	};

	return cmocka_run_group_tests(tests, test_certs_make, test_certs_remove);
}
