/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment is made whole by a rename, so its header is there or the file is not; records are
 * written with one pwrite at a known place, so a failed write leaves nothing behind but bytes that
 * the next one overwrites (and that are cut off at once if the disk lets us).
 *
 * A scan stops at the first record that is not good. Whether that is a torn tail or damage in the
 * middle is told by looking for a whole record further on: its number is part of its checksum, so
 * it is ours with all but certainty. Numbers up to such a record have been given out and must not
 * be given out again, because subscribers would take the new records for old ones and skip them.
 * The search tries the next record by the damaged one's length first, then each byte, within a
 * budget, because the length of every candidate is chosen by whoever damaged the file.
 *
 * Reads go through a buffer with pread and check each record's checksum again: the disk may have
 * changed since the scan. mmap would be shorter, and turn an I/O error into SIGBUS.
 */
#include "common/spool/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"

static const char segment_magic[8] = "OPSSPL1\n";

enum {
	FILE_LIMIT_BYTES = 1 << 30,
	READ_CHUNK_BYTES = 256 << 10
};

static const uint64_t search_budget_bytes = (uint64_t)256 << 20;

static uint32_t record_crc(uint64_t number, const void *data, size_t len)
{
	unsigned char head[12];

	ops_put_u64(head, number);
	ops_put_u32(head + 8, (uint32_t)len);
	return ops_crc32c(ops_crc32c(0, head, sizeof(head)), data, len);
}

static void encode_header(unsigned char *ret, uint64_t epoch, uint64_t first)
{
	memcpy(ret, segment_magic, 8);
	ops_put_u64(ret + 8, epoch);
	ops_put_u64(ret + 16, first);
	ops_put_u32(ret + 24, ops_crc32c(0, ret, 24));
	ops_put_u32(ret + 28, 0);
}

/* Bytes of the whole record with this number at p, 0 when there is none. */
static size_t record_at(const unsigned char *p, size_t len, uint64_t number)
{
	if (len < OPS_RECORD_HEADER_BYTES)
		return 0;
	uint32_t body = ops_get_u32(p);
	if (body > len - OPS_RECORD_HEADER_BYTES ||
		record_crc(number, p + OPS_RECORD_HEADER_BYTES, body) != ops_get_u32(p + 4))
		return 0;
	return OPS_RECORD_HEADER_BYTES + body;
}

/* The number of the last record of a run that starts at p with `number`; number - 1 when there is
 * none. */
static uint64_t follow_run(const unsigned char *p, size_t len, uint64_t number)
{
	for (size_t n = record_at(p, len, number); n != 0; n = record_at(p, len, number)) {
		p += n;
		len -= n;
		number++;
	}
	return number - 1;
}

/*
 * After damage at p, where record `number` should be: the last number of a whole record further on.
 * When the length of the damaged record is right, its successor stands behind it. Otherwise the
 * next few numbers are tried at each place.
 */
static uint64_t search_behind_damage(const unsigned char *p, size_t len, uint64_t number)
{
	uint64_t budget = search_budget_bytes;
	size_t skip = len >= 4 ? (size_t)ops_get_u32(p) + OPS_RECORD_HEADER_BYTES : len;

	if (skip < len && record_at(p + skip, len - skip, number + 1) != 0)
		return follow_run(p + skip, len - skip, number + 1);
	for (size_t at = 1; at + OPS_RECORD_HEADER_BYTES <= len; at++) {
		uint32_t body = ops_get_u32(p + at);
		if (body > len - at - OPS_RECORD_HEADER_BYTES)
			continue;
		for (uint64_t n = number + 1; n < number + 4; n++) {
			if (record_at(p + at, len - at, n) != 0)
				return follow_run(p + at, len - at, n);
		}
		uint64_t cost = 3 * ((uint64_t)body + 16);
		if (cost > budget)
			break;
		budget -= cost;
	}
	return number - 1;
}

static void index_record(struct ops_segment_scan *s)
{
	if ((s->next - s->first) % OPS_SEGMENT_INDEX_STEP != 0)
		return;
	OPS_GROW(s->index, s->nindex, s->index_cap);
	s->index[s->nindex++] = (uint32_t)s->good_bytes;
}

int ops_segment_scan(const void *data, size_t len, struct ops_segment_scan *ret)
{
	const unsigned char *p = data;
	unsigned char header[OPS_SEGMENT_HEADER_BYTES];
	struct ops_segment_scan s = {.good_bytes = OPS_SEGMENT_HEADER_BYTES};

	if (len < OPS_SEGMENT_HEADER_BYTES || len > FILE_LIMIT_BYTES)
		return -EBADMSG;
	s.epoch = ops_get_u64(p + 8);
	s.first = s.next = ops_get_u64(p + 16);
	encode_header(header, s.epoch, s.first);
	if (memcmp(header, p, sizeof(header)) != 0 || s.first == 0 || s.first > UINT64_MAX / 2)
		return -EBADMSG;
	for (;;) {
		size_t n = record_at(p + s.good_bytes, len - s.good_bytes, s.next);
		if (n == 0)
			break;
		index_record(&s);
		s.good_bytes += n;
		s.next++;
	}
	s.last_seen = s.next - 1;
	if (s.good_bytes < len)
		s.last_seen = search_behind_damage(p + s.good_bytes, len - s.good_bytes, s.next);
	*ret = s;
	return 0;
}

int ops_segment_create(const char *dir, uint64_t epoch, uint64_t first, struct ops_segment **ret)
{
	unsigned char header[OPS_SEGMENT_HEADER_BYTES];
	struct ops_segment *g = ops_xcalloc(1, sizeof(*g));

	g->fd = -1;
	g->first = g->next = first;
	g->bad_from = UINT64_MAX;
	g->size_bytes = OPS_SEGMENT_HEADER_BYTES;
	g->path = ops_xasprintf("%s/segment.%016" PRIx64, dir, first);
	encode_header(header, epoch, first);
	int r = ops_file_write_atomic(g->path, header, sizeof(header), 0600);
	if (r == 0)
		r = ops_segment_open_for_append(g);
	if (r != 0) {
		ops_segment_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

int ops_segment_load(const char *path, struct ops_segment **ret, struct ops_segment_scan *ret_scan)
{
	struct ops_strbuf file = OPS_STRBUF_INIT;
	struct ops_segment_scan scan = {0};
	int r = ops_file_read(path, FILE_LIMIT_BYTES, &file);

	if (r == 0)
		r = ops_segment_scan(file.data, file.len, &scan);
	ops_strbuf_done(&file);
	if (r != 0)
		return r == -EFBIG ? -EBADMSG : r;
	struct ops_segment *g = ops_xcalloc(1, sizeof(*g));
	*g = (struct ops_segment){.path = ops_xstrdup(path),
		.fd = -1,
		.first = scan.first,
		.next = scan.next,
		.bad_from = UINT64_MAX,
		.size_bytes = scan.good_bytes,
		.index = scan.index,
		.nindex = scan.nindex,
		.index_cap = scan.index_cap};
	scan.index = NULL;
	*ret = g;
	*ret_scan = scan;
	return 0;
}

void ops_segment_free(struct ops_segment *g)
{
	if (g == NULL)
		return;
	ops_closep(&g->fd);
	free(g->index);
	free(g->path);
	free(g);
}

int ops_segment_open_for_append(struct ops_segment *g)
{
	g->fd = open(g->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return g->fd < 0 ? -errno : 0;
}

/* 0, or -errno with `done` bytes written. */
static int write_at(int fd, struct iovec *parts, int nparts, uint64_t at)
{
	while (nparts > 0) {
		ssize_t n = pwritev(fd, parts, nparts, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += (uint64_t)n;
		for (size_t left = (size_t)n; nparts > 0; parts++, nparts--) {
			size_t step = OPS_MIN(left, parts->iov_len);
			parts->iov_base = (char *)parts->iov_base + step;
			parts->iov_len -= step;
			left -= step;
			if (parts->iov_len > 0)
				break;
		}
	}
	return 0;
}

int ops_segment_append(struct ops_segment *g, const void *data, size_t len)
{
	unsigned char head[OPS_RECORD_HEADER_BYTES];
	/* writev only reads; its type cannot say so. */
	void *body = (void *)(uintptr_t)data;
	struct iovec parts[2] = {{head, sizeof(head)}, {body, len}};

	if (g->size_bytes + sizeof(head) + len > FILE_LIMIT_BYTES)
		return -EFBIG;
	ops_put_u32(head, (uint32_t)len);
	ops_put_u32(head + 4, record_crc(g->next, data, len));
	int r = write_at(g->fd, parts, len > 0 ? 2 : 1, g->size_bytes);
	if (r != 0) {
		int cut = ftruncate(g->fd, (off_t)g->size_bytes);
		(void)cut; /* what stays is overwritten, or cut when the spool is opened */
		return r;
	}
	if ((g->next - g->first) % OPS_SEGMENT_INDEX_STEP == 0) {
		OPS_GROW(g->index, g->nindex, g->index_cap);
		g->index[g->nindex++] = (uint32_t)g->size_bytes;
	}
	g->size_bytes += sizeof(head) + len;
	g->next++;
	return 0;
}

int ops_segment_truncate(struct ops_segment *g, uint64_t size_bytes, uint64_t next)
{
	size_t keep =
		(size_t)((next - g->first + OPS_SEGMENT_INDEX_STEP - 1) / OPS_SEGMENT_INDEX_STEP);

	g->size_bytes = size_bytes;
	g->next = next;
	g->nindex = OPS_MIN(g->nindex, keep);
	return ftruncate(g->fd, (off_t)size_bytes) == 0 ? 0 : -errno;
}

/* A window of the file; `at` is the file offset of data[0]. */
struct window {
	int fd;
	uint64_t at, end; /* end: no bytes from here on */
	struct ops_strbuf bytes;
};

/* Makes [offset, offset + need) available; -EBADMSG when the file is shorter. */
static int window_need(struct window *w, uint64_t offset, size_t need, const unsigned char **ret)
{
	if (offset + need > w->end)
		return -EBADMSG;
	if (offset < w->at || offset + need > w->at + w->bytes.len) {
		size_t want = (size_t)OPS_MIN(OPS_MAX(need, READ_CHUNK_BYTES), w->end - offset);
		ops_strbuf_reset(&w->bytes);
		ops_strbuf_reserve(&w->bytes, want);
		while (w->bytes.len < want) {
			ssize_t n = pread(w->fd, w->bytes.data + w->bytes.len, want - w->bytes.len,
				(off_t)(offset + w->bytes.len));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? -errno : -EBADMSG;
			w->bytes.len += (size_t)n;
		}
		w->at = offset;
	}
	*ret = (const unsigned char *)w->bytes.data + (offset - w->at);
	return 0;
}

static int read_record(struct window *w, uint64_t number, uint64_t *offset,
	const unsigned char **ret, size_t *ret_len)
{
	const unsigned char *p = NULL;
	int r = window_need(w, *offset, OPS_RECORD_HEADER_BYTES, &p);
	if (r != 0)
		return r;
	ops_assert(p != NULL);
	size_t len = ops_get_u32(p);
	r = window_need(w, *offset, OPS_RECORD_HEADER_BYTES + len, &p);
	if (r != 0)
		return r;
	if (record_at(p, OPS_RECORD_HEADER_BYTES + len, number) == 0)
		return -EBADMSG;
	*ret = p + OPS_RECORD_HEADER_BYTES;
	*ret_len = len;
	*offset += OPS_RECORD_HEADER_BYTES + len;
	return 0;
}

static int read_records(struct ops_segment *g, struct window *w, struct ops_segment_reader *rd)
{
	size_t slot = (size_t)((rd->from - g->first) / OPS_SEGMENT_INDEX_STEP);
	uint64_t number = g->first + (uint64_t)slot * OPS_SEGMENT_INDEX_STEP;
	uint64_t offset = g->index[slot];
	uint64_t end = OPS_MIN(g->next, g->bad_from);

	for (; number < end && rd->max > 0; number++) {
		const unsigned char *data = NULL;
		size_t len = 0;
		int r = read_record(w, number, &offset, &data, &len);
		if (r == -EBADMSG)
			g->bad_from = number;
		if (r != 0)
			return r == -EBADMSG ? 0 : r;
		if (number < rd->from)
			continue;
		rd->from = number + 1;
		rd->max--;
		r = rd->fn(number, data, len, rd->arg);
		if (r != 0)
			return r;
	}
	return 0;
}

int ops_segment_read(struct ops_segment *g, struct ops_segment_reader *rd)
{
	OPS_CLEANUP(ops_closep) int opened = -1;
	struct window w = {.fd = g->fd, .end = g->size_bytes, .bytes = OPS_STRBUF_INIT};

	if (rd->from < g->first)
		rd->from = g->first;
	if (rd->from >= g->next)
		return 0;
	if (w.fd < 0) {
		opened = open(g->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (opened < 0)
			return -errno;
		w.fd = opened;
	}
	int r = read_records(g, &w, rd);
	ops_strbuf_done(&w.bytes);
	return r;
}
