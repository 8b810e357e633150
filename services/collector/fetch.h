/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The HTTP side of a scrape: what is asked, and whether the answer can be read. */
#include "common/base/error.h"
#include "common/net/http_client.h"
#include "common/exposition/exposition.h"
#include "services/collector/targets.h"

/* fn is called once, later. Negative errno with err: the request could not be made. */
int col_fetch_start(struct ops_http_client *client, const struct col_target *t,
	void (*fn)(void *arg, const struct ops_http_response *res), void *arg,
	struct ops_http_call **ret_call, struct ops_error *err) OPS_MUST_CHECK;
/*
 * 0: the body is an exposition in *ret_format. -EINVAL: *ret_reason is the metric's label (constant
 * text) and err the message.
 */
int col_fetch_check(const struct col_target *t, const struct ops_http_response *res,
	enum ops_exposition_format *ret_format, const char **ret_reason,
	struct ops_error *err) OPS_MUST_CHECK;
