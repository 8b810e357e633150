/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify tells of a change at once; a slow timer looks again, because inotify says nothing on some
 * file systems and after an overflow. Our own writes trigger it too, and are harmless: a check that
 * finds what was set does nothing. Files are replaced atomically, so a reader never sees half a
 * flag.
 */
#include "services/freeze/flags.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/metrics/metrics.h"
#include "services/freeze/record.h"

#define SUFFIX ".flag"
enum {
	CHECK_MS = 2000,
	FLAG_LIMIT = 64 << 10
};

static struct ops_metric write_errors =
	OPS_COUNTER("ops_freeze_flag_write_errors_total", "Flag files that could not be written.");

struct frz_flags {
	struct ops_loop *loop;
	char *dir, *legacy_file;
	bool legacy_unwritten;	   /* the last write of it failed */
	struct ops_map *texts;	   /* scope -> wanted content, owned */
	struct ops_map *unwritten; /* scopes of those whose file is ours to repair; values unused */
	struct ops_map *missing;   /* whose removal is being told; values unused */
	int inotify;
	struct ops_watch *watch;
	struct ops_timer *timer;
	void (*on_change)(void *arg, const char *scope, enum frz_flag_change change);
	void *arg;
};

char *frz_flag_name(const char *scope)
{
	char *name = strcmp(scope, "*") == 0 ? ops_xstrdup("ALL" SUFFIX)
					     : ops_xasprintf("%s" SUFFIX, scope);
	for (char *c = name; *c != '\0'; c++) {
		if (*c == '/') {
			*c = '%';
		}
	}
	return name;
}

static char *scope_of(const char *name)
{
	size_t len = strlen(name) - strlen(SUFFIX);
	if (len == 3 && strncmp(name, "ALL", 3) == 0) {
		return ops_xstrdup("*");
	}
	char *scope = ops_xstrndup(name, len);
	for (char *c = scope; *c != '\0'; c++) {
		if (*c == '%') {
			*c = '/';
		}
	}
	return scope;
}

static char *flag_path(const struct frz_flags *f, const char *scope)
{
	OPS_CLEANUP(ops_freep) char *name = frz_flag_name(scope);
	return ops_path_join(f->dir, name);
}

/* Frozen by the file alone, as a script reads it: the first line is FREEZE. */
static bool says_freeze(const char *path)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	if (ops_file_read(path, FLAG_LIMIT, &text) != 0) {
		return false;
	}
	return strncmp(ops_strbuf_text(&text), "FREEZE", 6) == 0 &&
	       (text.len == 6 || text.data[6] == '\n');
}

static int write_flag(struct frz_flags *f, const char *scope, const char *content)
{
	OPS_CLEANUP(ops_freep) char *path = flag_path(f, scope);
	int rc = ops_file_write_atomic(path, content, strlen(content), 0644);
	if (rc == 0) {
		ops_map_removes(f->unwritten, scope);
		ops_map_removes(f->missing, scope);
	} else if (ops_map_gets(f->unwritten, scope) == NULL) {
		ops_map_puts(f->unwritten, scope, f);
	}
	return rc;
}

static void check_wanted(struct frz_flags *f)
{
	size_t at = 0;
	struct ops_map_entry e;
	while (ops_map_next(f->texts, &at, &e)) {
		OPS_CLEANUP(ops_freep) char *path = flag_path(f, e.key);
		if (says_freeze(path)) {
			continue;
		}
		if (ops_map_gets(f->unwritten, e.key) != NULL) {
			/* A full disk is nobody's hand: try again, and tell no story. */
			if (write_flag(f, e.key, e.value) != 0) {
				ops_metric_add(&write_errors, 1);
			}
			continue;
		}
		/* The handler may change the map: start over with the next check. */
		OPS_CLEANUP(ops_freep) char *scope = ops_xstrdup(e.key);
		ops_map_puts(f->missing, scope, f);
		f->on_change(f->arg, scope, FRZ_FLAG_REMOVED);
		ops_map_removes(f->missing, scope); /* not dealt with: told again */
		return;
	}
}

/* The compatibility file stands for every frozen scope, and so does its removal. */
static void check_legacy(struct frz_flags *f)
{
	size_t n = 0, cap = 0, at = 0;
	char **scopes = NULL;
	struct ops_map_entry e;
	if (f->legacy_file == NULL || f->legacy_unwritten || says_freeze(f->legacy_file)) {
		return;
	}
	while (ops_map_next(f->texts, &at, &e)) {
		OPS_GROW(scopes, n, cap);
		scopes[n++] = ops_xstrdup(e.key);
	}
	for (size_t i = 0; i < n; i++) {
		f->on_change(f->arg, scopes[i], FRZ_FLAG_REMOVED);
		free(scopes[i]);
	}
	free(scopes);
}

static void check_forged(struct frz_flags *f)
{
	DIR *dir = opendir(f->dir);
	if (dir == NULL) {
		return;
	}
	OPS_CLEANUP(ops_freep) char *forged = NULL;
	for (struct dirent *d = readdir(dir); d != NULL && forged == NULL; d = readdir(dir)) {
		if (d->d_name[0] == '.' || !ops_str_ends(d->d_name, SUFFIX)) {
			continue;
		}
		OPS_CLEANUP(ops_freep) char *scope = scope_of(d->d_name);
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(f->dir, d->d_name);
		if (frz_scope_valid(scope) && ops_map_gets(f->texts, scope) == NULL &&
			says_freeze(path)) {
			forged = scope;
			scope = NULL;
		}
	}
	closedir(dir);
	if (forged != NULL) {
		f->on_change(f->arg, forged, FRZ_FLAG_FORGED);
	}
}

void frz_flags_check(struct frz_flags *f)
{
	check_wanted(f);
	check_legacy(f);
	check_forged(f);
}

static void on_inotify(int fd, unsigned what, void *arg)
{
	(void)what;
	char events[4096];
	while (read(fd, events, sizeof(events)) > 0) {
		/* which file it was does not matter */
	}
	frz_flags_check(arg);
}

static void on_timer(void *arg)
{
	struct frz_flags *f = arg;
	frz_flags_check(f);
	ops_timer_start(f->timer, CHECK_MS);
}

/* The compatibility file says FREEZE while any scope is frozen. */
static int write_legacy(struct frz_flags *f)
{
	if (f->legacy_file == NULL) {
		return 0;
	}
	const char *text = ops_map_count(f->texts) > 0 ? "FREEZE\n" : "";
	int rc = ops_file_write_atomic(f->legacy_file, text, strlen(text), 0644);
	f->legacy_unwritten = rc != 0;
	return rc;
}

/* A file that stands as it should is left alone: writing it again could undo, unseen, what a hand
 * did to it a moment ago. */
static bool stands(const struct frz_flags *f, const char *scope, const char *content)
{
	return ops_str_eq(ops_map_gets(f->texts, scope), content) &&
	       ops_map_gets(f->unwritten, scope) == NULL && ops_map_gets(f->missing, scope) == NULL;
}

int frz_flags_set(struct frz_flags *f, const char *scope, const char *text)
{
	int rc = 0;
	if (text == NULL) {
		OPS_CLEANUP(ops_freep) char *path = flag_path(f, scope);
		free(ops_map_removes(f->texts, scope));
		ops_map_removes(f->unwritten, scope);
		rc = unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
	} else {
		char *content = ops_xasprintf("FREEZE\n%s", text);
		bool write = !stands(f, scope, content);
		free(ops_map_puts(f->texts, scope, content));
		rc = write ? write_flag(f, scope, content) : 0;
	}
	int legacy = write_legacy(f);
	rc = rc != 0 ? rc : legacy;
	if (rc != 0) {
		ops_metric_add(&write_errors, 1);
	}
	return rc;
}

static int watch_dir(struct frz_flags *f)
{
	f->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (f->inotify < 0) {
		return -errno;
	}
	const uint32_t mask =
		IN_CLOSE_WRITE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF;
	if (inotify_add_watch(f->inotify, f->dir, mask) < 0) {
		return -errno;
	}
	f->watch = ops_watch_new(f->loop, f->inotify, OPS_READABLE, on_inotify, f);
	return 0;
}

int frz_flags_open(struct ops_loop *loop, const struct frz_flags_config *cfg,
	struct frz_flags **ret, struct ops_error *err)
{
	int rc = ops_mkdir_p(cfg->dir, 0755);
	if (rc != 0) {
		return ops_error_set(
			err, rc, "could not make flag folder %s: %s", cfg->dir, strerror(-rc));
	}
	struct frz_flags *f = ops_xcalloc(1, sizeof(*f));
	f->loop = loop;
	f->dir = ops_xstrdup(cfg->dir);
	f->legacy_file = ops_xstrdup(cfg->legacy_file);
	f->texts = ops_map_new();
	f->unwritten = ops_map_new();
	f->missing = ops_map_new();
	f->inotify = -1;
	f->on_change = cfg->on_change;
	f->arg = cfg->arg;
	rc = watch_dir(f);
	if (rc != 0) {
		ops_error_set(err, rc, "could not watch %s: %s", cfg->dir, strerror(-rc));
		frz_flags_close(f);
		return rc;
	}
	f->timer = ops_timer_new(loop, on_timer, f);
	ops_timer_start(f->timer, CHECK_MS);
	*ret = f;
	return 0;
}

void frz_flags_close(struct frz_flags *f)
{
	if (f == NULL) {
		return;
	}
	ops_timer_free(f->timer);
	ops_watch_free(f->watch);
	ops_closep(&f->inotify);
	ops_map_free(f->texts, free);
	ops_map_free(f->unwritten, NULL);
	ops_map_free(f->missing, NULL);
	free(f->legacy_file);
	free(f->dir);
	free(f);
}
