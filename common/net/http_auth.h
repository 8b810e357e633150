/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Who is calling: the Authorization field against the web configuration. Tokens are answered at
 * once, a password may need its bcrypt, which a worker thread computes one at a time. Internal to
 * common/net.
 */
#include "common/base/def.h"
#include "common/loop/loop.h"
#include "common/net/web_config.h"

struct ops_http_auth; /* opaque: cache, queue, worker; loop thread only */
struct ops_auth_job;  /* opaque: one password check under way */

struct ops_identity {
	char name[128];
	enum ops_role role;
	bool authenticated;
};

enum ops_auth_scheme {
	OPS_AUTH_NONE,
	OPS_AUTH_BASIC,
	OPS_AUTH_BEARER,
	OPS_AUTH_MALFORMED
};

struct ops_credentials { /* ops_credentials_done wipes it */
	enum ops_auth_scheme scheme;
	char *user;   /* basic */
	char *secret; /* password or token */
};

/* header may be NULL (no credentials). */
void ops_credentials_parse(const char *header, struct ops_credentials *ret);
void ops_credentials_done(struct ops_credentials *c);

/* True when the token is known; takes the same time whichever it is. */
bool ops_auth_bearer(const struct ops_web_config *w, const char *token, struct ops_identity *ret);

struct ops_http_auth *ops_http_auth_new(struct ops_loop *loop);
void ops_http_auth_free(struct ops_http_auth *a); /* jobs are dropped, their callbacks do not run */

enum ops_auth_verdict {
	OPS_AUTH_YES,
	OPS_AUTH_NO,
	OPS_AUTH_LATER,
	OPS_AUTH_BUSY
};
/* LATER: fn(arg, yes) follows on the loop, once. ret is filled before that and holds when yes. */
enum ops_auth_verdict ops_auth_password(struct ops_http_auth *a, const struct ops_web_config *w,
	const struct ops_credentials *c, struct ops_identity *ret, struct ops_auth_job **ret_job);
void ops_auth_job_notify(struct ops_auth_job *job, void (*fn)(void *arg, bool yes), void *arg);
void ops_auth_job_cancel(struct ops_auth_job *job); /* fn will not run */
/* Forgets verified passwords: after a reload. */
void ops_http_auth_forget(struct ops_http_auth *a);
