/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nng 1.5.2 asks for (docs/wire-format.md has the buffer sizes, the reasons are its issues):
 *
 * - tcp and tls+tcp only: one aborted connect kills an ipc listener for ever (#1518).
 * - RECVMAXSZ is copied into an endpoint when it is made, and its default is "no limit": set first.
 * - PUB drops the oldest of 16 by default; 2048 survive a burst. SUB drops when its buffer is full;
 * it keeps the old ones here, because a run without a hole needs one replay, not many.
 * - Receiving is by RECVFD and NONBLOCK: no receive time-outs, no cancelled aio on SUB (#1523). A
 * batch is bounded so that timers get their turn; the descriptor stays readable while something is
 * left. A timer tries once a second in any case.
 * - REQ and REP are raw sockets. Cooked REQ needs an aio that is cancelled when a time-out passes
 * while it may still be sending (#1702, #1713), re-sends by itself, and may execute twice without
 * telling; cooked REP answers one request at a time through RECVFD. Raw needs neither aio nor
 * cancel. Its send buffer is 0, so that "nobody is connected" is seen as EAGAIN and stale requests
 * do not pile up.
 * - nng_sendmsg() and nng_recvmsg() make an operation (a lock, a random number from the kernel) for
 * each message, and each try to receive that finds nothing. A socket has one of its own for all of
 * its tries, which are over when the call returns, as with those.
 * - Pipe callbacks run in nng's threads: they count and wake the loop through an eventfd, no more.
 * - A socket is closed with no receive in progress, and nng_close returns only when its callbacks
 * are over; then the eventfd goes. Where it does not return (socket_close.h) the socket is
 * abandoned, with what its callbacks use, and counted.
 *
 * A process must not have called nng before it forks; children of a test open their sockets
 * themselves.
 */
#include "common/bus/socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <nng/nng.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <nng/supplemental/tls/tls.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/counters.h"
#include "common/bus/socket_close.h"

enum {
	SEND_BUFFER_MESSAGES = 2048,
	RECEIVE_BUFFER_MESSAGES = 4096,
	REPLY_BUFFER_MESSAGES = 64,
	DRAIN_MESSAGES = 256,
	DRAIN_REQUESTS = 8, /* an answer may take a megabyte of reading */
	SAFETY_MS = 1000,
	RECONNECT_MIN_MS = 50,
	RECONNECT_MAX_MS = 1000,
	CLOSE_LIMIT_MS = 1000,
	URL_MAX = 255,
	PEM_LIMIT_BYTES = 1 << 20
};

struct ops_socket {
	struct ops_loop *loop;
	nng_socket nng;
	nng_aio *attempt;	      /* never under way between calls */
	struct ops_socket_config cfg; /* url and tls are not kept */
	bool open, closed;
	struct ops_watch *receive_watch, *pipe_watch;
	struct ops_timer *safety;
	int pipe_fd;
	/* Written by nng's threads. */
	_Atomic uint32_t pipes, pipes_lost, newest_pipe;
};

static int to_errno(int nng_code)
{
	static const struct {
		int nng, err;
	} codes[] = {{NNG_EADDRINUSE, EADDRINUSE}, {NNG_EADDRINVAL, EADDRNOTAVAIL},
		{NNG_ENOMEM, ENOMEM}, {NNG_EINVAL, EINVAL}, {NNG_EAGAIN, EAGAIN},
		{NNG_ETIMEDOUT, EAGAIN}, {NNG_ECLOSED, EPIPE}, {NNG_ENOTSUP, ENOTSUP},
		{NNG_EPERM, EPERM}, {NNG_ECRYPTO, EKEYREJECTED}, {NNG_ENOFILES, EMFILE},
		{NNG_EMSGSIZE, EMSGSIZE}};

	for (size_t i = 0; i < OPS_LENGTH(codes); i++) {
		if (codes[i].nng == nng_code)
			return -codes[i].err;
	}
	return nng_code == 0 ? 0 : -EIO;
}

bool ops_socket_url_valid(const char *url)
{
	const char *host = NULL;

	if (ops_str_starts(url, "tcp://"))
		host = url + strlen("tcp://");
	else if (ops_str_starts(url, "tls+tcp://"))
		host = url + strlen("tls+tcp://");
	if (host == NULL || strlen(url) > URL_MAX || strpbrk(host, "/?#@ \t\r\n\"\\") != NULL)
		return false;
	const char *colon = strrchr(host, ':');
	return colon != NULL && colon != host && colon[1] != '\0';
}

/* ---- receiving ---- */

static nng_msg *receive(struct ops_socket *s)
{
	nng_recv_aio(s->nng, s->attempt);
	nng_aio_wait(s->attempt);
	return nng_aio_result(s->attempt) == 0 ? nng_aio_get_msg(s->attempt) : NULL;
}

static void drain(struct ops_socket *s)
{
	int budget = s->cfg.kind == OPS_SOCKET_REP ? DRAIN_REQUESTS : DRAIN_MESSAGES;

	while (!s->closed && budget-- > 0) {
		nng_msg *msg = receive(s);
		if (msg == NULL)
			return;
		struct ops_socket_message m = {nng_msg_header(msg), nng_msg_header_len(msg),
			nng_msg_body(msg), nng_msg_len(msg)};
		s->cfg.on_message(s->cfg.arg, &m);
		nng_msg_free(msg);
	}
}

static void on_receivable(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	drain(arg);
}

static void on_safety(void *arg)
{
	struct ops_socket *s = arg;

	drain(s);
	if (!s->closed)
		ops_timer_start_beat(s->safety, SAFETY_MS);
}

/* ---- peers ---- */

/* In a thread of nng. */
static void on_nng_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
	struct ops_socket *s = arg;
	const uint64_t one = 1;

	if (event == NNG_PIPE_EV_ADD_POST) {
		atomic_store(&s->newest_pipe, (uint32_t)nng_pipe_id(pipe));
		atomic_fetch_add(&s->pipes, 1);
	} else {
		atomic_fetch_sub(&s->pipes, 1);
		atomic_fetch_add(&s->pipes_lost, 1);
	}
	ssize_t n = write(s->pipe_fd, &one, sizeof(one));
	(void)n; /* only a full counter could fail, and that is readable already */
}

static void on_pipe_event(int fd, unsigned what, void *arg)
{
	struct ops_socket *s = arg;
	uint64_t count = 0;

	(void)what;
	ssize_t n = read(fd, &count, sizeof(count));
	(void)n;
	if (s->cfg.on_pipe != NULL)
		s->cfg.on_pipe(s->cfg.arg);
}

uint32_t ops_socket_pipes(const struct ops_socket *s)
{
	return atomic_load(&s->pipes);
}

uint32_t ops_socket_pipes_lost(const struct ops_socket *s)
{
	return atomic_load(&s->pipes_lost);
}

void ops_socket_hang_up(struct ops_socket *s)
{
	nng_pipe pipe = {.id = atomic_load(&s->newest_pipe)};

	if (ops_socket_pipes(s) > 0)
		nng_pipe_close(pipe);
}

/* ---- opening ---- */

static int open_nng(struct ops_socket *s)
{
	switch (s->cfg.kind) {
	case OPS_SOCKET_PUB:
		return nng_pub0_open(&s->nng);
	case OPS_SOCKET_SUB:
		return nng_sub0_open(&s->nng);
	case OPS_SOCKET_REQ:
		return nng_req0_open_raw(&s->nng);
	case OPS_SOCKET_REP:
		return nng_rep0_open_raw(&s->nng);
	}
	return NNG_EINVAL;
}

static int set_buffers(struct ops_socket *s)
{
	int r = 0;

	switch (s->cfg.kind) {
	case OPS_SOCKET_PUB:
		return nng_socket_set_int(s->nng, NNG_OPT_SENDBUF,
			s->cfg.queue_messages != 0 ? s->cfg.queue_messages : SEND_BUFFER_MESSAGES);
	case OPS_SOCKET_SUB:
		r = nng_socket_set_int(s->nng, NNG_OPT_RECVBUF, RECEIVE_BUFFER_MESSAGES);
		if (r == 0)
			r = nng_socket_set_bool(s->nng, NNG_OPT_SUB_PREFNEW, false);
		return r != 0 ? r : nng_socket_set(s->nng, NNG_OPT_SUB_SUBSCRIBE, "", 0);
	case OPS_SOCKET_REQ:
		r = nng_socket_set_int(s->nng, NNG_OPT_SENDBUF, 0);
		return r != 0 ? r : nng_socket_set_int(s->nng, NNG_OPT_RECVBUF, 1);
	case OPS_SOCKET_REP:
		r = nng_socket_set_int(s->nng, NNG_OPT_SENDBUF, REPLY_BUFFER_MESSAGES);
		return r != 0 ? r
			      : nng_socket_set_int(s->nng, NNG_OPT_RECVBUF, REPLY_BUFFER_MESSAGES);
	}
	return NNG_EINVAL;
}

static size_t receive_limit(enum ops_socket_kind kind)
{
	const size_t slack = 64 << 10; /* topic, trailer, envelope */
	bool big = kind == OPS_SOCKET_SUB || kind == OPS_SOCKET_REQ;

	return (big ? OPS_BUS_FRAME_MAX_BYTES : OPS_BUS_REQUEST_MAX_BYTES) + slack;
}

static int set_options(struct ops_socket *s)
{
	int r = nng_socket_set_size(s->nng, NNG_OPT_RECVMAXSZ, receive_limit(s->cfg.kind));

	if (r == 0)
		r = nng_socket_set_ms(s->nng, NNG_OPT_RECONNMINT, RECONNECT_MIN_MS);
	if (r == 0)
		r = nng_socket_set_ms(s->nng, NNG_OPT_RECONNMAXT, RECONNECT_MAX_MS);
	if (r == 0)
		r = set_buffers(s);
	if (r == 0)
		r = nng_pipe_notify(s->nng, NNG_PIPE_EV_ADD_POST, on_nng_pipe, s);
	if (r == 0)
		r = nng_pipe_notify(s->nng, NNG_PIPE_EV_REM_POST, on_nng_pipe, s);
	return r;
}

static int read_pem(const char *path, struct ops_strbuf *ret, struct ops_error *err)
{
	int r = ops_file_read(path, PEM_LIMIT_BYTES, ret);

	if (r != 0)
		return ops_error_set_at(
			err, r, path, 0, 0, "could not read the TLS file: %s", strerror(-r));
	return 0;
}

static int fill_tls(
	nng_tls_config *config, const struct ops_bus_tls *tls, bool dial, struct ops_error *err)
{
	struct ops_strbuf ca = OPS_STRBUF_INIT, cert = OPS_STRBUF_INIT, key = OPS_STRBUF_INIT;
	int code = 0, r = read_pem(tls->ca_file, &ca, err);

	if (r == 0)
		r = read_pem(tls->cert_file, &cert, err);
	if (r == 0)
		r = read_pem(tls->key_file, &key, err);
	if (r == 0) {
		code = nng_tls_config_ca_chain(config, ops_strbuf_text(&ca), NULL);
		if (code == 0)
			code = nng_tls_config_own_cert(
				config, ops_strbuf_text(&cert), ops_strbuf_text(&key), NULL);
		if (code == 0)
			code = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
		if (code == 0 && dial)
			code = nng_tls_config_server_name(config, tls->server_name);
		if (code != 0)
			r = ops_error_set(err, to_errno(code),
				"could not set up TLS with %s and %s: %s", tls->ca_file,
				tls->cert_file, nng_strerror(code));
	}
	if (key.data != NULL)
		explicit_bzero(key.data, key.cap);
	ops_strbuf_done(&ca);
	ops_strbuf_done(&cert);
	ops_strbuf_done(&key);
	return r;
}

/* *ret stays NULL for plain tcp. */
static int make_tls(
	const struct ops_socket_config *cfg, nng_tls_config **ret, struct ops_error *err)
{
	const struct ops_bus_tls *tls = cfg->tls;

	if (!ops_str_starts(cfg->url, "tls+tcp://"))
		return 0;
	if (tls == NULL || tls->ca_file == NULL || tls->cert_file == NULL ||
		tls->key_file == NULL || (cfg->dial && tls->server_name == NULL))
		return ops_error_set(err, -EINVAL,
			"%s needs a TLS block with ca_file, cert_file, key_file%s", cfg->url,
			cfg->dial ? " and server_name" : "");
	int code = nng_tls_config_alloc(ret, cfg->dial ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER);
	if (code != 0)
		return ops_error_set(
			err, to_errno(code), "could not set up TLS: %s", nng_strerror(code));
	return fill_tls(*ret, tls, cfg->dial, err);
}

static int start_dialer(struct ops_socket *s, const char *url, nng_tls_config *tls)
{
	nng_dialer d = NNG_DIALER_INITIALIZER;
	int code = nng_dialer_create(&d, s->nng, url);

	if (code == 0 && tls != NULL)
		code = nng_dialer_set_ptr(d, NNG_OPT_TLS_CONFIG, tls);
	if (code == 0)
		code = nng_dialer_set_bool(d, NNG_OPT_TCP_KEEPALIVE, true);
	return code != 0 ? code : nng_dialer_start(d, NNG_FLAG_NONBLOCK);
}

static int start_listener(struct ops_socket *s, const char *url, nng_tls_config *tls)
{
	nng_listener l = NNG_LISTENER_INITIALIZER;
	int code = nng_listener_create(&l, s->nng, url);

	if (code == 0 && tls != NULL)
		code = nng_listener_set_ptr(l, NNG_OPT_TLS_CONFIG, tls);
	if (code == 0)
		code = nng_listener_set_bool(l, NNG_OPT_TCP_KEEPALIVE, true);
	return code != 0 ? code : nng_listener_start(l, 0);
}

static int start_endpoint(struct ops_socket *s, struct ops_error *err)
{
	nng_tls_config *tls = NULL;
	int r = make_tls(&s->cfg, &tls, err);

	if (r == 0) {
		int code = s->cfg.dial ? start_dialer(s, s->cfg.url, tls)
				       : start_listener(s, s->cfg.url, tls);
		r = to_errno(code);
		if (r != 0)
			ops_error_set(err, r, "could not %s %s: %s",
				s->cfg.dial ? "dial" : "listen at", s->cfg.url, nng_strerror(code));
	}
	if (tls != NULL)
		nng_tls_config_free(tls);
	return r;
}

static int watch_receive(struct ops_socket *s)
{
	int fd = -1;

	if (s->cfg.on_message == NULL)
		return 0;
	int code = nng_socket_get_int(s->nng, NNG_OPT_RECVFD, &fd);
	if (code != 0)
		return code;
	s->receive_watch = ops_watch_new(s->loop, fd, OPS_READABLE, on_receivable, s);
	s->safety = ops_timer_new(s->loop, on_safety, s);
	ops_timer_start_beat(s->safety, SAFETY_MS);
	return 0;
}

static int open_socket(struct ops_socket *s, struct ops_error *err)
{
	s->pipe_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->pipe_fd < 0)
		return ops_error_set(err, -errno, "could not make an eventfd: %s", strerror(errno));
	s->pipe_watch = ops_watch_new(s->loop, s->pipe_fd, OPS_READABLE, on_pipe_event, s);
	int code = open_nng(s);
	s->open = code == 0;
	if (code == 0)
		code = nng_aio_alloc(&s->attempt, NULL, NULL);
	if (code == 0) {
		nng_aio_set_timeout(s->attempt, NNG_DURATION_ZERO);
		code = set_options(s);
	}
	if (code == 0)
		code = watch_receive(s);
	if (code != 0)
		return ops_error_set(err, to_errno(code), "could not open a socket for %s: %s",
			s->cfg.url, nng_strerror(code));
	return start_endpoint(s, err);
}

int ops_socket_open(struct ops_loop *loop, const struct ops_socket_config *cfg,
	struct ops_socket **ret, struct ops_error *err)
{
	if (!ops_socket_url_valid(cfg->url)) {
		ops_error_set(err, -EINVAL, "bad bus address \"%s\"", cfg->url);
		ops_error_hint(err, "tcp://host:port or tls+tcp://host:port");
		return -EINVAL;
	}
	struct ops_socket *s = ops_xcalloc(1, sizeof(*s));
	s->loop = loop;
	s->cfg = *cfg;
	s->pipe_fd = -1;
	int r = open_socket(s, err);
	s->cfg.url = NULL;
	s->cfg.tls = NULL;
	if (r != 0) {
		ops_socket_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

/* At the end of the turn: the socket may be closed by whom its message is told. */
static void free_socket(void *arg)
{
	struct ops_socket *s = arg;

	nng_aio_free(s->attempt);
	free(s);
}

void ops_socket_close(struct ops_socket *s)
{
	if (s == NULL || s->closed)
		return;
	s->closed = true;
	ops_watch_free(s->receive_watch);
	ops_timer_free(s->safety);
	ops_watch_free(s->pipe_watch);
	if (s->open && !ops_nng_close_within(s->nng, CLOSE_LIMIT_MS)) {
		ops_metric_add(&ops_bus_abandoned, 1);
		return;
	}
	ops_closep(&s->pipe_fd);
	ops_loop_defer(s->loop, free_socket, s);
}

int ops_socket_send(struct ops_socket *s, const struct ops_socket_message *m)
{
	nng_msg *msg = NULL;
	int code = nng_msg_alloc(&msg, m->len);

	if (code != 0)
		return to_errno(code);
	if (m->len > 0)
		memcpy(nng_msg_body(msg), m->body, m->len);
	if (m->header_len > 0)
		code = nng_msg_header_append(msg, m->header, m->header_len);
	if (code == 0) {
		nng_aio_set_msg(s->attempt, msg);
		nng_send_aio(s->nng, s->attempt);
		nng_aio_wait(s->attempt);
		code = nng_aio_result(s->attempt);
	}
	if (code != 0)
		nng_msg_free(msg);
	return to_errno(code);
}
