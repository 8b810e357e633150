/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file is read again when its inode, size or modification time differs: one stat a file and look,
 * which also sees what inotify does not (network file systems, a directory that appears later).
 * JSON files are read by the YAML reader: JSON is a subset of it.
 */
#include "services/collector/discovery.h"

#include <errno.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/map.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric read_errors = OPS_COUNTER(
	"prometheus_sd_file_read_errors_total", "file_sd files that could not be read or parsed.");

struct sd_file {
	struct ops_arena arena;
	struct col_static_group *groups;
	size_t n;
	struct timespec modified;
	off_t size;
	ino_t inode;
	bool seen;
};

struct col_discovery {
	struct ops_map *files; /* path -> struct sd_file */
};

struct col_discovery *col_discovery_new(void)
{
	struct col_discovery *d = ops_xcalloc(1, sizeof(*d));
	d->files = ops_map_new();
	ops_metric_register(&read_errors);
	return d;
}

static void drop_groups(struct sd_file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		ops_labels_unref(f->groups[i].labels);
	}
	f->groups = NULL;
	f->n = 0;
	ops_arena_done(&f->arena);
}

static void file_free(void *arg)
{
	struct sd_file *f = arg;
	drop_groups(f);
	free(f);
}

void col_discovery_free(struct col_discovery *d)
{
	if (d != NULL) {
		ops_map_free(d->files, file_free);
		free(d);
	}
}

static int parse_file(struct sd_file *to, const char *path, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_file(&to->arena, path, NULL, &root, err);
	if (r != 0) {
		return r;
	}
	bool empty = root->type == OPS_CONF_MAPPING && root->n == 0;
	if (root->type != OPS_CONF_SEQUENCE && !empty) {
		return ops_conf_error(root, err, "expected a list of target groups");
	}
	to->groups = ops_arena_array(&to->arena, struct col_static_group, root->n);
	for (size_t i = 0; i < root->n; i++) {
		r = col_group_load(&to->arena, root->items[i], &to->groups[i], err);
		if (r != 0) {
			return r;
		}
		to->n++;
	}
	return 0;
}

static bool unchanged(const struct sd_file *f, const struct stat *st)
{
	return f->inode == st->st_ino && f->size == st->st_size &&
	       f->modified.tv_sec == st->st_mtim.tv_sec &&
	       f->modified.tv_nsec == st->st_mtim.tv_nsec;
}

/* True when the groups of the file changed. */
static bool look_at(struct col_discovery *d, const char *path)
{
	struct stat st = {.st_size = 0};
	struct sd_file *f = ops_map_gets(d->files, path);
	if (stat(path, &st) != 0) {
		st = (struct stat){.st_size = -1};
	}
	if (f != NULL) {
		f->seen = true;
		if (unchanged(f, &st)) {
			return false;
		}
	} else {
		f = ops_xcalloc(1, sizeof(*f));
		f->seen = true;
		ops_arena_init(&f->arena);
		(void)ops_map_puts(d->files, path, f);
	}
	f->inode = st.st_ino;
	f->size = st.st_size;
	f->modified = st.st_mtim;
	struct sd_file next = {.n = 0};
	struct ops_error err;
	ops_arena_init(&next.arena);
	if (parse_file(&next, path, &err) != 0) {
		char text[1100];
		log_warn("could not read target groups; the last good ones stay",
			F_STR("error", ops_error_text(&err, text, sizeof(text))));
		ops_metric_add(&read_errors, 1);
		drop_groups(&next);
		return false;
	}
	drop_groups(f);
	f->arena = next.arena;
	f->groups = next.groups;
	f->n = next.n;
	return true;
}

static bool look_at_pattern(struct col_discovery *d, const char *pattern)
{
	glob_t found = {.gl_pathc = 0};
	bool changed = false;
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			changed |= look_at(d, found.gl_pathv[i]);
		}
	}
	globfree(&found);
	return changed;
}

bool col_discovery_refresh(struct col_discovery *d, const struct col_config *config)
{
	struct ops_map_entry e;
	bool changed = false;
	for (size_t at = 0; ops_map_next(d->files, &at, &e);) {
		((struct sd_file *)e.value)->seen = false;
	}
	for (size_t i = 0; i < config->njobs; i++) {
		const struct col_job *job = &config->jobs[i];
		for (size_t k = 0; k < job->nfile_sds; k++) {
			for (size_t n = 0; n < job->file_sds[k].nfiles; n++) {
				changed |= look_at_pattern(d, job->file_sds[k].files[n]);
			}
		}
	}
	for (size_t at = 0; ops_map_next(d->files, &at, &e);) {
		if (!((struct sd_file *)e.value)->seen) {
			file_free(ops_map_remove(d->files, e.key, e.len));
			changed = true;
		}
	}
	return changed;
}

void col_discovery_each(struct col_discovery *d, const struct col_job *job,
	void (*fn)(void *arg, const struct col_static_group *group, const char *path), void *arg)
{
	for (size_t k = 0; k < job->nfile_sds; k++) {
		for (size_t n = 0; n < job->file_sds[k].nfiles; n++) {
			glob_t found = {.gl_pathc = 0};
			size_t count = glob(job->file_sds[k].files[n], 0, NULL, &found) == 0
					       ? found.gl_pathc
					       : 0;
			for (size_t i = 0; i < count; i++) {
				const struct sd_file *f = ops_map_gets(d->files, found.gl_pathv[i]);
				for (size_t g = 0; f != NULL && g < f->n; g++) {
					fn(arg, &f->groups[g], found.gl_pathv[i]);
				}
			}
			globfree(&found);
		}
	}
}
