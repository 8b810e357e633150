/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw rows become segments, in a head file when the store has a directory. When the disk fails a
 * segment stays in memory, and so do the later ones of its group, so that a file never has them in
 * another order; they are placed when the disk works again. Until then the log keeps their rows.
 *
 * Segments are immutable; whoever reads them outside of the lock (the block cut) is a reader like a
 * query, so what holds them is buried, not freed.
 */
#include <string.h>
#include <sys/mman.h>

#include "common/base/strbuf.h"
#include "services/detector/store/state.h"

struct mapping {
	void *at;
	size_t len;
};

static void unmap(void *p)
{
	struct mapping *m = p;
	(void)munmap(m->at, m->len);
	free(m);
}

static void bury_mapping(struct det_store *s, const struct det_head_file *f)
{
	struct mapping *m = ops_xcalloc(1, sizeof(*m));
	*m = (struct mapping){f->map, f->cap};
	det_store_grave(s, unmap, m);
}

/* The file goes when nothing in it is of use and nothing more comes. */
static void release_heads(struct det_store *s)
{
	struct det_head_file **at = s->heads != NULL ? &s->heads->next : &s->heads;
	while (*at != NULL) {
		struct det_head_file *f = *at;
		if (f->live != 0) {
			at = &f->next;
			continue;
		}
		*at = f->next;
		bury_mapping(s, f);
		det_disk_remove_head(s->disk, f);
	}
}

void det_store_free_heads(struct det_store *s)
{
	while (s->heads != NULL) {
		struct det_head_file *f = s->heads;
		s->heads = f->next;
		(void)munmap(f->map, f->cap);
		det_head_close(f);
	}
}

/* Bytes into the newest head file, or a new one. NULL: the disk fails. */
static const uint8_t *write_head(struct det_store *s, const void *data, size_t len)
{
	int rc = 0;
	const uint8_t *at = s->heads != NULL ? det_head_append(s->heads, data, len, &rc) : NULL;
	if (at == NULL && rc == 0) {
		struct det_head_file *f = det_head_create(s->options.dir, ++s->next_head, len, &rc);
		if (f != NULL) {
			f->next = s->heads;
			s->heads = f;
			at = det_head_append(f, data, len, &rc);
		}
	}
	det_disk_report(s->disk, -rc);
	if (at != NULL) {
		det_disk_dirty(s->disk, s->heads);
	}
	return at;
}

/* Puts the segment's bytes into a head file, if that can be. */
static bool place(struct det_store *s, struct det_sealed *b)
{
	const uint8_t *at = write_head(s, b->data, b->bytes);
	if (at == NULL) {
		return false;
	}
	b->data = at;
	b->file = s->heads;
	b->file->live++;
	b->file->last_ms = OPS_MAX(b->file->last_ms, b->last_ms);
	return true;
}

static bool waits(const struct det_group *g)
{
	return g->nsealed != 0 && g->sealed[g->nsealed - 1].file == NULL;
}

void det_store_seal(struct det_store *s, struct det_group *g)
{
	if (g->nrows == 0) {
		return;
	}
	size_t before = g->bytes;
	ops_strbuf_reset(&s->scratch);
	int rc = det_group_encode(g, &s->scratch);
	ops_assert(rc == 0); /* rows and columns are bounded */
	struct det_sealed b = {.data = (const uint8_t *)s->scratch.data,
		.serial = ++s->serial,
		.first_ms = g->times[0],
		.last_ms = g->last_ms,
		.bytes = (uint32_t)s->scratch.len,
		.nrows = g->nrows};
	bool pinned = g->wal_first != 0 && waits(g);
	if (s->disk == NULL || pinned || !place(s, &b)) {
		uint8_t *data = ops_xmalloc(s->scratch.len);
		memcpy(data, s->scratch.data, s->scratch.len);
		b.data = data;
		s->in_memory += s->disk != NULL;
	}
	det_define_group(s, g);
	det_write_lock(s);
	det_group_sealed(g, &b);
	det_write_unlock(s);
	det_store_account(s, g, before);
}

static void bury_data(struct det_store *s, const uint8_t *data)
{
	void *p;
	memcpy(&p, &data, sizeof(p));
	det_store_grave(s, free, p);
}

static void place_all(struct det_store *s, struct det_group *g)
{
	for (uint32_t i = 0; i < g->nsealed; i++) {
		struct det_sealed *b = &g->sealed[i];
		struct det_sealed placed = *b;
		if (b->file != NULL) {
			continue;
		}
		if (!place(s, &placed)) {
			return;
		}
		size_t before = g->bytes;
		det_write_lock(s);
		bury_data(s, b->data);
		*b = placed;
		g->bytes -= b->bytes;
		det_write_unlock(s);
		det_store_account(s, g, before);
		s->in_memory--;
	}
}

void det_store_place(struct det_store *s)
{
	for (struct det_group *g = s->groups; g != NULL && s->in_memory != 0; g = g->next) {
		place_all(s, g);
	}
}

void det_store_retry(struct det_store *s)
{
	if (s->disk == NULL) {
		return;
	}
	if (s->in_memory != 0) {
		det_store_place(s);
	} else {
		det_disk_report(s->disk, 0); /* nothing is left that it could refuse */
	}
}

void det_store_drop_segments(struct det_store *s, struct det_group *g, uint32_t n)
{
	size_t before = g->bytes;
	for (uint32_t i = 0; i < n; i++) {
		const struct det_sealed *b = &g->sealed[i];
		g->bytes -= sizeof(*b) + (b->file == NULL ? b->bytes : 0);
		if (b->file == NULL) {
			bury_data(s, b->data);
			s->in_memory -= s->disk != NULL;
		} else {
			b->file->live--;
		}
	}
	if (n != 0) {
		g->nsealed -= n;
		memmove(g->sealed, g->sealed + n, g->nsealed * sizeof(g->sealed[0]));
	}
	det_store_account(s, g, before);
}

void det_store_release_heads(struct det_store *s)
{
	if (s->disk != NULL) {
		release_heads(s);
	}
}

void det_store_close_head(struct det_store *s)
{
	if (s->heads != NULL) {
		s->heads->used = s->heads->cap;
	}
}
