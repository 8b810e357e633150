/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of their own for each of many things that are due at once end up to a millisecond apart,
 * since each counts from the moment at which it was set: requests go out in several turns, and
 * answers are published in several messages. A moment leaves the table before it is told, so what
 * is put back for the same time is a new one, in the next turn.
 */
#include "services/collector/agenda.h"

#include "common/base/clock.h"
#include "common/base/map.h"

struct col_moment {
	struct col_agenda *owner;
	struct ops_timer *timer;
	struct col_entry *first;
	int64_t due_ms;
};

void col_agenda_init(struct col_agenda *a, struct ops_loop *loop, void (*fn)(void *arg))
{
	*a = (struct col_agenda){.loop = loop, .fn = fn, .moments = ops_map_new()};
}

static void moment_free(void *arg)
{
	struct col_moment *m = arg;
	while (m->first != NULL) {
		col_agenda_drop(m->first);
	}
	ops_timer_free(m->timer);
	free(m);
}

void col_agenda_done(struct col_agenda *a)
{
	ops_map_free(a->moments, moment_free);
	a->moments = NULL;
}

static void on_moment(void *arg)
{
	struct col_moment *m = arg;
	(void)ops_map_remove(m->owner->moments, &m->due_ms, sizeof(m->due_ms));
	while (m->first != NULL) {
		struct col_entry *e = m->first;
		col_agenda_drop(e);
		m->owner->fn(e->arg);
	}
	moment_free(m);
}

static struct col_moment *moment_at(struct col_agenda *a, int64_t due_ms)
{
	struct col_moment *m = ops_map_get(a->moments, &due_ms, sizeof(due_ms));
	if (m == NULL) {
		m = ops_xcalloc(1, sizeof(*m));
		*m = (struct col_moment){.owner = a, .due_ms = due_ms};
		m->timer = ops_timer_new(a->loop, on_moment, m);
		ops_timer_start(m->timer, due_ms - ops_now_ms());
		(void)ops_map_put(a->moments, &due_ms, sizeof(due_ms), m);
	}
	return m;
}

void col_agenda_put(struct col_agenda *a, struct col_entry *e, int64_t due_ms)
{
	col_agenda_drop(e);
	struct col_moment *m = moment_at(a, due_ms);
	e->moment = m;
	e->next = m->first;
	e->link = &m->first;
	if (e->next != NULL) {
		e->next->link = &e->next;
	}
	m->first = e;
}

void col_agenda_drop(struct col_entry *e)
{
	if (e->moment == NULL) {
		return;
	}
	*e->link = e->next;
	if (e->next != NULL) {
		e->next->link = e->link;
	}
	e->moment = NULL;
}
