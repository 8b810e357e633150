/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who sends a target: a job and an instance, by each collector that announces a layout of these
 * names. Whose rows of it are stored is told in replicas_rows.c.
 *
 * Layouts: a target may have several at a time, the current one of each collector and the one that
 * it had until the next batch. The store forgets one when no live collector has it any more and the
 * newest stored row has another: its series that went away become stale at that row's time. One
 * that comes back with it is asked to announce it again.
 */
#include "services/detector/replicas_internal.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"

enum {
	SILENT_MS = 24 * 3600 * 1000,
	ALIVE_LEAST_MS = 5000
};

struct det_replicas *det_replicas_new(struct det_store *store)
{
	struct det_replicas *r = ops_xcalloc(1, sizeof(*r));
	r->store = store;
	r->streams = ops_map_new();
	r->targets = ops_map_new();
	r->by_layout = ops_map_new();
	r->up = ops_map_new();
	ops_strbuf_init(&r->scratch);
	det_replicas_register();
	return r;
}

void det_drop_held(struct det_rep_target *t, size_t first)
{
	for (size_t i = 0; i < first; i++) {
		free(t->held[i].payload);
	}
	t->nheld -= first;
	memmove(t->held, t->held + first, t->nheld * sizeof(t->held[0]));
}

static void target_free(void *arg)
{
	struct det_rep_target *t = arg;
	det_drop_held(t, t->nheld);
	free(t->sources);
	free(t);
}

static void stream_free(void *arg)
{
	struct det_rep_stream *s = arg;
	free(s->name);
	free(s);
}

void det_replicas_free(struct det_replicas *r)
{
	if (r == NULL) {
		return;
	}
	ops_map_free(r->by_layout, NULL);
	ops_map_free(r->up, NULL);
	ops_map_free(r->targets, target_free);
	ops_map_free(r->streams, stream_free);
	ops_strbuf_done(&r->scratch);
	free(r);
}

/* ---- streams, targets, sources ---- */

struct det_rep_stream *det_stream_of(struct det_replicas *r, const char *name)
{
	struct det_rep_stream *s = ops_map_gets(r->streams, name);
	if (s == NULL) {
		s = ops_xcalloc(1, sizeof(*s));
		s->name = ops_xstrdup(name);
		(void)ops_map_puts(r->streams, name, s);
	}
	return s;
}

struct det_rep_source *det_source_of(struct det_rep_target *t, struct det_rep_stream *s)
{
	struct det_rep_source *found = NULL;
	for (size_t i = 0; i < t->n && found == NULL; i++) {
		found = t->sources[i].stream == s ? &t->sources[i] : NULL;
	}
	if (found == NULL) {
		OPS_GROW(t->sources, t->n, t->cap);
		found = &t->sources[t->n++];
		*found = (struct det_rep_source){.stream = s};
	}
	found->heard_ms = t->heard_ms = ops_mono_ms();
	found->gone = false;
	return found;
}

bool det_source_alive(const struct det_rep_target *t, const struct det_rep_source *s)
{
	int64_t limit = OPS_MAX(t->interval_ms * 5 / 2, (int64_t)ALIVE_LEAST_MS);
	return s->current != 0 && !s->gone && ops_mono_ms() - s->heard_ms <= limit;
}

bool det_another_lives(const struct det_rep_target *t, const struct det_rep_stream *but)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->sources[i].stream != but && det_source_alive(t, &t->sources[i])) {
			return true;
		}
	}
	return false;
}

void det_set_leader(struct det_rep_target *t, struct det_rep_stream *leader)
{
	if (t->leader != NULL) {
		t->leader->led--;
	}
	t->leader = leader;
	if (leader != NULL) {
		leader->led++;
		t->led_last = leader;
	}
}

/* ---- layouts ---- */

static bool layout_used(const struct det_rep_target *t, uint64_t id)
{
	bool used = t->stored == id;
	for (size_t i = 0; i < t->n && !used; i++) {
		const struct det_rep_source *s = &t->sources[i];
		used = !s->gone && (s->current == id || s->previous == id);
	}
	return used;
}

void det_retire_unused(
	struct det_replicas *r, const struct det_rep_target *t, uint64_t id, int64_t time_ms)
{
	if (id != 0 && !layout_used(t, id) && ops_map_get(r->by_layout, &id, sizeof(id)) == t) {
		det_store_retire_layout(r->store, id, time_ms);
		(void)ops_map_remove(r->by_layout, &id, sizeof(id));
		(void)ops_map_remove(r->up, &id, sizeof(id));
	}
}

static struct det_rep_target *target_of(struct det_replicas *r, const char *key)
{
	struct det_rep_target *t = ops_map_gets(r->targets, key);
	if (t == NULL) {
		t = ops_xcalloc(1, sizeof(*t));
		(void)ops_map_puts(r->targets, key, t);
	}
	return t;
}

static void change_layout(
	struct det_replicas *r, struct det_rep_target *t, struct det_rep_source *s, uint64_t id)
{
	uint64_t middle = 0;
	(void)ops_map_put(r->by_layout, &id, sizeof(id), t);
	if (s->current == id) {
		return;
	}
	if (s->previous == 0) {
		s->previous = s->current;
	} else {
		middle = s->current; /* no batch of it came: it never had samples */
	}
	if (s->previous == id) {
		s->previous = 0; /* back to what it was */
	}
	s->current = id;
	det_retire_unused(r, t, middle, 0);
}

void det_replicas_layout(struct det_replicas *r, const char *stream, const struct ops_layout *l)
{
	OPS_CLEANUP(ops_freep) char *key = ops_xasprintf("%s\n%s", l->job, l->instance);
	struct det_rep_target *t = target_of(r, key);
	change_layout(r, t, det_source_of(t, det_stream_of(r, stream)), l->id);
}

void det_replicas_resume(struct det_replicas *r, const struct det_store_resumed *resumed)
{
	const char *source = resumed->source, *end = strchr(source, '\n');
	size_t len = end != NULL ? (size_t)(end - source) : 0;
	OPS_CLEANUP(ops_freep) char *stream = ops_xstrndup(source, len);
	struct det_rep_target *t = target_of(r, end != NULL ? end + 1 : source);
	struct det_rep_stream *s = det_stream_of(r, stream);
	change_layout(r, t, det_source_of(t, s), resumed->layout_id);
	det_set_leader(t, s); /* others wait for what it has kept meanwhile */
	/* All of them have kept rows, and in which order these come is chance. */
	if (resumed->last_ms > t->last_ms) {
		t->last_ms = resumed->last_ms;
		t->interval_ms = OPS_MIN(resumed->step_ms, (int64_t)DET_INTERVAL_MAX_MS);
	}
}

/* ---- collectors that go ---- */

void det_drop_held_of(struct det_rep_target *t, const struct det_rep_stream *s)
{
	if (t->nheld > 0 && t->held[0].stream == s) {
		det_drop_held(t, t->nheld);
	}
}

void det_end_source(struct det_replicas *r, struct det_rep_target *t, struct det_rep_stream *s)
{
	struct det_rep_source *source = det_source_of(t, s);
	uint64_t ids[] = {source->current, source->previous};
	source->current = source->previous = 0;
	det_drop_held_of(t, s);
	for (size_t i = 0; i < OPS_LENGTH(ids); i++) {
		det_retire_unused(r, t, ids[i], 0);
	}
}

void det_replicas_release(struct det_replicas *r, const char *stream, uint64_t layout_id)
{
	struct det_rep_stream *s = det_stream_of(r, stream);
	struct det_rep_target *t = ops_map_get(r->by_layout, &layout_id, sizeof(layout_id));
	if (t == NULL) {
		return;
	}
	det_end_source(r, t, s);
	if (t->leader == s) {
		det_follow_another(r, t, "released");
	}
}

/* One said that the target is no more, and the others that were thought to have it are gone. */
static void end_after_all(struct det_replicas *r, struct det_rep_target *t)
{
	uint64_t stored = t->stored;
	if (t->end_ms == 0 || stored == 0 || det_another_lives(t, NULL)) {
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		t->sources[i].current = t->sources[i].previous = 0;
	}
	t->stored = 0;
	det_retire_unused(r, t, stored, OPS_MAX(t->end_ms, t->last_ms + 1));
	t->end_ms = 0;
}

void det_replicas_gone(struct det_replicas *r, const char *stream)
{
	struct det_rep_stream *s = ops_map_gets(r->streams, stream);
	struct ops_map_entry e;
	if (s == NULL) {
		return;
	}
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		struct det_rep_target *t = e.value;
		for (size_t i = 0; i < t->n; i++) {
			t->sources[i].gone |= t->sources[i].stream == s;
		}
		det_drop_held_of(t, s);
		if (t->leader == s) {
			det_follow_another(r, t, "gone");
		}
		end_after_all(r, t);
	}
}

static void forget_target(struct det_replicas *r, struct det_rep_target *t)
{
	uint64_t stored = t->stored;
	t->stored = 0;
	for (size_t i = 0; i < t->n; i++) {
		uint64_t ids[] = {t->sources[i].current, t->sources[i].previous};
		t->sources[i].current = t->sources[i].previous = 0;
		det_retire_unused(r, t, ids[0], 0);
		det_retire_unused(r, t, ids[1], 0);
	}
	det_retire_unused(r, t, stored, 0);
	det_set_leader(t, NULL);
	target_free(t);
}

void det_replicas_maintain(struct det_replicas *r)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		struct det_rep_target *t = e.value;
		if (ops_mono_ms() - t->heard_ms > SILENT_MS) {
			(void)ops_map_remove(r->targets, e.key, e.len);
			forget_target(r, t);
		}
	}
}

void det_replicas_stats(const struct det_replicas *r, struct det_replicas_stats *ret)
{
	struct ops_map_entry e;
	*ret = (struct det_replicas_stats){.targets = ops_map_count(r->targets)};
	for (size_t at = 0; ops_map_next(r->targets, &at, &e);) {
		const struct det_rep_target *t = e.value;
		size_t alive = 0;
		for (size_t i = 0; i < t->n; i++) {
			alive += det_source_alive(t, &t->sources[i]);
		}
		ret->replicated += alive > 1;
	}
}

size_t det_replicas_led(const struct det_replicas *r, const char *stream)
{
	const struct det_rep_stream *s = ops_map_gets(r->streams, stream);
	return s != NULL ? s->led : 0;
}
