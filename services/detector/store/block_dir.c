/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of blocks at start: what was being written or deleted when the process ended is
 * removed; a block that a later one was made of goes when that one opens. What does not open stays
 * where it is, for a person to look at, and is reported.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/text.h"
#include "services/detector/store/block_impl.h"
#include "services/detector/store/ulid.h"

struct loading {
	const char *dir;
	struct det_block **blocks;
	size_t n, cap;
	void (*fn)(void *arg, const char *finding);
	void *arg;
};

static void report(const struct loading *l, const char *text)
{
	if (l->fn != NULL) {
		l->fn(l->arg, text);
	}
}

static void remove_leftover(const struct loading *l, const char *name)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(l->dir, name);
	OPS_CLEANUP(ops_freep) char *text = NULL;
	int rc = det_block_remove_dir(path);
	text = rc == 0 ? ops_xasprintf("removed %s: it was not finished", path)
		       : ops_xasprintf("could not remove %s: %s", path, strerror(-rc));
	report(l, text);
}

static void open_one(struct loading *l, const char *name)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(l->dir, name);
	struct det_block *block;
	struct ops_error err;
	char text[1024];
	if (det_block_open(path, &block, &err) != 0) {
		report(l, ops_error_text(&err, text, sizeof(text)));
		return;
	}
	OPS_GROW(l->blocks, l->n, l->cap);
	l->blocks[l->n++] = block;
}

static bool is_parent(const struct loading *l, const char *ulid)
{
	for (size_t i = 0; i < l->n; i++) {
		for (size_t p = 0; p < l->blocks[i]->meta.nparents; p++) {
			if (strcmp(l->blocks[i]->meta.parents[p], ulid) == 0) {
				return true;
			}
		}
	}
	return false;
}

static void remove_parents(struct loading *l)
{
	size_t kept = 0;
	bool *gone = ops_xcalloc(l->n + 1, sizeof(*gone));
	for (size_t i = 0; i < l->n; i++) {
		gone[i] = is_parent(l, l->blocks[i]->meta.ulid);
	}
	for (size_t i = 0; i < l->n; i++) {
		struct det_block *block = l->blocks[i];
		if (gone[i]) {
			det_block_remove(block);
			det_block_unref(block);
		} else {
			l->blocks[kept++] = block;
		}
	}
	free(gone);
	l->n = kept;
}

static int compare_blocks(const void *a, const void *b)
{
	const struct det_block *const *x = a, *const *y = b;
	if ((*x)->meta.mint_ms != (*y)->meta.mint_ms) {
		return (*x)->meta.mint_ms < (*y)->meta.mint_ms ? -1 : 1;
	}
	return strcmp((*x)->meta.ulid, (*y)->meta.ulid);
}

int det_blocks_load(const char *blocks_dir, bool clean, struct det_block ***ret, size_t *ret_n,
	void (*fn)(void *arg, const char *finding), void *arg)
{
	struct loading l = {.dir = blocks_dir, .fn = fn, .arg = arg};
	const struct dirent *entry;
	DIR *dir = opendir(blocks_dir);
	if (dir == NULL) {
		return -errno;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (det_ulid_valid(entry->d_name)) {
			open_one(&l, entry->d_name);
		} else if (clean && ops_str_ends(entry->d_name, DET_BLOCK_TMP)) {
			remove_leftover(&l, entry->d_name);
		}
	}
	closedir(dir);
	if (clean) {
		remove_parents(&l);
	}
	if (l.n != 0) {
		qsort(l.blocks, l.n, sizeof(struct det_block *), compare_blocks);
	}
	*ret = l.blocks;
	*ret_n = l.n;
	return 0;
}
