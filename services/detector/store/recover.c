/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening: definitions, then the segments of the head files (checked whole, in place), then the log
 * for the rows that are in no segment. Nothing is written before all is read; the definitions are
 * then written anew without what is gone, the log goes on in a new file.
 *
 * Damage is left out: a record or segment whose checksum fails, a row whose chain is broken, what
 * belongs to a group whose definition is lost. Numbers of groups are never given again, not even
 * after the definition that named them was lost: they begin at the time of opening, and above all
 * that is found in any file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "services/detector/store/state.h"

static int take_lock(struct det_store *s, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, "lock");
	s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (s->lock_fd < 0) {
		return ops_error_set(err, -errno, "could not open %s: %s", path, strerror(errno));
	}
	if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		return ops_error_set(err, -EBUSY, "%s: another process uses this store", path);
	}
	return 0;
}

static int make_folders(struct det_store *s, struct ops_error *err)
{
	static const char *const folders[] = {"series", "wal", "head", "blocks"};
	for (size_t i = 0; i < OPS_LENGTH(folders); i++) {
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(s->options.dir, folders[i]);
		int rc = ops_mkdir_p(path, 0750);
		if (rc != 0) {
			return ops_error_set(err, rc, "could not make %s: %s", path, strerror(-rc));
		}
	}
	return 0;
}

struct files {
	uint64_t *numbers;
	size_t n;
};

static uint64_t last_number(const struct files *f)
{
	return f->n != 0 ? f->numbers[f->n - 1] : 0;
}

struct opening {
	struct det_store *s;
	struct files series, wal, head;
	struct ops_map *groups; /* by id */
};

static uint64_t size_of(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static int list_files(struct opening *o, struct ops_error *err)
{
	struct {
		const char *kind;
		struct files *files;
	} kinds[] = {{"series", &o->series}, {"wal", &o->wal}, {"head", &o->head}};
	for (size_t i = 0; i < OPS_LENGTH(kinds); i++) {
		struct files *f = kinds[i].files;
		int rc = det_disk_list(o->s->options.dir, kinds[i].kind, &f->numbers, &f->n);
		if (rc != 0) {
			return ops_error_set(err, rc, "could not read %s/%s: %s", o->s->options.dir,
				kinds[i].kind, strerror(-rc));
		}
		for (size_t k = 0; k < f->n; k++) {
			OPS_CLEANUP(ops_freep)
			char *path = det_disk_path(o->s->options.dir, kinds[i].kind, f->numbers[k]);
			o->s->open_all += size_of(path);
		}
	}
	return 0;
}

static void progress(struct det_store *s, uint64_t bytes)
{
	(void)__atomic_add_fetch(&s->open_done, bytes, __ATOMIC_RELAXED);
}

/* Maps the file and hands it over; one that cannot be read counts as lost. */
static void with_file(struct opening *o, const char *kind, uint64_t number,
	void (*fn)(struct opening *o, uint64_t number, const void *data, size_t len))
{
	OPS_CLEANUP(ops_freep) char *path = det_disk_path(o->s->options.dir, kind, number);
	OPS_CLEANUP(ops_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) {
		o->s->recovery.lost_records++;
		return;
	}
	if (st.st_size == 0) {
		return;
	}
	void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		o->s->recovery.lost_records++;
		return;
	}
	fn(o, number, p, (size_t)st.st_size);
	(void)munmap(p, (size_t)st.st_size);
	progress(o->s, (uint64_t)st.st_size);
}

static void load_series(struct opening *o, uint64_t number, const void *data, size_t len)
{
	(void)number;
	det_definitions_load(o->s, o->groups, data, len);
}

static void load_wal(struct opening *o, uint64_t number, const void *data, size_t len)
{
	det_wal_replay(o->s, o->groups, number, data, len);
}

/* ---- head files ---- */

/* In order of time; false when it overlaps what is there. */
static bool insert_segment(struct det_group *g, const struct det_sealed *b)
{
	uint32_t at = g->nsealed;
	while (at > 0 && g->sealed[at - 1].first_ms > b->first_ms) {
		at--;
	}
	if ((at > 0 && g->sealed[at - 1].last_ms >= b->first_ms) ||
		(at < g->nsealed && g->sealed[at].first_ms <= b->last_ms)) {
		return false;
	}
	OPS_GROW(g->sealed, g->nsealed, g->sealed_cap);
	memmove(g->sealed + at + 1, g->sealed + at, (g->nsealed - at) * sizeof(*b));
	g->sealed[at] = *b;
	g->nsealed++;
	g->bytes += sizeof(*b);
	g->last_ms = OPS_MAX(g->last_ms, b->last_ms);
	return true;
}

static void take_segment(struct opening *o, struct det_head_file *f, const uint8_t *data,
	const struct det_segment *seg)
{
	struct det_store *s = o->s;
	struct det_group *g = ops_map_get(o->groups, &seg->group, sizeof(seg->group));
	s->next_group = OPS_MAX(s->next_group, seg->group);
	if (seg->last_ms < s->head_ms) {
		return; /* in a block */
	}
	if (g == NULL || g->ncolumns != seg->ncolumns || seg->nrows == 0) {
		s->recovery.lost_segments++;
		return;
	}
	const struct det_sealed b = {.data = data,
		.serial = ++s->serial,
		.first_ms = seg->first_ms,
		.last_ms = seg->last_ms,
		.bytes = (uint32_t)seg->total_bytes,
		.nrows = seg->nrows,
		.file = f};
	size_t before = g->bytes;
	if (insert_segment(g, &b)) {
		f->live++;
		f->last_ms = OPS_MAX(f->last_ms, b.last_ms);
		s->recovery.segments++;
		det_store_account(s, g, before);
	}
}

/* Over the hole at `at`, if there is one. */
static size_t over_hole(const struct det_head_file *f, size_t at)
{
	while (at < f->cap && f->map[at] == 0) {
		at++;
		if (at % 4096 == 0) {
			off_t next = lseek(f->fd, (off_t)at, SEEK_DATA);
			at = next < 0 ? f->cap : (size_t)next;
		}
	}
	return at;
}

static void scan_head(struct opening *o, struct det_head_file *f)
{
	struct det_segment seg;
	bool damaged = false;
	for (size_t at = 0; at + 4 <= f->cap;) {
		if (det_segment_open(f->map + at, f->cap - at, true, &seg) == 0) {
			take_segment(o, f, f->map + at, &seg);
			progress(o->s, seg.total_bytes);
			at += seg.total_bytes;
			damaged = false;
			continue;
		}
		size_t next = over_hole(f, at);
		if (next >= f->cap) {
			break;
		}
		o->s->recovery.lost_segments += !damaged && next == at;
		damaged = damaged || next == at;
		at = next == at ? at + 1 : next;
		/* A segment may begin with a zero byte. */
		for (size_t back = OPS_MIN((size_t)4, at); next != at && back > 0; back--) {
			if (det_segment_open(f->map + at - back, f->cap - at + back, true, &seg) ==
				0) {
				at -= back;
				break;
			}
		}
	}
}

static void load_head(struct opening *o, uint64_t number)
{
	OPS_CLEANUP(ops_freep) char *path = det_disk_path(o->s->options.dir, "head", number);
	int rc;
	struct det_head_file *f = det_head_map(path, number, &rc);
	if (f == NULL) {
		o->s->recovery.lost_segments += rc != -ENODATA;
		return;
	}
	f->next = o->s->heads;
	o->s->heads = f;
	scan_head(o, f);
	(void)madvise(f->map, f->cap, MADV_DONTNEED); /* the pages were only looked through */
}

/* ---- afterwards ---- */

static void settle_entry(struct det_store *s, struct det_entry *e)
{
	if (e->more == NULL) {
		return;
	}
	e->more->last_ms = INT64_MIN;
	for (uint32_t i = 0; i < e->more->n; i++) {
		const struct det_ref *r = &e->more->items[i];
		int64_t last = det_group_column_last(r->group, r->column);
		e->more->last_ms = OPS_MAX(e->more->last_ms, last);
	}
	(void)s;
}

static void settle(struct det_store *s)
{
	for (uint32_t id = 0; id < s->next_id; id++) {
		struct det_entry *e = det_store_at(s, id);
		if (e != NULL) {
			settle_entry(s, e);
		}
	}
	for (struct det_group *g = s->groups; g != NULL; g = g->next) {
		g->dead = false;
		for (uint32_t c = 0; c < g->ncolumns; c++) {
			g->dead = g->dead || g->series[c] == NULL;
		}
		if (!det_group_empty(g)) {
			det_store_note_time(s, det_group_first(g));
			det_store_note_time(s, g->last_ms);
		}
	}
}

/* Groups and series that have nothing in the head any more. */
static void drop_empty(struct det_store *s)
{
	struct det_entry **dead = ops_xcalloc(s->next_id + 1u, sizeof(*dead));
	size_t n = 0;
	for (struct det_group *g = s->groups, *next; g != NULL; g = next) {
		next = g->next;
		if (det_group_empty(g)) {
			det_store_forget_group(s, g);
		}
	}
	for (uint32_t id = 0; id < s->next_id; id++) {
		struct det_entry *e = det_store_at(s, id);
		if (e != NULL && det_entry_nrefs(e) == 0) {
			dead[n++] = e;
		}
	}
	det_store_bury(s, dead, n);
	free(dead);
	s->stats.series_created = s->stats.series;
	s->stats.series_removed = 0;
}

static void count_finding(void *arg, const char *finding)
{
	struct det_store *s = arg;
	(void)finding;
	s->recovery.lost_blocks++;
}

static void load_blocks(struct det_store *s)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(s->options.dir, "blocks");
	size_t n = 0;
	if (det_blocks_load(dir, true, &s->blocks, &n, count_finding, s) != 0) {
		s->recovery.lost_blocks++;
		return;
	}
	s->nblocks = s->blocks_cap = n;
	s->recovery.blocks = n;
	for (size_t i = 0; i < n; i++) {
		const struct det_block_meta *m = det_block_meta(s->blocks[i]);
		s->stats.min_ms = OPS_MIN(s->stats.min_ms, m->mint_ms);
	}
}

static void read_all(struct opening *o)
{
	struct det_store *s = o->s;
	det_store_load_cut(s);
	load_blocks(s);
	for (size_t i = 0; i < o->series.n; i++) {
		with_file(o, "series", o->series.numbers[i], load_series);
	}
	for (size_t i = 0; i < o->head.n; i++) {
		load_head(o, o->head.numbers[i]);
	}
	for (size_t i = 0; i < o->wal.n; i++) {
		with_file(o, "wal", o->wal.numbers[i], load_wal);
	}
	drop_empty(s);
	settle(s);
	s->drop_ms = s->closed_ms = s->head_ms;
	s->oldest_new_ms = INT64_MAX;
	det_spans_load(s);
}

static int open_disk(struct opening *o, struct ops_error *err)
{
	struct det_store *s = o->s;
	const uint64_t first[2] = {last_number(&o->series) + 1, last_number(&o->wal) + 1};
	s->next_head = last_number(&o->head);
	s->next_group = OPS_MAX(s->next_group, (uint64_t)ops_now_ms() << 20);
	s->rolled_ms = ops_mono_ms();
	return det_disk_open(s->options.dir, first, s->options.wal_fsync_ms, &s->disk, err);
}

int det_store_open(struct det_store *s, struct ops_error *err)
{
	struct opening o = {.s = s};
	int64_t begin_ms = ops_mono_ms();
	int rc = ops_mkdir_p(s->options.dir, 0750);
	rc = rc != 0 ? ops_error_set(
			       err, rc, "could not make %s: %s", s->options.dir, strerror(-rc))
		     : make_folders(s, err);
	rc = rc == 0 ? take_lock(s, err) : rc;
	rc = rc == 0 ? list_files(&o, err) : rc;
	rc = rc == 0 ? open_disk(&o, err) : rc;
	if (rc == 0) {
		o.groups = ops_map_new();
		s->replaying = true;
		read_all(&o);
		s->replaying = false;
		s->next_group = OPS_MAX(s->next_group, (uint64_t)ops_now_ms() << 20);
		det_definitions_rewrite(s);
		det_wal_carry_over(s);
		ops_map_free(o.groups, NULL);
		s->recovery.took_ms = ops_mono_ms() - begin_ms;
	}
	free(o.series.numbers);
	free(o.wal.numbers);
	free(o.head.numbers);
	return rc;
}

double det_store_open_progress(const struct det_store *s)
{
	uint64_t all = __atomic_load_n(&s->open_all, __ATOMIC_RELAXED);
	uint64_t done = __atomic_load_n(&s->open_done, __ATOMIC_RELAXED);
	return all == 0 ? 0 : OPS_MIN((double)done / (double)all, 1.0);
}

void det_store_recovery(const struct det_store *s, struct det_store_recovery *ret)
{
	*ret = s->recovery;
}
