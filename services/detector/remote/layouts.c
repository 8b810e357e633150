/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file per layout, <id in hex>: magic, i64 queued until, u32 CRC32C and length of the rest, and
 * per column a field 1 with the labels as journal.c writes them (empty: no series). A file is
 * written once, under another name, then renamed; only "queued until" is written over in place, and
 * eight bytes that lie within one sector are not torn.
 *
 * Labels are copies: the store keeps its own in a compact form. Writing does not wait for the disk:
 * det_layouts_sync does, a few files a turn, and the queues are synced only when no file is left,
 * so a durable row always finds its layout.
 *
 * "Queued until" keeps a restart from queueing again what collectors send again out of their rings.
 */
#include "services/detector/remote/layouts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/proto/proto.h"
#include "services/detector/remote/journal.h"
#include "services/detector/store/group.h"

#define MAGIC "OPSLAYO1"

enum {
	AT_QUEUED = 8,
	AT_CRC = 16,
	AT_LENGTH = 20,
	HEADER_BYTES = 24,
	FILE_LIMIT = 512 << 20,
	SYNCS_PER_TURN = 4
};

struct det_layouts {
	char *dir;
	struct ops_map *by_id;
	struct det_layout **news; /* queued_ms to be written */
	size_t nnews, news_cap;
};

static void file_path(const struct det_layouts *ls, uint64_t id, char *buf, size_t size)
{
	snprintf(buf, size, "%s/%016" PRIx64, ls->dir, id);
}

static void forget_series(struct det_layout *l)
{
	for (size_t i = 0; i < l->n; i++)
		ops_labels_unref(l->series[i]);
	free(l->series);
	l->series = NULL;
	l->n = 0;
}

static void layout_free(void *layout)
{
	struct det_layout *l = layout;

	if (l == NULL)
		return;
	forget_series(l);
	free(l);
}

static struct det_layout *layout_add(struct det_layouts *ls, uint64_t id)
{
	struct det_layout *l = ops_xcalloc(1, sizeof(*l));

	l->id = id;
	l->queued_ms = l->queued_until_ms = INT64_MIN;
	l->used_ms = ops_mono_ms();
	(void)ops_map_put(ls->by_id, &l->id, sizeof(l->id), l);
	return l;
}

int det_layouts_open(const char *dir, struct det_layouts **ret, struct ops_error *err)
{
	int rc = ops_mkdir_p(dir, 0700);
	DIR *d = rc == 0 ? opendir(dir) : NULL;

	if (d == NULL)
		return ops_error_set(err, rc != 0 ? rc : -errno, "could not open %s", dir);
	struct det_layouts *ls = ops_xcalloc(1, sizeof(*ls));
	ls->dir = ops_xstrdup(dir);
	ls->by_id = ops_map_new();
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		uint64_t id = 0;
		if (strlen(e->d_name) == 16 && ops_parse_hex_u64(e->d_name, 16, &id) == 0)
			layout_add(ls, id)->synced = true;
	}
	closedir(d);
	*ret = ls;
	return 0;
}

void det_layouts_close(struct det_layouts *ls)
{
	if (ls == NULL)
		return;
	det_layouts_queued(ls);
	ops_map_free(ls->by_id, layout_free);
	free(ls->news);
	free(ls->dir);
	free(ls);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void encode(const struct det_layout *l, struct ops_strbuf *b)
{
	char header[HEADER_BYTES] = MAGIC;

	ops_strbuf_add(b, header, sizeof(header));
	for (size_t i = 0; i < l->n; i++) {
		size_t mark = ops_proto_begin(b, 1);
		det_journal_put_labels(b, l->series[i]);
		ops_proto_end(b, mark);
	}
	ops_put_u64(b->data + AT_QUEUED, (uint64_t)l->queued_ms);
	ops_put_u32(b->data + AT_LENGTH, (uint32_t)(b->len - HEADER_BYTES));
	ops_put_u32(b->data + AT_CRC, ops_crc32c(0, b->data + AT_LENGTH, b->len - AT_LENGTH));
}

static int write_file(const struct det_layouts *ls, const struct det_layout *l)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf b = OPS_STRBUF_INIT;
	OPS_CLEANUP(ops_closep) int fd = -1;
	char path[4096], temporary[4200];

	file_path(ls, l->id, path, sizeof(path));
	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	encode(l, &b);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = fd < 0 ? -errno : ops_write_all(fd, b.data, b.len);
	if (rc == 0 && rename(temporary, path) < 0)
		rc = -errno;
	return rc;
}

static int decode(struct det_layout *l, const struct ops_strbuf *b)
{
	struct ops_proto_reader r;
	struct ops_proto_field f;
	size_t n = 0;
	int rc;

	if (b->len < HEADER_BYTES || memcmp(b->data, MAGIC, 8) != 0 ||
		ops_get_u32(b->data + AT_LENGTH) != b->len - HEADER_BYTES ||
		ops_get_u32(b->data + AT_CRC) !=
			ops_crc32c(0, b->data + AT_LENGTH, b->len - AT_LENGTH))
		return -EBADMSG;
	ops_proto_read(&r, b->data + HEADER_BYTES, b->len - HEADER_BYTES);
	while ((rc = ops_proto_next(&r, &f)) > 0)
		n++;
	if (rc < 0 || n > OPS_LAYOUT_MAX_SERIES)
		return -EBADMSG;
	forget_series(l);
	l->series = ops_xcalloc(OPS_MAX(n, 1u), sizeof(struct ops_labels *));
	ops_proto_read(&r, b->data + HEADER_BYTES, b->len - HEADER_BYTES);
	while (l->n < n && ops_proto_next(&r, &f) > 0)
		l->series[l->n++] = det_journal_labels(f.data, f.len);
	l->queued_until_ms = l->queued_ms = (int64_t)ops_get_u64(b->data + AT_QUEUED);
	return 0;
}

/* From its file, once. */
static void load(const struct det_layouts *ls, struct det_layout *l)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf b = OPS_STRBUF_INIT;
	char path[4096];

	file_path(ls, l->id, path, sizeof(path));
	int rc = ops_file_read(path, FILE_LIMIT, &b);
	if (rc == 0)
		rc = decode(l, &b);
	if (rc != 0)
		log_warn("could not read the series of queued samples", F_STR("file", path),
			F_ERR(rc));
	l->known = rc == 0;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* Takes over columns that have a series by now; true when there were any. */
static bool learn(struct det_layout *l, const struct det_store_row *row)
{
	bool news = false;
	struct ops_arena arena;

	if (l->n != row->n) {
		forget_series(l);
		l->series = ops_xcalloc(OPS_MAX(row->n, 1u), sizeof(struct ops_labels *));
		l->n = row->n;
		news = true;
	}
	ops_arena_init(&arena);
	for (size_t i = 0; i < row->n; i++) {
		const struct ops_labels *from =
			l->series[i] == NULL ? det_store_row_labels(row, i, &arena) : NULL;
		if (from != NULL) {
			l->series[i] = ops_labels_from_sorted(from->items, from->n);
			news = true;
		}
	}
	ops_arena_done(&arena);
	return news;
}

struct det_layout *det_layouts_of_row(struct det_layouts *ls, const struct det_store_row *row)
{
	struct det_layout *l = ops_map_get(ls->by_id, &row->layout_id, sizeof(row->layout_id));

	if (l != NULL && !l->known)
		load(ls, l);
	if (l == NULL)
		l = layout_add(ls, row->layout_id);
	l->known = true;
	l->used_ms = ops_mono_ms();
	if (learn(l, row)) {
		int rc = write_file(ls, l);
		l->generation++;
		l->synced = false;
		if (rc != 0) {
			log_error("could not write the series of samples to be queued", F_ERR(rc));
			forget_series(l); /* the next row tries again */
			return NULL;
		}
	}
	if (row->time_ms > l->queued_ms && !l->queued) {
		OPS_GROW(ls->news, ls->nnews, ls->news_cap);
		ls->news[ls->nnews++] = l;
		l->queued = true;
	}
	l->queued_ms = OPS_MAX(l->queued_ms, row->time_ms);
	return l;
}

struct det_layout *det_layouts_get(struct det_layouts *ls, uint64_t id)
{
	struct det_layout *l = ops_map_get(ls->by_id, &id, sizeof(id));

	if (l != NULL && !l->known)
		load(ls, l);
	if (l == NULL || !l->known)
		return NULL;
	l->used_ms = ops_mono_ms();
	return l;
}

static void write_queued(const struct det_layouts *ls, struct det_layout *l)
{
	OPS_CLEANUP(ops_closep) int fd = -1;
	char path[4096], bytes[8];

	file_path(ls, l->id, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	ops_put_u64(bytes, (uint64_t)l->queued_ms);
	if (fd < 0 || pwrite(fd, bytes, sizeof(bytes), AT_QUEUED) != (ssize_t)sizeof(bytes))
		log_warn("could not note what is queued: a restart may send it twice",
			F_STR("file", path), F_ERR(-errno));
	l->queued = false;
}

void det_layouts_queued(struct det_layouts *ls)
{
	for (size_t i = 0; i < ls->nnews; i++)
		write_queued(ls, ls->news[i]);
	ls->nnews = 0;
}

static int sync_file(const struct det_layouts *ls, const struct det_layout *l)
{
	OPS_CLEANUP(ops_closep) int fd = -1;
	char path[4096];

	file_path(ls, l->id, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 || fdatasync(fd) < 0 ? -errno : 0;
}

bool det_layouts_sync(struct det_layouts *ls)
{
	struct ops_map_entry e;
	int done = 0;

	for (size_t at = 0; ops_map_next(ls->by_id, &at, &e);) {
		struct det_layout *l = e.value;
		if (l->synced || !l->known)
			continue;
		if (done++ == SYNCS_PER_TURN)
			return false;
		if (sync_file(ls, l) != 0)
			return false;
		l->synced = true;
	}
	return done == 0 || ops_dir_sync(ls->dir) == 0;
}

void det_layouts_collect(struct det_layouts *ls, int64_t before_ms)
{
	struct ops_map_entry e;
	char path[4096];

	for (size_t at = 0; ops_map_next(ls->by_id, &at, &e);) {
		struct det_layout *l = e.value;
		if (l->used_ms >= before_ms || l->queued)
			continue;
		file_path(ls, l->id, path, sizeof(path));
		(void)unlink(path);
		(void)ops_map_remove(ls->by_id, e.key, e.len);
		layout_free(l);
	}
}
