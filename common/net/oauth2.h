/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Access tokens by the client credentials grant (RFC 6749, 4.4). Equal settings share a token; it
 * is asked for at first use, again before it expires as long as somebody uses it, and forgotten
 * when nobody does. Loop thread only.
 */
#include "common/net/http_options.h"

struct ops_oauth2_tokens; /* opaque */

struct ops_oauth2_tokens *ops_oauth2_tokens_new(
	struct ops_loop *loop, struct ops_http_client *client);
void ops_oauth2_tokens_free(struct ops_oauth2_tokens *t); /* NULL is fine */

/* Outcomes of ops_oauth2_tokens_get beside 0 */
enum {
	OPS_OAUTH2_WAIT = 1 /* it is being asked for the first time: come back soon */
};
/*
 * 0: *ret is the token, valid until the next turn of the loop. -EACCES: the last attempt failed,
 * err says how; the next one is under way or will be soon.
 */
int ops_oauth2_tokens_get(struct ops_oauth2_tokens *t, const struct ops_oauth2_options *settings,
	const char **ret, struct ops_error *err) OPS_MUST_CHECK;

/* ---- requests ---- */

/*
 * Applies the options to req, whose own headers come first, with a token where they ask for one.
 * Results as of ops_oauth2_tokens_get and ops_http_options_fill.
 */
int ops_http_options_apply(struct ops_oauth2_tokens *tokens, const struct ops_http_options *http,
	struct ops_http_request *req, struct ops_http_hold *hold,
	struct ops_error *err) OPS_MUST_CHECK;

struct ops_http_way { /* how a request goes out; borrowed */
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	const struct ops_http_options *http;
};
struct ops_http_done { /* as ops_http_call_start has it */
	void (*fn)(void *arg, const struct ops_http_response *res);
	void *arg;
};
/*
 * Starts req with the options applied to it. OPS_OAUTH2_WAIT: nothing is under way, there is no
 * token yet. -EACCES: there will be none; others: a secret's file, or as ops_http_call_start.
 */
int ops_http_options_start(const struct ops_http_way *way, struct ops_http_request *req,
	const struct ops_http_done *done, struct ops_http_call **ret_call,
	struct ops_error *err) OPS_MUST_CHECK;
