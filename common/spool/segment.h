/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One segment file of a spool: header, then records with consecutive numbers. Private to
 * common/spool. Owned by the spool; written by one process, on one thread.
 */
#include "common/base/def.h"

enum {
	OPS_SEGMENT_HEADER_BYTES = 32, /* magic, epoch, first, crc32c, zero */
	OPS_RECORD_HEADER_BYTES = 8,   /* length, crc32c */
	OPS_SEGMENT_INDEX_STEP = 64    /* the place of every 64th record is kept in memory */
};

struct ops_segment {
	char *path;
	int fd;		      /* -1: opened for a read only while it lasts */
	uint64_t first, next; /* its numbers are [first, next) */
	uint64_t bad_from;    /* a read found damage here; UINT64_MAX: none */
	uint64_t size_bytes;  /* of header and good records */
	uint32_t *index;      /* offset of record first + i * OPS_SEGMENT_INDEX_STEP */
	size_t nindex, index_cap;
};

/* What a scan of a segment's bytes found. */
struct ops_segment_scan {
	uint64_t epoch, first, next; /* the good records are [first, next) */
	uint64_t good_bytes;
	uint64_t last_seen; /* highest number of a whole record behind the damage, else next - 1 */
	uint32_t *index;
	size_t nindex, index_cap;
};

/* Pure; -EBADMSG when the header is no header. The index is the caller's to free. */
int ops_segment_scan(const void *data, size_t len, struct ops_segment_scan *ret) OPS_MUST_CHECK;

/* A new empty file, durable with its name. */
int ops_segment_create(
	const char *dir, uint64_t epoch, uint64_t first, struct ops_segment **ret) OPS_MUST_CHECK;
/* -EBADMSG when nothing in the file can be used. */
int ops_segment_load(const char *path, struct ops_segment **ret,
	struct ops_segment_scan *ret_scan) OPS_MUST_CHECK;
void ops_segment_free(struct ops_segment *g); /* closes; the file stays */

int ops_segment_open_for_append(struct ops_segment *g) OPS_MUST_CHECK;
/* The record whole or, on error, not at all. */
int ops_segment_append(struct ops_segment *g, const void *data, size_t len) OPS_MUST_CHECK;
/* Takes records back, to a position seen before. */
int ops_segment_truncate(struct ops_segment *g, uint64_t size_bytes, uint64_t next) OPS_MUST_CHECK;

struct ops_segment_reader {
	uint64_t from;
	size_t max; /* counts down */
	int (*fn)(uint64_t number, const void *data, size_t len, void *arg);
	void *arg;
};
/*
 * Records from rd->from on, which moves on; returns what fn returned if that is not 0, or -errno of
 * the disk. Bytes that went bad end the segment: bad_from is set, and that is no error here.
 */
int ops_segment_read(struct ops_segment *g, struct ops_segment_reader *rd) OPS_MUST_CHECK;
