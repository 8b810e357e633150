/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* TLS of the HTTP server: one context per loaded web configuration. Internal to common/net. */
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_web_tls;
struct ssl_ctx_st;

/* Reads certificate, key and CA. -EINVAL with err. tls must outlive the context. */
int ops_http_tls_new(const struct ops_web_tls *tls, struct ssl_ctx_st **ret,
	struct ops_error *err) OPS_MUST_CHECK;
