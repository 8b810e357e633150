/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The replay request and its answer, inside an envelope. Pure functions; docs/wire-format.md has
 * the bytes. */
#include "common/bus/bus.h"

struct ops_strbuf;

enum {
	OPS_NAME_MAX_BYTES = 128, /* of a stream and of a consumer */
	OPS_REPLAY_MAX_RECORDS = 2000,
	OPS_REPLAY_MAX_BYTES = 1 << 20
};

/* 1..128 bytes of [A-Za-z0-9_.:/-]: it stands in file names and labels. */
bool ops_name_valid(const char *name, size_t len);

struct ops_replay_request {
	char consumer[OPS_NAME_MAX_BYTES + 1];
	uint64_t epoch; /* that from and acked belong to */
	uint64_t from;	/* first number wanted */
	uint64_t acked; /* not needed again up to here; 0 = may need all */
	uint32_t max_bytes, max_records;
};

void ops_replay_request_encode(const struct ops_replay_request *q, struct ops_strbuf *out);
int ops_replay_request_decode(
	const void *data, size_t len, struct ops_replay_request *ret) OPS_MUST_CHECK;

struct ops_replay_answer {
	char stream[OPS_NAME_MAX_BYTES + 1];
	uint64_t epoch;
	uint64_t first, head; /* oldest there is, last published */
	uint64_t upto; /* numbers from the request's to this one that are not here are gone */
	uint32_t count;
};

/* Head first, with count 0; then records; then finish, which fills in upto and count. */
void ops_replay_answer_begin(const struct ops_replay_answer *a, struct ops_strbuf *out);
void ops_replay_answer_add(struct ops_strbuf *out, uint64_t seq, const void *record, size_t len);
void ops_replay_answer_finish(struct ops_strbuf *out, uint64_t upto, uint32_t count);

struct ops_replay_records { /* iterator over the records of a decoded answer */
	const unsigned char *at, *end;
	uint64_t last; /* numbers must ascend */
	uint32_t left;
};
struct ops_replay_record {
	uint64_t seq;
	const char *data;
	size_t len;
};
int ops_replay_answer_decode(const void *data, size_t len, struct ops_replay_answer *ret,
	struct ops_replay_records *ret_records) OPS_MUST_CHECK;
/* 0, 1 at the end, -EBADMSG. */
int ops_replay_next(struct ops_replay_records *r, struct ops_replay_record *ret) OPS_MUST_CHECK;
