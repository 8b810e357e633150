/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deleting and copying the store: what an administrator asks for, and waits for the disk. Deleted
 * samples of the head are hidden by spans, those of blocks by the blocks' tombstones; both are in
 * their files before the answer.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "services/detector/store/state.h"

struct det_spans *det_store_spans(struct det_store *s, struct det_entry *e)
{
	struct det_spans *spans = ops_map_get(s->deleted, &e->id, sizeof(e->id));
	if (spans == NULL) {
		spans = ops_xcalloc(1, sizeof(*spans));
		(void)ops_map_put(s->deleted, &e->id, sizeof(e->id), spans);
		e->flags |= DET_ENTRY_DELETED;
	}
	return spans;
}

/* What comes later is not deleted. */
static uint64_t delete_head(
	struct det_store *s, const struct ops_matchers *matchers, const int64_t range_ms[2])
{
	struct ops_arena arena;
	ops_arena_init(&arena);
	int64_t maxt = OPS_MIN(range_ms[1], s->stats.max_ms);
	det_write_lock(s);
	struct det_ids ids = det_index_match(&s->index, matchers, &arena);
	for (size_t i = 0; i < ids.n && range_ms[0] <= maxt; i++) {
		struct det_entry *e = det_store_at(s, ids.ids[i]);
		if (s->disk != NULL) {
			det_define_series(s, e);
		}
		det_spans_add(det_store_spans(s, e), range_ms[0], maxt);
	}
	det_write_unlock(s);
	ops_arena_done(&arena);
	return ids.n;
}

int det_store_delete(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], uint64_t *ret_series, struct ops_error *err)
{
	uint64_t most = delete_head(s, matchers, range_ms), n;
	int rc = 0;
	det_background_stale(s);
	for (size_t i = 0; i < s->nblocks && rc == 0; i++) {
		const struct det_block_meta *m = det_block_meta(s->blocks[i]);
		if (m->mint_ms <= range_ms[1] && m->maxt_ms > range_ms[0]) {
			rc = det_block_delete(s->blocks[i], matchers, range_ms, &n, err);
			most = rc == 0 ? OPS_MAX(most, n) : most;
		}
	}
	if (rc == 0 && s->disk != NULL) {
		rc = det_spans_save(s);
		rc = rc == 0 ? det_disk_flush(s->disk) : rc;
		if (rc != 0) {
			(void)ops_error_set(
				err, rc, "could not write the deletion: %s", strerror(-rc));
		}
	}
	det_store_changed(s);
	if (rc == 0) {
		*ret_series = most;
	}
	return rc;
}

/* ---- snapshot ---- */

static int link_into(const char *from, const char *to, const char *name)
{
	OPS_CLEANUP(ops_freep) char *a = ops_path_join(from, name);
	OPS_CLEANUP(ops_freep) char *b = ops_path_join(to, name);
	return link(a, b) != 0 && errno != ENOENT ? -errno : 0;
}

static int copy_into(const char *from, const char *to, const char *name)
{
	OPS_CLEANUP(ops_freep) char *a = ops_path_join(from, name);
	OPS_CLEANUP(ops_freep) char *b = ops_path_join(to, name);
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf data = OPS_STRBUF_INIT;
	int rc = ops_file_read(a, (size_t)1 << 31, &data);
	return rc == 0 ? ops_file_write_atomic(b, ops_strbuf_text(&data), data.len, 0640) : rc;
}

/* All plain files of the folder. */
static int each_file(const char *from, const char *to,
	int (*fn)(const char *from, const char *to, const char *name))
{
	int rc = ops_mkdir_p(to, 0750);
	DIR *d = rc == 0 ? opendir(from) : NULL;
	if (d == NULL) {
		return rc != 0 ? rc : -errno;
	}
	for (struct dirent *e = readdir(d); e != NULL && rc == 0; e = readdir(d)) {
		if (e->d_type == DT_REG) {
			rc = fn(from, to, e->d_name);
		}
	}
	closedir(d);
	return rc == 0 ? ops_dir_sync(to) : rc;
}

static int copy_blocks(struct det_store *s, const char *to)
{
	int rc = 0;
	for (size_t i = 0; i < s->nblocks && rc == 0; i++) {
		const struct det_block_meta *m = det_block_meta(s->blocks[i]);
		OPS_CLEANUP(ops_freep) char *dir = ops_xasprintf("%s/blocks/%s", to, m->ulid);
		rc = each_file(det_block_dir(s->blocks[i]), dir, link_into);
	}
	return rc;
}

static int copy_all(struct det_store *s, const char *to)
{
	static const char *const folders[] = {"wal", "head", "series"};
	int rc = copy_blocks(s, to);
	for (size_t i = 0; i < OPS_LENGTH(folders) && rc == 0; i++) {
		OPS_CLEANUP(ops_freep) char *a = ops_path_join(s->options.dir, folders[i]);
		OPS_CLEANUP(ops_freep) char *b = ops_path_join(to, folders[i]);
		bool grows = strcmp(folders[i], "head") != 0;
		rc = each_file(a, b, grows ? copy_into : link_into);
	}
	rc = rc == 0 ? link_into(s->options.dir, to, "cut") : rc;
	return rc == 0 ? link_into(s->options.dir, to, "tombstones") : rc;
}

static bool name_good(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
	return n != 0 && n <= 128 && name[n] == '\0';
}

int det_store_snapshot(struct det_store *s, const char *name, struct ops_arena *arena,
	const char **ret_name, struct ops_error *err)
{
	if (s->disk == NULL) {
		return ops_error_set(err, -ENOTSUP, "the store is in memory only");
	}
	const char *as = name != NULL ? ops_arena_strdup(arena, name)
				      : ops_arena_printf(arena, "%lld", (long long)ops_now_ms());
	if (!name_good(as)) {
		return ops_error_set(err, -EINVAL, "'%s' is no name for a snapshot", as);
	}
	OPS_CLEANUP(ops_freep) char *to = ops_xasprintf("%s/snapshots/%s", s->options.dir, as);
	if (access(to, F_OK) == 0) {
		return ops_error_set(err, -EEXIST, "there is a snapshot '%s' already", as);
	}
	/* What is linked must not grow under the other name. */
	det_store_close_head(s);
	int rc = det_disk_flush(s->disk);
	rc = rc == 0 ? ops_mkdir_p(to, 0750) : rc;
	rc = rc == 0 ? copy_all(s, to) : rc;
	if (rc != 0) {
		return ops_error_set(err, rc, "could not make %s: %s", to, strerror(-rc));
	}
	*ret_name = as;
	return 0;
}
