/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From settings to one request. Secrets are read at each request, so that a rotated one takes
 * effect without a reload; their files are small and local.
 *
 * Which proxy serves a URL is decided here and not by the client, so that the rules are the same
 * for every client: entries of no_proxy are names (with all names below them), names that begin
 * with a dot (only what is below), addresses, networks in CIDR form, each with an optional port, or
 * "*". With no_proxy, or with the environment's settings, this machine itself is never asked
 * through a proxy.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "common/net/http_options.h"

/* ---- what a request points to ---- */

void ops_http_hold_done(struct ops_http_hold *hold)
{
	for (size_t i = 0; i < hold->n; i++) {
		explicit_bzero(hold->texts[i], strlen(hold->texts[i]));
		free(hold->texts[i]);
	}
	free(hold->texts);
	free(hold->headers);
	free(hold->proxy_headers);
	*hold = (struct ops_http_hold){.n = 0};
}

static const char *keep(struct ops_http_hold *hold, char *taken)
{
	OPS_GROW(hold->texts, hold->n, hold->cap);
	hold->texts[hold->n++] = taken;
	return taken;
}

const char *ops_http_keep(struct ops_http_hold *hold, const char *text)
{
	return keep(hold, ops_xstrdup(text));
}

static void add_header(struct ops_http_hold *hold, const char *header)
{
	OPS_GROW(hold->headers, hold->nheaders, hold->cap_headers);
	hold->headers[hold->nheaders++] = header;
}

int ops_http_secret(const char *text, const char *path, char **ret, struct ops_error *err)
{
	if (path == NULL) {
		*ret = ops_xstrdup(text);
		return 0;
	}
	int r = ops_file_read_secret(path, ret);
	return r == 0 ? 0
		      : ops_error_set(err, r, "could not read the secret file %s: %s", path,
				strerror(-r));
}

static int hold_secret(struct ops_http_hold *hold, const char *text, const char *path,
	const char **ret, struct ops_error *err)
{
	char *secret = NULL;
	int r = ops_http_secret(text, path, &secret, err);
	*ret = secret != NULL ? keep(hold, secret) : NULL;
	return r;
}

bool ops_http_options_constant(const struct ops_http_options *http)
{
	bool files = http->basic.username_file != NULL || http->basic.password_file != NULL ||
		     http->authorization.credentials_file != NULL ||
		     http->bearer_token_file != NULL;
	for (size_t i = 0; i < http->nheaders; i++) {
		files |= http->headers[i].file != NULL;
	}
	return !files && !http->has_oauth2;
}

/* ---- parts ---- */

static int fill_credentials(const struct ops_http_options *http, const char *token,
	struct ops_http_request *req, struct ops_http_hold *hold, struct ops_error *err)
{
	const struct ops_authorization_options *z = &http->authorization;
	const char *credentials = NULL;
	if (http->has_oauth2) {
		req->bearer = token;
		return 0;
	}
	if (http->has_basic) {
		const struct ops_basic_options *b = &http->basic;
		int r = hold_secret(hold, b->username, b->username_file, &req->basic_user, err);
		req->basic_user = req->basic_user != NULL ? req->basic_user : "";
		return r != 0 ? r
			      : hold_secret(hold, b->password, b->password_file,
					&req->basic_password, err);
	}
	int r = hold_secret(hold, z->credentials, z->credentials_file, &credentials, err);
	if (r != 0 || credentials == NULL) {
		return r;
	}
	if (strcmp(z->type, "Bearer") == 0) {
		req->bearer = credentials;
		return 0;
	}
	add_header(hold, keep(hold, ops_xasprintf("Authorization: %s %s", z->type, credentials)));
	return 0;
}

static int fill_headers(
	const struct ops_http_options *http, struct ops_http_hold *hold, struct ops_error *err)
{
	for (size_t i = 0; i < http->nheaders; i++) {
		const struct ops_header_option *h = &http->headers[i];
		const char *value = h->value;
		int r = h->file != NULL ? hold_secret(hold, NULL, h->file, &value, err) : 0;
		if (r != 0) {
			return r;
		}
		value = value != NULL ? value : "";
		add_header(
			hold, keep(hold, value[0] != '\0' ? ops_xasprintf("%s: %s", h->name, value)
							  : ops_xasprintf("%s:", h->name)));
	}
	return 0;
}

static void fill_proxy(const struct ops_proxy_options *proxy, struct ops_http_request *req,
	struct ops_http_hold *hold)
{
	char *url = ops_proxy_for(proxy, req->url);
	if (url == NULL) {
		return;
	}
	req->proxy_url = keep(hold, url);
	for (size_t i = 0; i < proxy->nheaders; i++) {
		const struct ops_header_option *h = &proxy->headers[i];
		OPS_GROW(hold->proxy_headers, hold->nproxy_headers, hold->cap_proxy_headers);
		hold->proxy_headers[hold->nproxy_headers++] =
			keep(hold, ops_xasprintf("%s: %s", h->name, h->value));
	}
	req->proxy_headers = hold->proxy_headers;
	req->nproxy_headers = hold->nproxy_headers;
}

int ops_http_options_fill(const struct ops_http_options *http, const char *token,
	struct ops_http_request *req, struct ops_http_hold *hold, struct ops_error *err)
{
	for (size_t i = 0; i < req->nheaders; i++) {
		add_header(hold, req->headers[i]);
	}
	int r = fill_credentials(http, token, req, hold, err);
	if (r == 0) {
		r = fill_headers(http, hold, err);
	}
	if (r != 0) {
		return r;
	}
	fill_proxy(&http->proxy, req, hold);
	req->headers = hold->headers;
	req->nheaders = hold->nheaders;
	req->no_redirects = !http->follow_redirects;
	req->tls = http->tls;
	return 0;
}

/* ---- which proxy ---- */

struct place { /* of a URL */
	char host[256];
	char port[8];
	bool https;
};

static void split_port(const char *s, size_t len, struct place *to)
{
	size_t host = len, from = 0;
	if (len > 0 && s[0] == '[') {
		const char *end = memchr(s, ']', len);
		from = 1;
		host = end != NULL ? (size_t)(end - s) : len;
	} else {
		const char *colon = memchr(s, ':', len);
		bool one = colon != NULL &&
			   memchr(colon + 1, ':', len - (size_t)(colon + 1 - s)) == NULL;
		host = one ? (size_t)(colon - s) : len;
	}
	size_t n = OPS_MIN(host - from, sizeof(to->host) - 1);
	memcpy(to->host, s + from, n);
	to->host[n] = '\0';
	size_t rest = host + (from == 1 && host < len ? 1 : 0);
	if (rest < len && s[rest] == ':') {
		n = OPS_MIN(len - rest - 1, sizeof(to->port) - 1);
		memcpy(to->port, s + rest + 1, n);
		to->port[n] = '\0';
	}
}

static struct place place_of(const char *url)
{
	struct place p = {.https = ops_str_starts(url, "https://")};
	const char *s = strstr(url, "://");
	s = s != NULL ? s + 3 : url;
	size_t len = strcspn(s, "/?#");
	const char *at = memchr(s, '@', len);
	if (at != NULL) {
		len -= (size_t)(at + 1 - s);
		s = at + 1;
	}
	split_port(s, len, &p);
	if (p.port[0] == '\0') {
		memcpy(p.port, p.https ? "443" : "80", p.https ? 4 : 3);
	}
	return p;
}

static size_t address_bytes(const char *text, unsigned char ret[16])
{
	if (inet_pton(AF_INET, text, ret) == 1) {
		return 4;
	}
	return inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

static bool in_network(const char *host, const char *address, const char *bits_text)
{
	unsigned char a[16] = {0}, b[16] = {0};
	size_t n = address_bytes(host, a);
	uint64_t bits = 0;
	if (n == 0 || address_bytes(address, b) != n ||
		ops_parse_u64(bits_text, strlen(bits_text), &bits) != 0 || bits > n * 8) {
		return false;
	}
	unsigned char mask = (unsigned char)(0xff00U >> (bits % 8));
	return memcmp(a, b, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

static bool below(const char *host, const char *domain)
{
	size_t h = strlen(host), d = strlen(domain);
	return h > d && strcasecmp(host + h - d, domain) == 0 &&
	       (domain[0] == '.' || host[h - d - 1] == '.');
}

static bool entry_matches(const char *entry, size_t len, const struct place *p)
{
	struct place e = {.https = false};
	char *bits;
	if (len == 1 && entry[0] == '*') {
		return true;
	}
	split_port(entry, len, &e);
	if (e.port[0] != '\0' && strcmp(e.port, p->port) != 0) {
		return false;
	}
	bits = strchr(e.host, '/');
	if (bits != NULL) {
		*bits = '\0';
		return in_network(p->host, e.host, bits + 1);
	}
	const char *name = ops_str_starts(e.host, "*.") ? e.host + 1 : e.host;
	return strcasecmp(name, p->host) == 0 || below(p->host, name);
}

static bool listed(const char *no_proxy, const struct place *p)
{
	for (const char *s = no_proxy; *s != '\0';) {
		s += strspn(s, ", \t");
		size_t len = strcspn(s, ", \t");
		if (len > 0 && entry_matches(s, len, p)) {
			return true;
		}
		s += len;
	}
	return false;
}

static bool is_here(const struct place *p)
{
	return strcasecmp(p->host, "localhost") == 0 || strcmp(p->host, "::1") == 0 ||
	       in_network(p->host, "127.0.0.0", "8");
}

static const char *environment(const char *upper, const char *lower)
{
	const char *value = getenv(upper);
	value = value != NULL && value[0] != '\0' ? value : getenv(lower);
	return value != NULL ? value : "";
}

char *ops_proxy_for(const struct ops_proxy_options *proxy, const char *url)
{
	const struct place p = place_of(url);
	const char *through = proxy->url != NULL ? proxy->url : "";
	const char *except = proxy->no_proxy != NULL ? proxy->no_proxy : "";
	if (proxy->from_environment) {
		through = p.https ? environment("HTTPS_PROXY", "https_proxy")
				  : environment("HTTP_PROXY", "http_proxy");
		except = environment("NO_PROXY", "no_proxy");
	}
	if (through[0] == '\0') {
		return NULL;
	}
	bool rules = proxy->from_environment || except[0] != '\0';
	if (rules && (is_here(&p) || listed(except, &p))) {
		return NULL;
	}
	return strstr(through, "://") != NULL ? ops_xstrdup(through)
					      : ops_xasprintf("http://%s", through);
}
