/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_sd_configs. The directories of the patterns are watched by inotify; what it cannot see (a
 * network file system, a directory that appears later) is found at refresh_interval, or after
 * UNWATCHED_MS where no watch could be set. A look costs one stat a file: a file is read again when
 * its inode, size or modification time differs. A burst of events makes one look.
 *
 * A file that cannot be read or parsed keeps its last good targets; one that is gone loses them.
 * JSON files are read by the YAML reader: JSON is a subset of it.
 */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/collector/config.h"
#include "services/collector/discovery/sd_classes.h"

enum {
	SETTLE_MS = 50,
	UNWATCHED_MS = 5000
};

static struct ops_metric read_errors = OPS_COUNTER(
	"prometheus_sd_file_read_errors_total", "file_sd files that could not be read or parsed.");

struct settings {
	struct ops_conf_strings files; /* patterns, absolute */
	int64_t refresh_ms;
};

struct seen {
	struct timespec modified;
	off_t size;
	ino_t inode;
	bool here, broken;
};

struct state {
	int fd; /* inotify, or -1 */
	struct ops_watch *watch;
	struct ops_map *files; /* path -> struct seen */
	bool unwatched;	       /* of some directory */
};

static const struct ops_conf_key keys[] = {
	COL_SD_KEY(settings, "files", OPS_CONF_K_PATHS, files, OPS_CONF_REQUIRED, NULL),
	COL_SD_KEY(settings, "refresh_interval", OPS_CONF_K_DURATION, refresh_ms, 0, "5m"),
	OPS_CONF_END,
};

static int finish(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
	struct ops_error *err)
{
	const struct settings *s = settings;
	const struct ops_conf_node *list = ops_conf_get(node, "files");
	(void)a;
	if (s->files.n == 0) {
		return ops_conf_error(list, err, "files is empty");
	}
	for (size_t i = 0; i < s->files.n; i++) {
		const char *f = s->files.items[i];
		const char *slash = strrchr(f, '/');
		if (!ops_str_ends(f, ".yml") && !ops_str_ends(f, ".yaml") &&
			!ops_str_ends(f, ".json")) {
			return ops_conf_error(
				list, err, "\"%s\" does not end in .yml, .yaml or .json", f);
		}
		if (slash != NULL && strcspn(f, "*") < (size_t)(slash - f)) {
			return ops_conf_error(list, err, "\"%s\" has a * before its last part", f);
		}
	}
	return 0;
}

static int64_t interval_ms(const struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	const struct state *st = sd->state;
	int64_t refresh = s->refresh_ms > 0 ? s->refresh_ms : UNWATCHED_MS;
	return st->unwatched ? OPS_MIN(refresh, (int64_t)UNWATCHED_MS) : refresh;
}

/* ---- one file ---- */

static void add_static(struct col_group *to, const struct col_static_group *from, const char *path)
{
	for (size_t i = 0; i < from->ntargets; i++) {
		struct ops_labels_builder b;
		ops_labels_builder_from(&b, from->labels);
		ops_labels_builder_set(&b, "__address__", from->targets[i]);
		ops_labels_builder_set(&b, "__meta_filepath", path);
		col_group_add(to, &b);
	}
}

static int parse_file(
	struct ops_arena *a, const char *path, struct col_group *to, struct ops_error *err)
{
	struct ops_conf_node *root = NULL;
	int r = ops_conf_load_file(a, path, NULL, &root, err);
	if (r != 0) {
		return r;
	}
	bool empty = root->type == OPS_CONF_MAPPING && root->n == 0;
	if (root->type != OPS_CONF_SEQUENCE && !empty) {
		return ops_conf_error(root, err, "expected a list of target groups");
	}
	for (size_t i = 0; !empty && i < root->n; i++) {
		struct col_static_group group = {.labels = NULL};
		r = col_group_load(a, root->items[i], &group, err);
		if (r != 0) {
			return r;
		}
		add_static(to, &group, path);
		ops_labels_unref(group.labels);
	}
	return 0;
}

static void read_file(struct col_sd *sd, struct seen *f, const char *path)
{
	struct ops_arena a;
	struct ops_error err;
	struct col_group *g = col_group_new(path);
	ops_arena_init(&a);
	f->broken = parse_file(&a, path, g, &err) != 0;
	if (f->broken) {
		char text[1100];
		log_warn("could not read target groups; the last good ones stay",
			F_STR("error", ops_error_text(&err, text, sizeof(text))));
		ops_metric_add(&read_errors, 1);
		col_group_free(g);
	} else {
		col_sd_put(sd, g);
	}
	ops_arena_done(&a);
}

static bool unchanged(const struct seen *f, const struct stat *st)
{
	return f->inode == st->st_ino && f->size == st->st_size &&
	       f->modified.tv_sec == st->st_mtim.tv_sec &&
	       f->modified.tv_nsec == st->st_mtim.tv_nsec;
}

static void look_at(struct col_sd *sd, const char *path)
{
	struct state *st = sd->state;
	struct stat now = {.st_size = 0};
	struct seen *f = ops_map_gets(st->files, path);
	if (stat(path, &now) != 0) {
		now = (struct stat){.st_size = -1};
	}
	if (f == NULL) {
		f = ops_xcalloc(1, sizeof(*f));
		f->size = -2;
		(void)ops_map_puts(st->files, path, f);
	}
	f->here = true;
	if (!unchanged(f, &now)) {
		f->inode = now.st_ino;
		f->size = now.st_size;
		f->modified = now.st_mtim;
		read_file(sd, f, path);
	}
}

/* ---- a look ---- */

static void watch_directories(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	st->unwatched = false;
	for (size_t i = 0; i < s->files.n; i++) {
		OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(s->files.items[i]);
		/* For a directory that is watched already this gives the same watch again. */
		if (st->fd < 0 || inotify_add_watch(st->fd, dir,
					  IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE |
						  IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
			st->unwatched = true;
		}
	}
}

static void forget_gone(struct col_sd *sd)
{
	struct state *st = sd->state;
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(st->files, &at, &e);) {
		struct seen *f = e.value;
		if (!f->here) {
			col_sd_drop(sd, e.key);
			free(ops_map_remove(st->files, e.key, e.len));
			continue;
		}
		f->here = false;
	}
}

static const char *first_broken(const struct state *st)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(st->files, &at, &e);) {
		if (((struct seen *)e.value)->broken) {
			return e.key;
		}
	}
	return NULL;
}

static void refresh(struct col_sd *sd)
{
	const struct settings *s = sd->settings;
	struct state *st = sd->state;
	watch_directories(sd); /* before the look: what happens between the two is seen */
	for (size_t i = 0; i < s->files.n; i++) {
		glob_t found = {.gl_pathc = 0};
		size_t n = glob(s->files.items[i], 0, NULL, &found) == 0 ? found.gl_pathc : 0;
		for (size_t k = 0; k < n; k++) {
			look_at(sd, found.gl_pathv[k]);
		}
		globfree(&found);
	}
	forget_gone(sd);
	const char *broken = first_broken(st);
	if (broken != NULL) {
		col_sd_failed(sd, "%s could not be read", broken);
	} else {
		col_sd_ok(sd);
	}
}

static void on_event(int fd, unsigned what, void *arg)
{
	struct col_sd *sd = arg;
	char buf[16384];
	(void)what;
	while (read(fd, buf, sizeof(buf)) > 0) {
		/* which file it was does not matter: a look is cheap */
	}
	col_sd_again(sd, SETTLE_MS);
}

static void start(struct col_sd *sd)
{
	struct state *st = sd->state;
	ops_metric_register(&read_errors);
	st->files = ops_map_new();
	st->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (st->fd >= 0) {
		st->watch = ops_watch_new(sd->env->loop, st->fd, OPS_READABLE, on_event, sd);
	}
}

static void stop(struct col_sd *sd)
{
	struct state *st = sd->state;
	ops_watch_free(st->watch);
	ops_closep(&st->fd);
	ops_map_free(st->files, free);
}

const struct col_sd_class col_sd_file = {.name = "file",
	.keys = keys,
	.settings_bytes = sizeof(struct settings),
	.finish = finish,
	.state_bytes = sizeof(struct state),
	.interval_ms = interval_ms,
	.refresh = refresh,
	.start = start,
	.stop = stop};
