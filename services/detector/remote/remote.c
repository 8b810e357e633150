/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scraped row is a record at once: when it comes again after a crash, the store knows it from its
 * log already and the tap does not hear of it, so nothing may lie between the two writes. Single
 * samples are collected into one record at the end of the loop's turn, before an answer to whoever
 * sent them leaves; what a crash can take of them is that turn.
 *
 * Every second the files of new layouts are synced, then one queue after the other, one a turn.
 *
 * A destination that is taken out of the file loses its queue on disk: what nobody will ever send
 * must not fill it. Files of layouts go when no queue can name them any more: those that were not
 * used since a moment, once every queue has delivered what it had at that moment.
 */
#include "services/detector/remote/remote.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "services/detector/remote/queue.h"
#include "services/detector/store/group.h"

enum {
	SYNC_MS = 1000,
	RECORD_BYTES = 1 << 20,
	COLLECT_MS = 600000
};

static struct ops_metric highest_gauge =
	OPS_GAUGE("ops_remote_storage_highest_timestamp_in_seconds",
		"Newest timestamp that came into a queue.");

struct ticket { /* of the deferred flush; outlives us */
	struct det_remote *remote;
};

struct det_remote {
	struct det_remote_setup setup;
	struct ops_oauth2_tokens *tokens;
	char *dir;
	struct det_layouts *layouts;
	struct det_queue **queues;
	size_t nqueues;
	struct det_journal journal;
	struct det_journal exemplars; /* for the queues that want them */
	struct ticket *ticket;	      /* a flush is coming */
	struct ops_timer *sync;
	size_t sync_next;
	int64_t highest_ms;
	/* Layouts unused since collect_ms go when queue i has delivered collect_marks[i]. */
	int64_t collect_ms;
	uint64_t *collect_marks;
	bool collecting;
};

/* ---- the tap -------------------------------------------------------------------------------- */

static void flush(struct det_remote *r)
{
	if (r->journal.nsamples > 0) {
		for (size_t i = 0; i < r->nqueues; i++)
			det_queue_append(r->queues[i], &r->journal);
		det_layouts_queued(r->layouts);
	}
	det_journal_reset(&r->journal);
	for (size_t i = 0; i < r->nqueues && r->exemplars.nexemplars > 0; i++)
		if (det_queue_wants_exemplars(r->queues[i]))
			det_queue_append(r->queues[i], &r->exemplars);
	det_journal_reset(&r->exemplars);
}

static void on_turn_end(void *arg)
{
	struct ticket *t = arg;

	if (t->remote != NULL) {
		t->remote->ticket = NULL;
		flush(t->remote);
	}
	free(t);
}

static void flush_later(struct det_remote *r)
{
	if (r->journal.bytes.len > RECORD_BYTES || r->exemplars.bytes.len > RECORD_BYTES)
		flush(r);
	if (r->ticket == NULL) {
		r->ticket = ops_xcalloc(1, sizeof(*r->ticket));
		r->ticket->remote = r;
		ops_loop_defer(r->setup.loop, on_turn_end, r->ticket);
	}
}

static void added(struct det_remote *r, int64_t time_ms)
{
	r->highest_ms = OPS_MAX(r->highest_ms, time_ms);
	flush_later(r);
}

static void on_row(void *arg, const struct det_store_row *row)
{
	struct det_remote *r = arg;
	size_t stored = 0;

	if (r->nqueues == 0)
		return;
	for (size_t i = 0; i < row->n; i++)
		stored += !det_is_absent(row->values[i]);
	if (stored == 0)
		return;
	const struct det_layout *l = det_layouts_of_row(r->layouts, row);
	if (l == NULL || (r->setup.store_forgets && row->time_ms <= l->queued_until_ms))
		return;
	det_journal_row(&r->journal, row, stored);
	r->highest_ms = OPS_MAX(r->highest_ms, row->time_ms);
	flush(r);
}

static void on_sample(void *arg, const struct det_series *series, int64_t time_ms, double value)
{
	struct det_remote *r = arg;

	if (r->nqueues == 0)
		return;
	det_journal_sample(&r->journal, series->labels, time_ms, value);
	added(r, time_ms);
}

static void on_histogram(
	void *arg, const struct det_series *series, int64_t time_ms, const struct ops_histogram *h)
{
	struct det_remote *r = arg;

	if (r->nqueues == 0)
		return;
	det_journal_histogram(&r->journal, series->labels, time_ms, h);
	added(r, time_ms);
}

void det_remote_exemplar(struct det_remote *r, const struct ops_exemplar *e)
{
	bool wanted = false;

	for (size_t i = 0; i < r->nqueues; i++)
		wanted = wanted || det_queue_wants_exemplars(r->queues[i]);
	if (!wanted)
		return;
	det_journal_exemplar(&r->exemplars, e);
	flush_later(r);
}

/* ---- upkeep --------------------------------------------------------------------------------- */

static void begin_collecting(struct det_remote *r)
{
	free(r->collect_marks);
	r->collect_marks = ops_xcalloc(r->nqueues + 1, sizeof(r->collect_marks[0]));
	for (size_t i = 0; i < r->nqueues; i++)
		r->collect_marks[i] = det_queue_newest(r->queues[i]);
	r->collect_ms = ops_mono_ms();
	r->collecting = true;
}

static void collect_layouts(struct det_remote *r)
{
	if (!r->collecting) {
		begin_collecting(r);
		return;
	}
	if (ops_mono_ms() - r->collect_ms < COLLECT_MS)
		return;
	for (size_t i = 0; i < r->nqueues; i++)
		if (det_queue_delivered(r->queues[i]) < r->collect_marks[i])
			return;
	det_layouts_collect(r->layouts, r->collect_ms);
	begin_collecting(r);
}

static void on_sync(void *arg)
{
	struct det_remote *r = arg;
	int64_t wait = SYNC_MS;

	if (!det_layouts_sync(r->layouts)) {
		wait = 0;
	} else if (r->sync_next < r->nqueues) {
		det_queue_sync(r->queues[r->sync_next++]);
		wait = r->sync_next < r->nqueues ? 0 : SYNC_MS;
	}
	if (wait > 0) {
		r->sync_next = 0;
		collect_layouts(r);
	}
	ops_timer_start(r->sync, OPS_MAX(wait, 1));
}

static void on_collect(void *arg)
{
	struct det_remote *r = arg;

	for (size_t i = 0; i < r->nqueues; i++)
		det_queue_count(r->queues[i]);
	if (r->highest_ms > 0)
		ops_metric_set(&highest_gauge, (double)r->highest_ms / 1000);
}

/* ---- destinations --------------------------------------------------------------------------- */

static struct det_queue *find_queue(const struct det_remote *r, const char *folder)
{
	for (size_t i = 0; i < r->nqueues; i++)
		if (strcmp(det_queue_folder(r->queues[i]), folder) == 0)
			return r->queues[i];
	return NULL;
}

static bool wanted(const struct det_remote_config *c, const char *folder)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->targets[i].folder, folder) == 0)
			return true;
	return false;
}

static void remove_folder(const char *path)
{
	DIR *d = opendir(path);

	if (d == NULL)
		return;
	for (const struct dirent *e; (e = readdir(d)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	(void)rmdir(path);
}

/* Folders of queues that no destination has any more. */
static void remove_orphans(const struct det_remote *r, const struct det_remote_config *c)
{
	OPS_CLEANUP(ops_freep) char *queues = ops_path_join(r->dir, "queues");
	DIR *d = opendir(queues);

	if (d == NULL)
		return;
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || wanted(c, e->d_name))
			continue;
		OPS_CLEANUP(ops_freep) char *path = ops_path_join(queues, e->d_name);
		log_info("removing the queue of a destination that is gone", F_STR("folder", path));
		remove_folder(path);
	}
	closedir(d);
}

static int open_queue(struct det_remote *r, struct det_remote_config *c,
	const struct det_remote_target *t, struct det_queue **ret, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(r->dir, "queues");
	const struct det_queue_owner owner = {.loop = r->setup.loop,
		.client = r->setup.client,
		.tokens = r->tokens,
		.store = r->setup.store,
		.layouts = r->layouts,
		.dir = dir,
		.max_bytes = r->setup.queue_max_bytes};
	int rc = ops_mkdir_p(dir, 0700);

	if (rc != 0)
		return ops_error_set(err, rc, "could not make %s", dir);
	rc = det_queue_open(&owner, c, t, ret, err);
	if (rc != 0)
		ops_error_prefix(err, "remote_write %s", t->name);
	return rc;
}

/* The queues of the new configuration: those that stay are taken over, the others opened. */
static int gather(struct det_remote *r, struct det_remote_config *c, struct det_queue **next,
	struct ops_error *err)
{
	for (size_t i = 0; i < c->n; i++) {
		next[i] = find_queue(r, c->targets[i].folder);
		int rc = next[i] != NULL ? 0 : open_queue(r, c, &c->targets[i], &next[i], err);
		if (rc == 0)
			continue;
		while (i-- > 0)
			if (find_queue(r, c->targets[i].folder) == NULL)
				det_queue_close(next[i]);
		return rc;
	}
	return 0;
}

int det_remote_apply(struct det_remote *r, struct det_remote_config *config, struct ops_error *err)
{
	struct det_queue **next = ops_xcalloc(config->n + 1, sizeof(next[0]));

	flush(r);
	int rc = gather(r, config, next, err);
	if (rc != 0) {
		free(next);
		return rc;
	}
	for (size_t i = 0; i < r->nqueues; i++)
		if (!wanted(config, det_queue_folder(r->queues[i])))
			det_queue_close(r->queues[i]);
	for (size_t i = 0; i < config->n; i++)
		det_queue_configure(next[i], config, &config->targets[i]);
	free(r->queues);
	r->queues = next;
	r->nqueues = config->n;
	r->sync_next = 0;
	r->collecting = false;
	remove_orphans(r, config);
	return 0;
}

bool det_remote_drained(struct det_remote *r)
{
	bool drained = true;

	for (size_t i = 0; i < r->nqueues; i++)
		drained = det_queue_drained(r->queues[i]) && drained;
	return drained;
}

int det_remote_open(
	const struct det_remote_setup *setup, struct det_remote **ret, struct ops_error *err)
{
	const struct det_store_tap tap = {on_row, on_sample, on_histogram, NULL};
	struct det_store_tap mine = tap;
	OPS_CLEANUP(ops_freep) char *layouts = ops_path_join(setup->dir, "layouts");
	struct det_remote *r = ops_xcalloc(1, sizeof(*r));

	r->setup = *setup;
	r->tokens = ops_oauth2_tokens_new(setup->loop, setup->client);
	r->dir = ops_xstrdup(setup->dir);
	int rc = det_layouts_open(layouts, &r->layouts, err);
	if (rc != 0) {
		det_remote_close(r);
		return rc;
	}
	r->sync = ops_timer_new(setup->loop, on_sync, r);
	ops_timer_start(r->sync, SYNC_MS);
	mine.arg = r;
	det_store_set_tap(setup->store, &mine);
	ops_metrics_on_collect(on_collect, r);
	*ret = r;
	return 0;
}

void det_remote_close(struct det_remote *r)
{
	const struct det_store_tap nobody = {.arg = NULL};

	if (r == NULL)
		return;
	det_store_set_tap(r->setup.store, &nobody);
	if (r->layouts != NULL)
		flush(r);
	if (r->ticket != NULL)
		r->ticket->remote = NULL;
	for (size_t i = 0; i < r->nqueues; i++)
		det_queue_close(r->queues[i]);
	ops_oauth2_tokens_free(r->tokens);
	free(r->queues);
	free(r->collect_marks);
	ops_timer_free(r->sync);
	det_layouts_close(r->layouts);
	det_journal_done(&r->journal);
	det_journal_done(&r->exemplars);
	free(r->dir);
	free(r);
}
