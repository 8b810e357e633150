/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The HTTP side of a scrape: what is asked, and whether the answer can be read. */
#include "common/base/error.h"
#include "common/exposition/exposition.h"
#include "common/net/http_client.h"
#include "common/net/oauth2.h"
#include "services/collector/pull.h"
#include "services/collector/targets.h"

struct col_fetch; /* opaque: one target's way to its exposition; keeps its connection */

struct col_fetch_config {
	struct col_puller *puller;
	struct ops_http_client *client;	  /* for proxies and redirects */
	struct ops_oauth2_tokens *tokens; /* of jobs with oauth2 */
};

struct col_fetch *col_fetch_new(const struct col_fetch_config *cfg, const struct col_target *t);
void col_fetch_free(struct col_fetch *f); /* drops what is under way; NULL is fine */
/*
 * The access token for this target, NULL when its job has no oauth2. OPS_OAUTH2_WAIT: come back
 * soon and do not start; negative: there is none to be had.
 */
int col_fetch_token(struct ops_oauth2_tokens *tokens, const struct col_target *t, const char **ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* fn is called once, later. Negative errno with err: the request could not be made. */
int col_fetch_start(struct col_fetch *f, const struct col_target *t,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_error *err) OPS_MUST_CHECK;
/* Without a callback; fine when nothing is under way. */
void col_fetch_cancel(struct col_fetch *f);
/*
 * 0: the body is an exposition in *ret_format. -EINVAL: *ret_reason is the metric's label (constant
 * text) and err the message.
 */
int col_fetch_check(const struct col_target *t, const struct ops_http_response *res,
	enum ops_exposition_format *ret_format, const char **ret_reason,
	struct ops_error *err) OPS_MUST_CHECK;
