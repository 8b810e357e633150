/* SPDX-License-Identifier: Apache-2.0 */
/* One request at a time on a loop of its own: the command line may wait, the client it uses cannot
 * block. */
#include "cli/ctl.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "common/loop/loop.h"
#include "common/net/http_client.h"

static const struct {
	const char *name, *variable, *url;
} services[CTL_SERVICES] = {
	{"detector", "OPS_DETECTOR_URL", "http://127.0.0.1:9090"},
	{"collector", "OPS_COLLECTOR_URL", "http://127.0.0.1:9091"},
	{"alertmanager", "OPS_ALERTMANAGER_URL", "http://127.0.0.1:9093"},
	{"freeze", "OPS_FREEZE_URL", "http://127.0.0.1:9096"},
	{"auditlog", "OPS_AUDITLOG_URL", "http://127.0.0.1:9095"},
};

const char *ctl_service_name(enum ctl_service s)
{
	return services[s].name;
}

const char *ctl_service_url(enum ctl_service s)
{
	const char *url = getenv(services[s].variable);
	return url != NULL && url[0] != '\0' ? url : services[s].url;
}

bool ctl_id_valid(const char *id)
{
	size_t len = strlen(id);
	return len > 0 && len <= 64 &&
	       strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-") == len;
}

const char *ctl_user(void)
{
	const char *sudo = getenv("SUDO_USER");
	if (sudo != NULL && sudo[0] != '\0') {
		return sudo;
	}
	const struct passwd *pw = getpwuid(geteuid());
	return pw != NULL ? pw->pw_name : "unknown";
}

void ctl_url_add(struct ops_strbuf *url, const char *name, const char *value)
{
	if (value == NULL) {
		return;
	}
	bool first = strchr(ops_strbuf_text(url), '?') == NULL;
	ops_strbuf_printf(url, "%c%s=", first ? '?' : '&', name);
	ops_strbuf_add_url(url, value, strlen(value));
}

struct wait {
	struct ops_loop *loop;
	struct ctl_reply *reply;
};

static void on_response(void *arg, const struct ops_http_response *res)
{
	struct wait *w = arg;
	w->reply->duration_ms = res->duration_ms;
	if (res->outcome == OPS_HTTP_DONE) {
		w->reply->code = res->code;
		ops_strbuf_add(&w->reply->body, res->body, res->len);
		struct ops_error ignored; /* not every answer is JSON */
		if (ops_json_parse(res->body, res->len, (size_t)64 << 20, &w->reply->json,
			    &ignored) != 0) {
			w->reply->json = NULL;
		}
	} else {
		snprintf(w->reply->error, sizeof(w->reply->error), "%s",
			res->error != NULL ? res->error : "no answer");
	}
	ops_loop_stop(w->loop);
}

static int read_token(const struct ctl *c, char **ret_token, struct ctl_reply *reply)
{
	if (c->token_file == NULL) {
		return 0;
	}
	int rc = ops_file_read_secret(c->token_file, ret_token);
	if (rc != 0) {
		snprintf(reply->error, sizeof(reply->error), "could not read token file %s: %s",
			c->token_file, strerror(-rc));
	}
	return rc;
}

static const char *url_of(const struct ctl *c, enum ctl_service s)
{
	return c->url != NULL ? c->url : ctl_service_url(s);
}

void ctl_call(const struct ctl *c, enum ctl_service s, const char *method, const char *path,
	const json_t *body, struct ctl_reply *ret)
{
	memset(ret, 0, sizeof(*ret));
	OPS_CLEANUP(ops_freep) char *token = NULL;
	if (read_token(c, &token, ret) != 0) {
		return;
	}
	OPS_CLEANUP(ops_freep) char *url = ops_xasprintf("%s%s", url_of(c, s), path);
	OPS_CLEANUP(ops_freep) char *text = body != NULL ? ops_json_text(body) : NULL;
	/* Who asks, for doors that know nobody better; an authenticated name always wins over it.
	 */
	OPS_CLEANUP(ops_freep) char *user = ops_xasprintf("X-User: %s", ctl_user());
	const char *const headers[] = {user, "Content-Type: application/json"};
	const struct ops_http_request req = {.method = method,
		.url = url,
		.headers = headers,
		.nheaders = body != NULL ? 2 : 1,
		.body = text,
		.body_len = text != NULL ? strlen(text) : 0,
		.timeout_ms = c->timeout_ms,
		.max_response_bytes = (size_t)64 << 20,
		.gzip = true,
		.bearer = token};
	struct ops_loop *loop = ops_loop_new();
	struct ops_http_client *client =
		ops_http_client_new(loop, &(struct ops_http_client_config){0, 0});
	struct wait w = {loop, ret};
	struct ops_http_call *call = NULL;
	if (ops_http_call_start(client, &req, on_response, &w, &call) == 0) {
		ops_loop_run(loop);
	} else {
		snprintf(ret->error, sizeof(ret->error), "unusable URL %s", url);
	}
	ops_http_client_free(client);
	ops_loop_free(loop);
}

void ctl_reply_done(struct ctl_reply *r)
{
	ops_strbuf_done(&r->body);
	json_decref(r->json);
	memset(r, 0, sizeof(*r));
}

static const char *refusal_text(const struct ctl_reply *r)
{
	const char *text = ctl_text(r->json, "error");
	if (text[0] == '\0') {
		text = json_string_value(r->json); /* Alertmanager answers with a bare string */
	}
	return text != NULL && text[0] != '\0' ? text : ops_strbuf_text(&r->body);
}

/* "file:line:column: " of what a file is to blame for. */
static char *refusal_place(const struct ctl_reply *r)
{
	const char *file = ctl_text(r->json, "file");
	json_int_t line = json_integer_value(json_object_get(r->json, "line"));
	json_int_t column = json_integer_value(json_object_get(r->json, "column"));
	if (file[0] == '\0' || line == 0) {
		return file[0] == '\0' ? ops_xstrdup("") : ops_xasprintf("%s: ", file);
	}
	return ops_xasprintf("%s:%lld:%lld: ", file, (long long)line, (long long)column);
}

int ctl_request(const struct ctl *c, enum ctl_service s, const char *method, const char *path,
	const json_t *body, struct ctl_reply *ret)
{
	ctl_call(c, s, method, path, body, ret);
	if (ret->code >= 200 && ret->code < 300) {
		return 0;
	}
	if (ret->code == 0) {
		return ctl_fail(CTL_UNREACHABLE, "%s at %s does not answer: %s%s%s%s",
			ctl_service_name(s), url_of(c, s), ret->error, c->url == NULL ? "; " : "",
			c->url == NULL ? services[s].variable : "",
			c->url == NULL ? " says where else it is" : "");
	}
	if (ret->code == 401 || ret->code == 403) {
		return ctl_fail(CTL_DENIED,
			"%s does not permit this (%d): %s; --token-file names a token",
			ctl_service_name(s), ret->code, refusal_text(ret));
	}
	const char *hint = ctl_text(ret->json, "hint");
	OPS_CLEANUP(ops_freep) char *place = refusal_place(ret);
	return ctl_fail(CTL_FAILED, "%s refused (%d): %s%s%s%s%s", ctl_service_name(s), ret->code,
		place, refusal_text(ret), hint[0] != '\0' ? " (" : "", hint,
		hint[0] != '\0' ? ")" : "");
}
