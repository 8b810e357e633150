/* SPDX-License-Identifier: Apache-2.0 */
/* See test_fake.h. */
#include "common/net/test_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "common/base/file.h"

static void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		f->fn(f, fd);
		close(fd);
	}
}

void fake_start(struct fake *f, void (*fn)(struct fake *f, int fd), const char *arg)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);

	memset(f, 0, sizeof(*f));
	f->fn = fn;
	f->arg = arg;
	pthread_mutex_init(&f->lock, NULL);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(f->fd, 16), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&at, &len), 0);
	f->port = ntohs(at.sin_port);
}

void fake_go(struct fake *f)
{
	assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

void fake_stop(struct fake *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
	ops_strbuf_done(&f->seen);
	pthread_mutex_destroy(&f->lock);
}

void note(struct fake *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	ops_strbuf_adds(&f->seen, text);
	pthread_mutex_unlock(&f->lock);
}

bool has_seen(struct fake *f, const char *text)
{
	pthread_mutex_lock(&f->lock);
	bool yes = strstr(ops_strbuf_text(&f->seen), text) != NULL;
	pthread_mutex_unlock(&f->lock);
	return yes;
}

void put(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		text += n;
		len -= (size_t)n;
	}
}

struct ssl_st *tls_accept(struct fake *f, int fd)
{
	OPS_CLEANUP(ops_freep) char *pem = ops_path_join(f->dir, "server.pem");
	OPS_CLEANUP(ops_freep) char *key = ops_path_join(f->dir, "server.key");
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	ops_assert(SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM) == 1);
	ops_assert(SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1);
	if (f->arg != NULL && strcmp(f->arg, "TLSv1.2 only") == 0)
		SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL *ssl = SSL_new(ctx);
	SSL_CTX_free(ctx);
	SSL_set_fd(ssl, fd);
	if (SSL_accept(ssl) == 1)
		return ssl;
	ERR_clear_error();
	SSL_free(ssl);
	return NULL;
}

void on_result(void *arg, const struct ops_http_response *res)
{
	struct result *r = arg;

	r->calls++;
	r->outcome = res->outcome;
	r->code = res->code;
	r->len = res->len;
	r->wire_bytes = res->wire_bytes;
	r->retry_after_ms = res->retry_after_ms;
	r->duration_ms = res->duration_ms;
	snprintf(r->body, sizeof(r->body), "%s", res->body);
	snprintf(r->type, sizeof(r->type), "%s", res->content_type);
	snprintf(r->error, sizeof(r->error), "%s", res->error);
	ops_loop_stop(r->loop);
}
