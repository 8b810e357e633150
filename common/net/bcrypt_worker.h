/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One thread that computes one bcrypt at a time, so that 50 to 500 ms of key stretching do not stop
 * the loop. Started at the first use. Internal to common/net; all functions on the loop thread.
 */
#include "common/loop/loop.h"

struct ops_bcrypt_worker; /* opaque */

/* fn runs on the loop when the check given to _start is done. */
struct ops_bcrypt_worker *ops_bcrypt_worker_new(
	struct ops_loop *loop, void (*fn)(void *arg, bool match), void *arg);
void ops_bcrypt_worker_free(struct ops_bcrypt_worker *w); /* waits for the check under way */
/* Copies both. One at a time: the caller waits for fn before the next. */
void ops_bcrypt_worker_start(struct ops_bcrypt_worker *w, const char *password, const char *hash);
