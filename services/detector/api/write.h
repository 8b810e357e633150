/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The receiving end of remote write: receipt.c stores what a message says, write.c takes bodies,
 * write_later.c large ones. */
#include "common/base/arena.h"
#include "common/remote/write.h"
#include "services/detector/api/api_internal.h"

#define DET_WRITE_DECODED_MAX ((size_t)128 << 20)
#define DET_WRITE_HERE_MAX ((size_t)32 << 10) /* larger bodies are decoded by another thread */

struct det_receipt { /* of one message; does not move: sink refers to it */
	struct det_api *api;
	struct ops_arena arena; /* of one histogram */
	struct det_received *got;
	struct ops_remote_sink sink; /* stores what it gets */
};
void det_receipt_init(struct det_receipt *r, struct det_api *api, struct det_received *got);
void det_receipt_done(struct det_receipt *r, const char *door); /* counts */

void det_write_answer(
	struct ops_http_req *req, enum ops_remote_version version, const struct det_received *r);
void det_write_refuse(struct ops_http_req *req, int code, const char *message);
/* Replies when all of the body is stored. */
void det_write_later(
	struct ops_http_req *req, struct det_api *api, enum ops_remote_version version);
