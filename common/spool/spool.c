/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of segments (segment.c), a lock and the drained position. There is always one active
 * segment, even an empty one, because its name and header are what remembers the next number and
 * the epoch after everything before it is gone.
 *
 * Un-synced records stand only in the active segment: rolling syncs first. So a failed sync can be
 * undone by cutting one file, and a crash can tear only one.
 *
 * Invariants: segments are ordered and do not overlap; numbers between two of them are lost
 * (damage) and are never given out again; acked < next; the active segment is the last.
 *
 * Not here: threads, readers in other processes, a compaction of single records.
 */
#include "common/spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/spool/segment.h"

static const char ack_magic[8] = "OPSACK1\n";

enum {
	ACK_FILE_BYTES = 32, /* magic, epoch, acked, crc32c, zero */
	SEGMENT_BYTES_DEFAULT = 8 << 20,
	RECORD_BYTES_DEFAULT = 4 << 20,
	SEGMENT_BYTES_LEAST = 4096
};

struct ops_spool {
	char *dir, *ack_path;
	int lock_fd;
	uint64_t segment_bytes, max_bytes;
	size_t max_record_bytes;
	struct ops_segment **segments;
	size_t nsegments, cap;
	uint64_t epoch, bytes;
	uint64_t acked, trimmed; /* numbers up to acked, and below trimmed, are not missed */
	uint64_t dropped;
	uint64_t synced_bytes, synced_next; /* of the active segment */
};

static struct ops_segment *active(const struct ops_spool *s)
{
	return s->segments[s->nsegments - 1];
}

static void add_segment(struct ops_spool *s, struct ops_segment *g)
{
	OPS_GROW(s->segments, s->nsegments, s->cap);
	s->segments[s->nsegments++] = g;
	s->bytes += g->size_bytes;
	s->synced_bytes = g->size_bytes;
	s->synced_next = g->next;
}

static int start_segment(struct ops_spool *s, uint64_t first)
{
	struct ops_segment *g = NULL;
	int r = ops_segment_create(s->dir, s->epoch, first, &g);

	if (r == 0)
		add_segment(s, g);
	return r;
}

/* Forgets the oldest segment; what stays on disk when unlink fails is found by the next open. */
static void remove_oldest(struct ops_spool *s)
{
	struct ops_segment *g = s->segments[0];

	unlink(g->path);
	s->bytes -= g->size_bytes;
	ops_segment_free(g);
	s->nsegments--;
	memmove(s->segments, s->segments + 1, s->nsegments * sizeof(s->segments[0]));
}

/* ---- opening ---- */

static int lock_dir(struct ops_spool *s)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->dir, "lock");

	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->lock_fd < 0)
		return -errno;
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
	char **items;
	size_t n, cap;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i]);
	free(names->items);
}

/* Paths of the segment files, oldest first: the names are fixed-width hex. */
static int list_segments(const char *dir, struct names *ret)
{
	const size_t prefix_len = strlen("segment.");
	uint64_t first = 0;
	DIR *d = opendir(dir);

	if (d == NULL)
		return -errno;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		if (!ops_str_starts(e->d_name, "segment.") ||
			strlen(e->d_name) != prefix_len + 16 ||
			ops_parse_hex_u64(e->d_name + prefix_len, 16, &first) != 0)
			continue;
		OPS_GROW(ret->items, ret->n, ret->cap);
		ret->items[ret->n++] = ops_path_join(dir, e->d_name);
	}
	closedir(d);
	if (ret->n > 0)
		qsort(ret->items, ret->n, sizeof(ret->items[0]), compare_names);
	return 0;
}

/* What opening carries from segment to segment. */
struct opening {
	struct ops_spool_report report;
	uint64_t next;	/* the number after the last one that was given out, as far as seen */
	uint64_t floor; /* the same for files that could not be read: not above this */
	bool rolled;	/* the last segment cannot be appended to */
};

/*
 * A file that is no segment is set aside under another name, so that a human can look at it. Its
 * name and size bound the numbers that it may have held: a record takes 8 bytes at least.
 */
static int set_aside(const char *path, struct opening *o)
{
	OPS_CLEANUP(ops_freep) char *aside = ops_xasprintf("%s.damaged", path);
	struct stat st;
	uint64_t first = 0;

	if (stat(path, &st) != 0)
		return -errno;
	if (ops_parse_hex_u64(path + strlen(path) - 16, 16, &first) == 0 && first < UINT64_MAX / 2)
		o->floor =
			OPS_MAX(o->floor, first + (uint64_t)st.st_size / OPS_RECORD_HEADER_BYTES);
	return rename(path, aside) == 0 ? 0 : -errno;
}

static int load_segment(struct ops_spool *s, const char *path, struct opening *o)
{
	struct ops_segment *g = NULL;
	struct ops_segment_scan scan = {0};
	int r = ops_segment_load(path, &g, &scan);

	if (r == 0 && s->nsegments > 0 && (scan.epoch != s->epoch || scan.first < o->next)) {
		ops_segment_free(g);
		r = -EBADMSG;
	}
	if (r == -EBADMSG)
		return set_aside(path, o);
	if (r != 0)
		return r;
	if (s->nsegments > 0)
		o->report.lost_records += scan.first - o->next;
	s->epoch = scan.epoch;
	add_segment(s, g);
	o->report.lost_records += scan.last_seen - (scan.next - 1);
	o->rolled = scan.last_seen != scan.next - 1;
	o->next = scan.last_seen + 1;
	o->floor = 0; /* numbers of files before this one are below it */
	return 0;
}

static int load_segments(struct ops_spool *s, struct opening *o)
{
	struct names names = {0};
	int r = list_segments(s->dir, &names);

	for (size_t i = 0; r == 0 && i < names.n; i++)
		r = load_segment(s, names.items[i], o);
	names_done(&names);
	return r;
}

static void encode_ack(char *ret, uint64_t epoch, uint64_t number)
{
	memcpy(ret, ack_magic, sizeof(ack_magic));
	ops_put_u64(ret + 8, epoch);
	ops_put_u64(ret + 16, number);
	ops_put_u32(ret + 24, ops_crc32c(0, ret, 24));
	ops_put_u32(ret + 28, 0);
}

static uint64_t decode_ack(const struct ops_strbuf *file, uint64_t epoch)
{
	char expected[ACK_FILE_BYTES];

	if (file->len != ACK_FILE_BYTES)
		return 0;
	uint64_t acked = ops_get_u64(file->data + 16);
	encode_ack(expected, epoch, acked);
	if (memcmp(expected, file->data, sizeof(expected)) != 0 || acked > UINT64_MAX / 2)
		return 0;
	return acked;
}

static int load_ack(struct ops_spool *s)
{
	struct ops_strbuf file = OPS_STRBUF_INIT;
	int r = ops_file_read(s->ack_path, ACK_FILE_BYTES, &file);

	/* Absent or damaged: what was drained is drained again, which every reader must bear. */
	if (r == 0)
		s->acked = decode_ack(&file, s->epoch);
	ops_strbuf_done(&file);
	return r == -ENOENT || r == -EFBIG ? 0 : r;
}

/* Cuts the torn tail, so that a later scan does not take it for damage between good records. */
static int resume_active(struct ops_spool *s, struct opening *o)
{
	struct ops_segment *g = active(s);
	int r = ops_segment_open_for_append(g);

	if (r != 0)
		return r;
	off_t end = lseek(g->fd, 0, SEEK_END);
	if (end < 0)
		return -errno;
	if ((uint64_t)end == g->size_bytes)
		return 0;
	o->report.torn_bytes = (uint64_t)end - g->size_bytes;
	r = ops_segment_truncate(g, g->size_bytes, g->next);
	return r == 0 && fdatasync(g->fd) != 0 ? -errno : r;
}

static int open_content(struct ops_spool *s, struct opening *o)
{
	o->next = 1;
	int r = load_segments(s, o);
	if (r != 0)
		return r;
	if (s->nsegments == 0) {
		s->epoch = ops_random_u64();
		return start_segment(s, 1);
	}
	r = load_ack(s);
	if (r != 0)
		return r;
	/* Drained numbers were given out, and so may those of a file set aside have been. */
	uint64_t next = OPS_MAX(OPS_MAX(s->acked + 1, o->floor), o->next);
	if (next > o->next) {
		o->report.lost_records += next - o->next;
		o->next = next;
		o->rolled = true;
	}
	return o->rolled ? start_segment(s, o->next) : resume_active(s, o);
}

static void set_limits(struct ops_spool *s, const struct ops_spool_config *cfg)
{
	s->max_bytes = cfg->max_bytes;
	s->segment_bytes = cfg->segment_bytes != 0 ? cfg->segment_bytes : SEGMENT_BYTES_DEFAULT;
	if (s->max_bytes != 0) /* dropping is by whole segments: some must be there to drop */
		s->segment_bytes = OPS_MIN(s->segment_bytes, s->max_bytes / 4);
	s->segment_bytes = OPS_MAX(s->segment_bytes, SEGMENT_BYTES_LEAST);
	s->max_record_bytes =
		cfg->max_record_bytes != 0 ? cfg->max_record_bytes : RECORD_BYTES_DEFAULT;
}

int ops_spool_open(const struct ops_spool_config *cfg, struct ops_spool **ret,
	struct ops_spool_report *ret_report, struct ops_error *err)
{
	struct ops_spool *s = ops_xcalloc(1, sizeof(*s));
	struct opening o = {0};

	s->dir = ops_xstrdup(cfg->dir);
	s->ack_path = ops_path_join(cfg->dir, "acked");
	s->lock_fd = -1;
	set_limits(s, cfg);
	int r = ops_mkdir_p(s->dir, 0700);
	if (r == 0)
		r = lock_dir(s);
	if (r == 0)
		r = open_content(s, &o);
	if (r != 0) {
		ops_error_set(err, r, "could not open the spool in %s: %s", cfg->dir, strerror(-r));
		if (r == -EBUSY)
			ops_error_hint(err, "another process uses it");
		ops_spool_close(s);
		return r;
	}
	s->dropped = o.report.lost_records;
	*ret = s;
	if (ret_report != NULL)
		*ret_report = o.report;
	return 0;
}

void ops_spool_close(struct ops_spool *s)
{
	if (s == NULL)
		return;
	if (s->nsegments > 0 && active(s)->fd >= 0) {
		int r = ops_spool_sync(s);
		(void)r; /* nobody is left who could do something about it */
	}
	for (size_t i = 0; i < s->nsegments; i++)
		ops_segment_free(s->segments[i]);
	free(s->segments);
	ops_closep(&s->lock_fd);
	free(s->ack_path);
	free(s->dir);
	free(s);
}

/* ---- writing ---- */

static int roll(struct ops_spool *s)
{
	int r = ops_spool_sync(s);

	if (r != 0)
		return r;
	struct ops_segment *old = active(s);
	r = start_segment(s, old->next);
	if (r == 0)
		ops_closep(&old->fd);
	return r;
}

static void enforce_max_bytes(struct ops_spool *s)
{
	while (s->max_bytes != 0 && s->bytes > s->max_bytes && s->nsegments > 1) {
		uint64_t end = s->segments[1]->first;
		uint64_t missed = OPS_MAX(OPS_MAX(s->acked + 1, s->trimmed), s->segments[0]->first);
		if (missed < end)
			s->dropped += end - missed;
		remove_oldest(s);
	}
}

int ops_spool_append(struct ops_spool *s, const void *data, size_t len, uint64_t *ret_number)
{
	struct ops_segment *g = active(s);

	if (len > s->max_record_bytes)
		return -EMSGSIZE;
	bool full = g->next > g->first && g->size_bytes + len > s->segment_bytes;
	if (full || g->bad_from != UINT64_MAX) {
		int r = roll(s);
		if (r != 0)
			return r;
		g = active(s);
	}
	int r = ops_segment_append(g, data, len);
	if (r != 0)
		return r;
	s->bytes += OPS_RECORD_HEADER_BYTES + len;
	enforce_max_bytes(s);
	if (ret_number != NULL)
		*ret_number = g->next - 1;
	return 0;
}

int ops_spool_sync(struct ops_spool *s)
{
	struct ops_segment *g = active(s);

	if (g->next == s->synced_next)
		return 0;
	if (fdatasync(g->fd) != 0) {
		int r = -errno;
		s->bytes -= g->size_bytes - s->synced_bytes;
		int cut = ops_segment_truncate(g, s->synced_bytes, s->synced_next);
		(void)cut; /* the next append overwrites */
		return r;
	}
	s->synced_bytes = g->size_bytes;
	s->synced_next = g->next;
	return 0;
}

/* ---- reading and trimming ---- */

uint64_t ops_spool_first(const struct ops_spool *s)
{
	return s->segments[0]->first;
}

uint64_t ops_spool_next(const struct ops_spool *s)
{
	return active(s)->next;
}

uint64_t ops_spool_bytes(const struct ops_spool *s)
{
	return s->bytes;
}

uint64_t ops_spool_dropped(const struct ops_spool *s)
{
	return s->dropped;
}

uint64_t ops_spool_epoch(const struct ops_spool *s)
{
	return s->epoch;
}

uint64_t ops_spool_acked(const struct ops_spool *s)
{
	return s->acked;
}

/* Index of the segment that holds number, or of the first one above it. */
static size_t find_segment(const struct ops_spool *s, uint64_t number)
{
	size_t low = 0, high = s->nsegments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (s->segments[mid]->next <= number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int ops_spool_read(struct ops_spool *s, uint64_t from, size_t max,
	int (*fn)(uint64_t number, const void *data, size_t len, void *arg), void *arg)
{
	struct ops_segment_reader rd = {.from = from, .max = max, .fn = fn, .arg = arg};
	int r = 0;

	for (size_t i = find_segment(s, from); r == 0 && i < s->nsegments && rd.max > 0; i++) {
		struct ops_segment *g = s->segments[i];
		uint64_t bad_before = g->bad_from;
		r = ops_segment_read(g, &rd);
		if (g->bad_from != bad_before)
			s->dropped += g->next - g->bad_from;
	}
	return r;
}

int ops_spool_trim(struct ops_spool *s, uint64_t number)
{
	if (number > ops_spool_next(s))
		return -EINVAL;
	s->trimmed = OPS_MAX(s->trimmed, number);
	while (s->nsegments > 1 && s->segments[1]->first <= number)
		remove_oldest(s);
	return 0;
}

int ops_spool_ack(struct ops_spool *s, uint64_t number)
{
	char file[ACK_FILE_BYTES];

	if (number >= ops_spool_next(s))
		return -EINVAL;
	if (number <= s->acked)
		return 0;
	int r = ops_spool_sync(s); /* an acknowledgement must not outlive its record */
	if (r != 0)
		return r;
	encode_ack(file, s->epoch, number);
	r = ops_file_write_atomic(s->ack_path, file, sizeof(file), 0600);
	if (r != 0)
		return r;
	s->acked = number;
	return ops_spool_trim(s, number + 1);
}
