/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One job at a time: a block is cut from the head, blocks are compacted, or one with deleted
 * samples is written again. The thread opens the new block, too; the loop only swaps lists, so a
 * query sees the head's samples or the block's, or for a moment in a crash both, which is the same.
 *
 * A deletion while a job runs makes its result stale: it is thrown away and the job begins again
 * later. The cut's end is kept in a file, written after the block is in place.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/number.h"
#include "services/detector/store/cut.h"
#include "services/detector/store/state.h"

#define RETRY_MS 60000

struct det_job_work {
	struct det_store *s;
	struct det_read read;
	pthread_t thread;
	struct det_cut *cut; /* NULL: compaction */
	int64_t maxt_ms;
	struct det_block **sources; /* referenced */
	size_t nsources;
	char *blocks_dir;
	struct det_block *made; /* NULL: nothing is left */
	struct ops_error err;
	int rc;
	bool stale;
	int done, stop; /* atomic */
};

/* ---- on the thread ---- */

static bool go_on(void *arg, double done)
{
	const struct det_job_work *j = arg;
	(void)done;
	return __atomic_load_n(&j->stop, __ATOMIC_RELAXED) == 0;
}

static void *work(void *arg)
{
	struct det_job_work *j = arg;
	struct det_block_meta meta;
	j->rc = j->cut != NULL ? det_cut_write(j->cut, j->blocks_dir, &meta, &j->err)
			       : det_blocks_compact(j->blocks_dir, j->sources, j->nsources, go_on,
					 j, &meta, &j->err);
	if (j->rc == 0) {
		OPS_CLEANUP(ops_freep) char *dir = ops_path_join(j->blocks_dir, meta.ulid);
		j->rc = det_block_open(dir, &j->made, &j->err);
	}
	__atomic_store_n(&j->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* ---- on the loop ---- */

static void unref_block(void *p)
{
	det_block_unref(p);
}

static int compare_blocks(const void *a, const void *b)
{
	const struct det_block_meta *x = det_block_meta(*(struct det_block *const *)a);
	const struct det_block_meta *y = det_block_meta(*(struct det_block *const *)b);
	return (x->mint_ms > y->mint_ms) - (x->mint_ms < y->mint_ms);
}

void det_store_add_block(struct det_store *s, struct det_block *b)
{
	OPS_GROW(s->blocks, s->nblocks, s->blocks_cap);
	s->blocks[s->nblocks++] = b;
	qsort(s->blocks, s->nblocks, sizeof(s->blocks[0]), compare_blocks);
	det_store_changed(s);
}

/* Out of the list and, when nobody reads it any more, off the disk. */
static void take_block(struct det_store *s, const struct det_block *b)
{
	for (size_t i = 0; i < s->nblocks; i++) {
		if (s->blocks[i] == b) {
			det_block_remove(s->blocks[i]);
			det_store_grave(s, unref_block, s->blocks[i]);
			s->nblocks--;
			memmove(s->blocks + i, s->blocks + i + 1,
				(s->nblocks - i) * sizeof(s->blocks[0]));
			det_store_changed(s);
			return;
		}
	}
}

/* The time in decimal and the CRC32C of that in hex: a wrong time would hide what is in no block.
 */
static void save_cut(struct det_store *s)
{
	char text[48];
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, "cut");
	int len = snprintf(text, sizeof(text), "%lld", (long long)s->head_ms);
	uint32_t crc = ops_crc32c(0, text, (size_t)len);
	snprintf(text + len, sizeof(text) - (size_t)len, " %08x\n", crc);
	/* Without it the next start finds samples in block and head, and merges them. */
	s->failures += ops_file_write_atomic(path, text, strlen(text), 0640) != 0;
}

void det_store_load_cut(struct det_store *s)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, "cut");
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	uint64_t ms, crc;
	int rc = ops_file_read(path, 64, &text);
	if (rc == -ENOENT) {
		return;
	}
	size_t len = rc == 0 ? strcspn(ops_strbuf_text(&text), " ") : 0;
	if (rc == 0 && text.len == len + 10 && text.data[len + 9] == '\n' &&
		ops_parse_hex_u64(text.data + len + 1, 8, &crc) == 0 &&
		crc == ops_crc32c(0, text.data, len) && ops_parse_u64(text.data, len, &ms) == 0 &&
		ms < INT64_MAX / 2) {
		s->head_ms = (int64_t)ms;
	} else { /* what is in a block and in the head is merged */
		s->recovery.lost_records++;
	}
}

static void job_free(struct det_job_work *j)
{
	det_cut_free(j->cut);
	for (size_t i = 0; i < j->nsources; i++) {
		det_block_unref(j->sources[i]);
	}
	free(j->sources);
	free(j->blocks_dir);
	free(j);
}

static void take_cut(struct det_store *s, struct det_job_work *j)
{
	det_write_lock(s);
	if (j->made != NULL) {
		det_store_add_block(s, j->made);
	}
	s->head_ms = j->maxt_ms;
	det_store_changed(s);
	det_write_unlock(s);
	s->cut_since = det_readers_now(s);
	save_cut(s);
	s->cuts++;
}

static void take_compaction(struct det_store *s, struct det_job_work *j)
{
	det_write_lock(s);
	if (j->made != NULL) {
		det_store_add_block(s, j->made);
	}
	for (size_t i = 0; i < j->nsources; i++) {
		take_block(s, j->sources[i]);
	}
	det_write_unlock(s);
	s->compactions++;
}

static void finish(struct det_store *s)
{
	struct det_job_work *j = s->job;
	pthread_join(j->thread, NULL);
	s->job = NULL;
	det_store_read_end(s, &j->read);
	if (j->rc < 0 || j->stale) {
		s->failures += j->rc < 0 && j->rc != -ECANCELED;
		s->job_after_ms = j->rc < 0 ? ops_mono_ms() + RETRY_MS : 0;
		if (j->made != NULL) {
			det_block_remove(j->made);
			det_block_unref(j->made);
		}
	} else if (j->cut != NULL) {
		take_cut(s, j);
	} else {
		take_compaction(s, j);
	}
	job_free(j);
}

static void start(struct det_store *s, struct det_job_work *j)
{
	j->s = s;
	j->blocks_dir = ops_path_join(s->options.dir, "blocks");
	det_store_read_begin(s, &j->read);
	int rc = pthread_create(&j->thread, NULL, work, j);
	if (rc != 0) {
		det_store_read_end(s, &j->read);
		job_free(j);
		s->failures++;
		s->job_after_ms = ops_mono_ms() + RETRY_MS;
		return;
	}
	s->job = j;
}

static int64_t floor_to(int64_t t, int64_t step)
{
	return t - ((t % step) + step) % step;
}

/* Oldest sample of the head that no block has. */
static int64_t oldest_ms(const struct det_store *s)
{
	int64_t oldest = INT64_MAX;
	for (const struct det_group *g = s->groups; g != NULL; g = g->next) {
		for (uint32_t i = 0; i < g->nsealed; i++) {
			if (g->sealed[i].last_ms >= s->head_ms) {
				oldest =
					OPS_MIN(oldest, OPS_MAX(g->sealed[i].first_ms, s->head_ms));
				break;
			}
		}
		for (uint32_t r = 0; r < g->nrows; r++) {
			if (g->times[r] >= s->head_ms) {
				oldest = OPS_MIN(oldest, g->times[r]);
				break;
			}
		}
	}
	return oldest;
}

/* A block is due when half of another lies behind it, and what is late cannot come any more. */
static bool cut_due(struct det_store *s, int64_t now_ms)
{
	int64_t block = s->options.block_ms, oldest = oldest_ms(s);
	if (oldest == INT64_MAX) {
		return false;
	}
	int64_t maxt = floor_to(oldest, block) + block;
	int64_t settled = OPS_MAX(block / 2, s->options.out_of_order_ms);
	/* A collector that sends its ring again is not done with that time yet. */
	bool filling = s->oldest_new_ms < maxt;
	s->oldest_new_ms = INT64_MAX;
	if (now_ms - settled < maxt || filling) {
		return false;
	}
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		if (g->nrows != 0 && g->times[0] < maxt) {
			det_store_seal(s, g);
		}
	}
	struct det_job_work *j = ops_xcalloc(1, sizeof(*j));
	j->maxt_ms = maxt;
	s->closed_ms = OPS_MAX(s->closed_ms, maxt);
	/* The read begins before segments are listed. */
	det_store_read_begin(s, &j->read);
	j->cut = det_cut_new(s, s->head_ms, maxt); /* a late sample may be the oldest */
	det_store_read_end(s, &j->read);
	if (j->cut == NULL) {
		job_free(j);
		return false;
	}
	start(s, j);
	return true;
}

static void compact(struct det_store *s, struct det_block *const *blocks, size_t n)
{
	struct det_job_work *j = ops_xcalloc(1, sizeof(*j));
	j->sources = ops_xcalloc(n, sizeof(*j->sources));
	for (size_t i = 0; i < n; i++) {
		j->sources[j->nsources++] = det_block_ref(blocks[i]);
	}
	start(s, j);
}

static bool compaction_due(struct det_store *s)
{
	struct det_block_meta *metas = ops_xcalloc(s->nblocks + 1, sizeof(*metas));
	size_t *chosen = ops_xcalloc(s->nblocks + 1, sizeof(*chosen));
	for (size_t i = 0; i < s->nblocks; i++) {
		metas[i] = *det_block_meta(s->blocks[i]);
	}
	size_t n = s->nblocks > 1
			   ? det_blocks_plan(metas, s->nblocks, s->options.retention_ms, chosen)
			   : 0;
	if (n != 0) {
		struct det_block **blocks = ops_xcalloc(n, sizeof(struct det_block *));
		for (size_t i = 0; i < n; i++) {
			blocks[i] = s->blocks[chosen[i]];
		}
		compact(s, blocks, n);
		free(blocks);
	}
	free(metas);
	free(chosen);
	return n != 0;
}

static void clean_due(struct det_store *s)
{
	for (size_t i = 0; i < s->nblocks; i++) {
		if (det_block_has_tombstones(s->blocks[i])) {
			compact(s, &s->blocks[i], 1);
			return;
		}
	}
	s->cleaning = false;
}

static void drop_blocks(struct det_store *s)
{
	uint64_t bytes = 0;
	for (size_t i = s->nblocks; i-- > 0;) {
		const struct det_block_meta *m = det_block_meta(s->blocks[i]);
		bytes += m->bytes;
		bool over = s->options.retention_bytes != 0 && bytes > s->options.retention_bytes;
		if (over || m->maxt_ms <= s->horizon_ms) {
			take_block(s, s->blocks[i]);
		}
	}
}

void det_background_maintain(struct det_store *s, int64_t now_ms)
{
	if (s->disk == NULL) {
		return;
	}
	if (s->job != NULL && __atomic_load_n(&s->job->done, __ATOMIC_ACQUIRE) != 0) {
		finish(s);
	}
	if (s->job != NULL || ops_mono_ms() < s->job_after_ms) {
		return;
	}
	det_write_lock(s);
	drop_blocks(s);
	det_write_unlock(s);
	if (!cut_due(s, now_ms) && !compaction_due(s) && s->cleaning) {
		clean_due(s);
	}
}

bool det_store_busy(const struct det_store *s)
{
	return s->job != NULL;
}

void det_background_stop(struct det_store *s)
{
	if (s->job != NULL) {
		__atomic_store_n(&s->job->stop, 1, __ATOMIC_RELAXED);
		finish(s);
	}
}

void det_background_stale(struct det_store *s)
{
	if (s->job != NULL) {
		s->job->stale = true;
	}
}

int det_store_clean_tombstones(struct det_store *s, struct ops_error *err)
{
	if (s->disk == NULL) {
		return ops_error_set(err, -ENOTSUP, "the store is in memory only");
	}
	s->cleaning = true;
	return 0;
}
