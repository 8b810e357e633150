/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user of a token never waits for it: it asks, and comes back later when there is none yet. That
 * keeps a slow token server out of the timing of scrapes.
 *
 * How the client says who it is differs between servers: the standard wants HTTP basic
 * authentication, some read only the form. The form is tried when basic authentication was refused,
 * and what worked is remembered. A token without expires_in is used for DEFAULT_LIFE_MS.
 */
#include "common/net/oauth2.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/metrics/metrics.h"

enum {
	RESPONSE_MAX = 1 << 20,
	TIMEOUT_MS = 10000,
	RETRY_MS = 1000,
	RETRY_MAX_MS = 60000,
	MARGIN_MS = 10000, /* a token this close to its end is not used any more */
	DEFAULT_LIFE_MS = 300000,
	LIFE_MAX_S = 365 * 86400,
	UNUSED_MS = 900000
};

static struct ops_metric requests_total = OPS_COUNTER(
	"ops_oauth2_token_requests_total", "Access tokens asked for, by outcome.", "outcome");

struct token {
	struct ops_oauth2_tokens *owner;
	char *id; /* the settings' hash as text */
	/* copies of what a request needs; the settings live only as long as their configuration */
	struct ops_arena arena;
	struct ops_oauth2_options settings;
	char *form; /* without the client's name and secret */
	bool in_form, tried_form;
	char *text;
	int64_t expires_ms, used_ms; /* monotonic */
	unsigned failures;
	char error[300];
	struct ops_timer *timer;
	struct ops_http_call *call;
};

struct ops_oauth2_tokens {
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_map *tokens; /* id -> struct token */
};

/* ---- copies ---- */

static const char *copy(struct ops_arena *a, const char *s)
{
	return s != NULL ? ops_arena_strdup(a, s) : NULL;
}

static void copy_tls(struct ops_arena *a, struct ops_tls_client *t)
{
	const char **const texts[] = {&t->ca_file, &t->cert_file, &t->key_file, &t->server_name,
		&t->ca, &t->cert, &t->key};
	for (size_t i = 0; i < OPS_LENGTH(texts); i++) {
		*texts[i] = copy(a, *texts[i]);
	}
}

static void copy_proxy(struct ops_arena *a, struct ops_proxy_options *p)
{
	struct ops_header_option *headers =
		ops_arena_array(a, struct ops_header_option, p->nheaders);
	p->url = copy(a, p->url);
	p->no_proxy = copy(a, p->no_proxy);
	p->connect_header = NULL;
	for (size_t i = 0; i < p->nheaders; i++) {
		headers[i].name = copy(a, p->headers[i].name);
		headers[i].value = copy(a, p->headers[i].value);
	}
	p->headers = headers;
}

static void add_field(struct ops_strbuf *form, const char *name, const char *value)
{
	ops_strbuf_adds(form, form->len > 0 ? "&" : "");
	ops_strbuf_add_url(form, name, strlen(name));
	ops_strbuf_addc(form, '=');
	ops_strbuf_add_url(form, value, strlen(value));
}

static char *make_form(const struct ops_oauth2_options *s)
{
	struct ops_strbuf form = OPS_STRBUF_INIT, scopes = OPS_STRBUF_INIT;
	const struct ops_conf_node *extra = s->endpoint_params;
	add_field(&form, "grant_type", "client_credentials");
	for (size_t i = 0; i < s->scopes.n; i++) {
		ops_strbuf_printf(&scopes, "%s%s", i > 0 ? " " : "", s->scopes.items[i]);
	}
	if (scopes.len > 0) {
		add_field(&form, "scope", ops_strbuf_text(&scopes));
	}
	for (size_t i = 0; extra != NULL && i < extra->n; i++) {
		const struct ops_conf_node *value = extra->items[i];
		add_field(&form, extra->keys[i]->text, ops_conf_is_null(value) ? "" : value->text);
	}
	ops_strbuf_done(&scopes);
	return ops_strbuf_take(&form);
}

/* ---- one token ---- */

static void token_free(void *arg)
{
	struct token *t = arg;
	struct ops_http_call *call = t->call;
	ops_timer_free(t->timer);
	t->call = NULL;
	if (call != NULL) {
		ops_http_call_cancel(call);
	}
	free(t->id);
	free(t->form);
	free(t->text);
	ops_arena_done(&t->arena);
	free(t);
}

static void failed(struct token *t, const char *why)
{
	ops_metric_add(&requests_total, 1, "failed");
	snprintf(t->error, sizeof(t->error), "no access token from %.100s: %.160s",
		t->settings.token_url, why);
	ops_timer_start(t->timer, ops_backoff_ms(t->failures++, RETRY_MS, RETRY_MAX_MS));
}

static int64_t life_ms(const json_t *reply)
{
	const json_t *value = json_object_get(reply, "expires_in");
	int64_t seconds = 0;
	if (json_is_integer(value)) {
		seconds = json_integer_value(value);
	} else if (json_is_string(value)) {
		const char *text = json_string_value(value);
		if (ops_parse_i64(text, strlen(text), &seconds) != 0) {
			seconds = 0;
		}
	}
	return seconds > 0 ? OPS_MIN(seconds, (int64_t)LIFE_MAX_S) * 1000 : DEFAULT_LIFE_MS;
}

static void take_reply(struct token *t, const struct ops_http_response *res)
{
	OPS_JSON_AUTO *reply = NULL;
	struct ops_error err;
	const char *text = NULL;
	if (ops_json_parse(res->body, res->len, RESPONSE_MAX, &reply, &err) != 0) {
		failed(t, err.message);
		return;
	}
	if (ops_json_get_string(reply, "access_token", &text, &err) != 0 || text[0] == '\0' ||
		strpbrk(text, "\r\n") != NULL) {
		failed(t, "the answer has no access_token");
		return;
	}
	int64_t life = life_ms(reply), margin = OPS_MIN((int64_t)MARGIN_MS, life / 4);
	free(t->text);
	t->text = ops_xstrdup(text);
	t->expires_ms = ops_mono_ms() + life - margin;
	t->failures = 0;
	t->error[0] = '\0';
	ops_metric_add(&requests_total, 1, "ok");
	ops_timer_start(t->timer, OPS_MAX(life - 2 * margin, (int64_t)RETRY_MS));
}

static void ask(struct token *t);

static void on_reply(void *arg, const struct ops_http_response *res)
{
	struct token *t = arg;
	char why[160];
	t->call = NULL;
	if (res->outcome == OPS_HTTP_CANCELLED) {
		return;
	}
	if (res->outcome != OPS_HTTP_DONE) {
		failed(t, res->error);
	} else if (res->code / 100 == 2) {
		take_reply(t, res);
	} else if ((res->code == 400 || res->code == 401) && !t->tried_form) {
		t->in_form = !t->in_form;
		t->tried_form = true;
		ask(t);
	} else {
		snprintf(why, sizeof(why), "HTTP status %d: %.100s", res->code, res->body);
		why[strcspn(why, "\r\n")] = '\0';
		failed(t, why);
	}
}

static char *form_encoded(const char *s)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	ops_strbuf_add_url(&b, s, strlen(s));
	return ops_strbuf_take(&b);
}

static void send_request(struct token *t, const char *secret)
{
	static const char *const headers[] = {
		"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"};
	struct ops_strbuf body = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	OPS_CLEANUP(ops_freep) char *user = form_encoded(t->settings.client_id);
	OPS_CLEANUP(ops_freep) char *password = form_encoded(secret);
	const struct ops_http_options http = {
		.tls = t->settings.tls, .proxy = t->settings.proxy, .follow_redirects = false};
	struct ops_error err;
	ops_strbuf_adds(&body, t->form);
	if (t->in_form) {
		add_field(&body, "client_id", t->settings.client_id);
		add_field(&body, "client_secret", secret);
	}
	struct ops_http_request req = {.method = "POST",
		.url = t->settings.token_url,
		.headers = headers,
		.nheaders = OPS_LENGTH(headers),
		.body = ops_strbuf_text(&body),
		.body_len = body.len,
		.timeout_ms = TIMEOUT_MS,
		.max_response_bytes = RESPONSE_MAX};
	int r = ops_http_options_fill(&http, NULL, &req, &hold, &err);
	req.basic_user = t->in_form ? NULL : user;
	req.basic_password = t->in_form ? NULL : password;
	r = r != 0 ? r : ops_http_call_start(t->owner->client, &req, on_reply, t, &t->call);
	if (r != 0) {
		t->call = NULL;
		failed(t, strerror(-r));
	}
	explicit_bzero(body.data, body.len);
	ops_strbuf_done(&body);
}

static void ask(struct token *t)
{
	OPS_CLEANUP(ops_freep) char *secret = NULL;
	struct ops_error err;
	if (ops_http_secret(t->settings.client_secret, t->settings.client_secret_file, &secret,
		    &err) != 0) {
		failed(t, err.message);
		return;
	}
	send_request(t, secret != NULL ? secret : "");
}

static void on_timer(void *arg)
{
	struct token *t = arg;
	if (ops_mono_ms() - t->used_ms > UNUSED_MS) {
		ops_map_removes(t->owner->tokens, t->id);
		token_free(t);
		return;
	}
	t->tried_form = false;
	ask(t);
}

static struct token *token_new(
	struct ops_oauth2_tokens *owner, const struct ops_oauth2_options *s, const char *id)
{
	struct token *t = ops_xcalloc(1, sizeof(*t));
	struct ops_arena *a = &t->arena;
	ops_arena_init(a);
	t->owner = owner;
	t->id = ops_xstrdup(id);
	t->form = make_form(s);
	t->settings = *s;
	t->settings.client_id = copy(a, s->client_id);
	t->settings.client_secret = copy(a, s->client_secret);
	t->settings.client_secret_file = copy(a, s->client_secret_file);
	t->settings.token_url = copy(a, s->token_url);
	t->settings.scopes = (struct ops_conf_strings){NULL, 0};
	t->settings.endpoint_params = NULL;
	copy_tls(a, &t->settings.tls);
	copy_proxy(a, &t->settings.proxy);
	t->timer = ops_timer_new(owner->loop, on_timer, t);
	return t;
}

/* ---- all of them ---- */

struct ops_oauth2_tokens *ops_oauth2_tokens_new(
	struct ops_loop *loop, struct ops_http_client *client)
{
	struct ops_oauth2_tokens *t = ops_xcalloc(1, sizeof(*t));
	t->loop = loop;
	t->client = client;
	t->tokens = ops_map_new();
	ops_metric_register(&requests_total);
	return t;
}

void ops_oauth2_tokens_free(struct ops_oauth2_tokens *t)
{
	if (t != NULL) {
		ops_map_free(t->tokens, token_free);
		free(t);
	}
}

int ops_oauth2_tokens_get(struct ops_oauth2_tokens *all, const struct ops_oauth2_options *settings,
	const char **ret, struct ops_error *err)
{
	char id[24];
	int64_t now = ops_mono_ms();
	snprintf(id, sizeof(id), "%016" PRIx64, settings->hash);
	struct token *t = ops_map_gets(all->tokens, id);
	if (t == NULL) {
		t = token_new(all, settings, id);
		(void)ops_map_puts(all->tokens, id, t);
		ops_timer_start(t->timer, 0);
	}
	t->used_ms = now;
	if (t->text != NULL && now < t->expires_ms) {
		*ret = t->text;
		return 0;
	}
	return t->error[0] != '\0' ? ops_error_set(err, -EACCES, "%s", t->error) : OPS_OAUTH2_WAIT;
}

int ops_http_options_apply(struct ops_oauth2_tokens *tokens, const struct ops_http_options *http,
	struct ops_http_request *req, struct ops_http_hold *hold, struct ops_error *err)
{
	const char *token = NULL;
	int r = http->has_oauth2 ? ops_oauth2_tokens_get(tokens, &http->oauth2, &token, err) : 0;
	return r != 0 ? r : ops_http_options_fill(http, token, req, hold, err);
}

int ops_http_options_start(const struct ops_http_way *way, struct ops_http_request *req,
	const struct ops_http_done *done, struct ops_http_call **ret_call, struct ops_error *err)
{
	OPS_CLEANUP(ops_http_hold_done) struct ops_http_hold hold = {.n = 0};
	int r = ops_http_options_apply(way->tokens, way->http, req, &hold, err);
	if (r != 0) {
		return r;
	}
	r = ops_http_call_start(way->client, req, done->fn, done->arg, ret_call);
	return r == 0 ? 0 : ops_error_set(err, r, "could not start the request: %s", strerror(-r));
}
