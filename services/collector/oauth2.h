/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Access tokens by the client credentials grant (RFC 6749, 4.4). Equal settings share a token; it
 * is asked for at first use, again before it expires as long as somebody uses it, and forgotten
 * when nobody does. Loop thread only.
 */
#include "services/collector/http_config.h"

struct col_tokens; /* opaque */

struct col_tokens *col_tokens_new(struct ops_loop *loop, struct ops_http_client *client);
void col_tokens_free(struct col_tokens *t); /* NULL is fine */

/* Outcomes of col_tokens_get beside 0 */
enum {
	COL_TOKEN_WAIT = 1 /* it is being asked for the first time: come back soon */
};
/*
 * 0: *ret is the token, valid until the next turn of the loop. -EACCES: the last attempt failed,
 * err says how; the next one is under way or will be soon.
 */
int col_tokens_get(struct col_tokens *t, const struct col_oauth2 *settings, const char **ret,
	struct ops_error *err) OPS_MUST_CHECK;
