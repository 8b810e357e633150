/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Delivers one notification: builds it, sends it, and tries again with growing pauses until it is
 * accepted, refused for good, or its deadline has passed.
 */
#include "common/loop/loop.h"
#include "common/net/oauth2.h"
#include "services/alertmanager/notification.h"

struct alm_send; /* opaque */

struct alm_outcome { /* valid during the callback */
	const struct alm_notification *notification;
	bool sent;
	int code; /* of the last answer, 0 = none */
	unsigned attempts;
	int64_t duration_ms; /* of the last attempt */
	const char *error;   /* "" when sent */
};

struct alm_send_config {
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	int64_t deadline_ms; /* from now, over all attempts */
	void (*on_done)(void *arg,
		const struct alm_outcome *o); /* exactly once, never before start returns */
	void *arg;
};

/* Takes n. Frees itself after on_done. */
struct alm_send *alm_send_start(
	const struct alm_send_config *cfg, struct alm_notification *n_taken);
/* No more attempts and no on_done: at shutdown. */
void alm_send_cancel(struct alm_send *s);
