/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are cut at LINE_MAX_BYTES and counted up to LINES_MAX; what is beyond is read and dropped,
 * so that a chatty program is not blocked by us. The end is what the pidfd says, not the closing of
 * the pipes: something left in the background must not keep a run alive. What is in the pipes then
 * still belongs to it.
 *
 * Labels and annotations reach the program as data only: JSON on its standard input and variables
 * whose names begin with OPS_ALERT_. Nothing of them is ever part of a command line.
 */
#include "services/alertmanager/playrun.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "services/alertmanager/child.h"

enum {
	LINE_MAX_BYTES = 4096,
	LINES_MAX = 1000,
	READS_PER_TURN = 16,
	GRACE_MS = 5000,
	VALUE_MAX_BYTES = 8192
};

struct reader { /* one of its two outputs */
	struct alm_playrun *run;
	const char *stream;
	int fd;
	struct ops_watch *watch;
	struct ops_strbuf line;
	bool cut;
};

struct alm_playrun {
	struct alm_playrun_config cfg;
	struct alm_child child;
	struct ops_watch *end_watch;
	struct ops_timer *timer;
	struct reader out, err;
	unsigned lines;
	bool timed_out, killed;
};

int alm_playbook_check(const char *dir, const char *name, struct ops_error *err)
{
	struct stat st;

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL || strlen(name) > 128)
		return ops_error_set(
			err, -EINVAL, "playbook \"%.128s\" is not a plain file name", name);
	char *path OPS_CLEANUP(ops_freep) = ops_path_join(dir, name);
	int fd OPS_CLEANUP(ops_closep) = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return ops_error_set(err, -errno, "playbook %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return ops_error_set(err, -EINVAL, "playbook %s is not a regular file", path);
	if ((st.st_mode & S_IWOTH) != 0)
		return ops_error_set(err, -EPERM, "playbook %s can be written by everybody", path);
	if ((st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0)
		return ops_error_set(err, -EACCES, "playbook %s is not executable", path);
	return 0;
}

/* ---- what it gets ---- */

struct environment {
	struct ops_arena *arena;
	char **items;
	size_t n, cap;
};

static void env_add(struct environment *e, const char *name, const char *value)
{
	OPS_GROW(e->items, e->n, e->cap);
	e->items[e->n++] = ops_arena_printf(
		e->arena, "%s=%.*s", name, VALUE_MAX_BYTES, value != NULL ? value : "");
}

static void env_add_labels(struct environment *e, const char *prefix, const struct ops_labels *ls)
{
	for (uint32_t i = 0; ls != NULL && i < ls->n; i++) {
		char *name = ops_arena_printf(e->arena, "%s%s", prefix, ls->items[i].name);
		for (char *c = name; *c != '\0'; c++) {
			bool word = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
				    (*c >= '0' && *c <= '9');
			if (!word)
				*c = '_';
		}
		env_add(e, name, ls->items[i].value);
	}
}

static void env_build(
	struct environment *e, const struct alm_playrun_config *cfg, const struct alm_alert *a)
{
	char when[40], value[40];
	bool path = false;

	for (size_t i = 0; cfg->environment != NULL && cfg->environment[i] != NULL; i++) {
		OPS_GROW(e->items, e->n, e->cap);
		e->items[e->n++] = ops_arena_strdup(e->arena, cfg->environment[i]);
		path = path || strncmp(cfg->environment[i], "PATH=", 5) == 0;
	}
	if (!path)
		env_add(e, "PATH", "/usr/local/bin:/usr/bin:/bin");
	env_add(e, "OPS_FINGERPRINT", a->id);
	env_add(e, "OPS_RUN_ID", cfg->run_id);
	env_add(e, "OPS_PLAYBOOK", cfg->name);
	env_add(e, "OPS_STATUS", "firing");
	env_add(e, "OPS_STARTS_AT", ops_time_format(a->starts_at_ms, when, sizeof when));
	if (a->has_value) {
		snprintf(value, sizeof value, "%.17g", a->value);
		env_add(e, "OPS_VALUE", value);
	}
	if (a->traceparent[0] != '\0')
		env_add(e, "OPS_TRACEPARENT", a->traceparent);
	env_add(e, "OPS_ALERT_NAME", ops_labels_get(a->labels, "alertname"));
	env_add(e, "OPS_ALERT_SEVERITY", ops_labels_get(a->labels, "severity"));
	env_add_labels(e, "OPS_ALERT_LABEL_", a->labels);
	env_add_labels(e, "OPS_ALERT_ANNOTATION_", a->annotations);
	OPS_GROW(e->items, e->n, e->cap);
	e->items[e->n] = NULL;
}

static void input_build(
	const struct alm_playrun_config *cfg, const struct alm_alert *a, struct ops_strbuf *out)
{
	OPS_JSON_AUTO *j = json_object();

	ops_json_set(j, "labels", alm_labels_to_json(a->labels));
	ops_json_set(j, "annotations", alm_labels_to_json(a->annotations));
	ops_json_set_string(j, "status", "firing");
	ops_json_set_string(j, "fingerprint", a->id);
	ops_json_set_time(j, "startsAt", a->starts_at_ms);
	ops_json_set(
		j, "value", a->has_value && isfinite(a->value) ? json_real(a->value) : json_null());
	ops_json_set_string(j, "generatorURL", a->generator_url != NULL ? a->generator_url : "");
	ops_json_set_string(j, "playbook", cfg->name);
	ops_json_set_string(j, "run_id", cfg->run_id);
	ops_json_dump(j, out);
	ops_strbuf_addc(out, '\n');
}

/* ---- lines ---- */

static void end_line(struct reader *r)
{
	struct alm_playrun *run = r->run;

	if (run->lines < LINES_MAX)
		run->cfg.on_line(run->cfg.arg, r->stream, ++run->lines, ops_strbuf_text(&r->line),
			r->line.len);
	ops_strbuf_reset(&r->line);
	r->cut = false;
}

static void take(struct reader *r, const char *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (data[i] == '\n')
			end_line(r);
		else if (r->line.len < LINE_MAX_BYTES)
			ops_strbuf_addc(&r->line, data[i] != '\0' ? data[i] : ' ');
		else
			r->cut = true;
	}
}

static void reader_close(struct reader *r)
{
	ops_watch_free(r->watch);
	r->watch = NULL;
	if (r->line.len > 0 || r->cut)
		end_line(r);
	ops_strbuf_done(&r->line);
	ops_closep(&r->fd);
	r->fd = -1;
}

/* Up to `turns` reads; false at the end of the stream. */
static bool reader_drain(struct reader *r, int turns)
{
	char buf[4096];

	for (int i = 0; i < turns && r->fd >= 0; i++) {
		ssize_t n = read(r->fd, buf, sizeof buf);
		if (n > 0)
			take(r, buf, (size_t)n);
		else
			return n < 0 && (errno == EAGAIN || errno == EINTR);
	}
	return true;
}

static void on_readable(int fd, unsigned what, void *arg)
{
	struct reader *r = arg;
	(void)fd, (void)what;
	if (!reader_drain(r, READS_PER_TURN))
		reader_close(r);
}

static void reader_open(struct reader *r, struct alm_playrun *run, const char *stream, int fd)
{
	*r = (struct reader){.run = run, .stream = stream, .fd = fd};
	r->watch = ops_watch_new(run->cfg.loop, fd, OPS_READABLE, on_readable, r);
}

/* ---- the end ---- */

static void run_free(void *arg)
{
	struct alm_playrun *run = arg;
	ops_timer_free(run->timer);
	ops_watch_free(run->end_watch);
	free(run);
}

static void on_ended(int fd, unsigned what, void *arg)
{
	struct alm_playrun *run = arg;
	struct alm_playrun_result result = {.timed_out = run->timed_out};
	(void)fd, (void)what;

	ops_watch_set(run->end_watch, 0);
	ops_watch_free(run->end_watch);
	run->end_watch = NULL;
	alm_child_reap(&run->child, &result.exit_code, &result.signal);
	(void)reader_drain(&run->out, LINES_MAX);
	(void)reader_drain(&run->err, LINES_MAX);
	reader_close(&run->out);
	reader_close(&run->err);
	ops_timer_stop(run->timer);
	run->cfg.on_end(run->cfg.arg, &result);
	ops_loop_defer(run->cfg.loop, run_free, run);
}

static void on_timer(void *arg)
{
	struct alm_playrun *run = arg;

	if (!run->killed) {
		run->timed_out = true;
		alm_playrun_terminate(run);
	} else {
		alm_child_signal(&run->child, SIGKILL);
	}
}

void alm_playrun_terminate(struct alm_playrun *run)
{
	run->killed = true;
	alm_child_signal(&run->child, SIGTERM);
	ops_timer_start(run->timer, GRACE_MS);
}

void alm_playrun_abort(struct alm_playrun *run)
{
	int code, signo;

	ops_watch_free(run->end_watch);
	run->end_watch = NULL;
	alm_child_signal(&run->child, SIGKILL);
	alm_child_reap(&run->child, &code, &signo);
	reader_close(&run->out);
	reader_close(&run->err);
	run_free(run);
}

int alm_playrun_start(const struct alm_playrun_config *cfg, const struct alm_alert *a,
	struct alm_playrun **ret, struct ops_error *err)
{
	struct ops_strbuf input OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	struct ops_arena arena;
	struct environment env = {.arena = &arena};
	char *dir OPS_CLEANUP(ops_freep) = realpath(cfg->dir, NULL); /* the child changes to it */

	if (dir == NULL)
		return ops_error_set(
			err, -errno, "playbook folder %s: %s", cfg->dir, strerror(errno));
	char *path OPS_CLEANUP(ops_freep) = ops_path_join(dir, cfg->name);
	int rc = alm_playbook_check(dir, cfg->name, err);
	if (rc != 0)
		return rc;
	struct alm_playrun *run = ops_xcalloc(1, sizeof *run);
	run->cfg = *cfg;
	ops_arena_init(&arena);
	env_build(&env, cfg, a);
	input_build(cfg, a, &input);
	const struct alm_spawn spec = {.path = path,
		.dir = dir,
		.environment = env.items,
		.user = cfg->user,
		.input = ops_strbuf_text(&input),
		.input_len = input.len,
		.cpu_seconds = cfg->timeout_ms / 1000 + 10};
	rc = alm_child_spawn(&spec, &run->child, err);
	free(env.items);
	ops_arena_done(&arena);
	if (rc != 0) {
		free(run);
		return rc;
	}
	run->timer = ops_timer_new(cfg->loop, on_timer, run);
	ops_timer_start(run->timer, cfg->timeout_ms);
	reader_open(&run->out, run, "stdout", run->child.out);
	reader_open(&run->err, run, "stderr", run->child.err);
	run->end_watch = ops_watch_new(cfg->loop, run->child.pidfd, OPS_READABLE, on_ended, run);
	*ret = run;
	return 0;
}
