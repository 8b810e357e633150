/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One libevent base without its time cache: with the cache a timer started at the end of a long
 * callback counts from the callback's begin and fires too early. The price is a vDSO clock read per
 * timer.
 *
 * Deferred work is an event of its own that is made active by hand: libevent appends it to the
 * queue of what is active, so it runs after everything that this turn had found ready, whoever
 * drives the base (ops_loop_run here, event_base_loop in an example). What deferred work defers
 * runs in the same way, after it. ops_loop_free runs what is left, so that an object deferred
 * during the last turn is not leaked.
 *
 * Beats are the multiples of an interval on the monotonic clock, moved by a number that differs
 * from loop to loop, so that the processes of a host do not all wake at once. An interval has one
 * event for all timers that wait for it: events of their own, due within microseconds of each
 * other, would each be waited for. libevent's clock goes in steps of some milliseconds; a wait that
 * is no multiple of them ends a step too early and begins again. Beats are rounded to a fiftieth of
 * the interval, which for a second is such a multiple.
 *
 * Timers and watches embed their struct event; libevent does not touch an event after its callback
 * has returned, therefore freeing it from inside its own callback is allowed.
 */
#include "common/loop/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>

#include "common/base/clock.h"
#include "common/base/text.h"

struct deferred {
	void (*fn)(void *);
	void *arg;
};

struct signal_handler {
	struct event event;
	void (*fn)(int signo, void *arg);
	void *arg;
	struct signal_handler *next;
};

/* An interval of which some timer has waited; there are few, and they stay. */
struct beat {
	struct event event;
	int64_t interval_us;
	struct ops_timer *waiting, *firing;
	struct beat *next;
};

struct ops_loop {
	struct event_base *base;
	struct event defer_event;
	struct deferred *deferred;
	size_t ndeferred, deferred_cap;
	struct signal_handler *signals;
	struct beat *beats;
	uint32_t phase_us;
	bool stopped;
};

struct ops_timer {
	struct event event;
	struct ops_loop *loop;
	struct ops_timer *next, **at; /* in the list of a beat; at: NULL in none */
	void (*fn)(void *);
	void *arg;
};

struct ops_watch {
	struct event event;
	struct event_base *base;
	int fd;
	void (*fn)(int fd, unsigned what, void *arg);
	void *arg;
};

static void run_deferred(struct ops_loop *loop)
{
	struct deferred *batch = loop->deferred;
	size_t n = loop->ndeferred;

	loop->deferred = NULL;
	loop->ndeferred = loop->deferred_cap = 0;
	for (size_t i = 0; i < n; i++)
		batch[i].fn(batch[i].arg);
	free(batch);
}

static void on_defer_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run_deferred(arg);
}

struct ops_loop *ops_loop_new(void)
{
	struct ops_loop *loop = ops_xcalloc(1, sizeof(*loop));
	struct event_config *config = event_config_new();

	loop->phase_us = (uint32_t)ops_random_u64();
	ops_assert(config != NULL);
	ops_assert(event_config_set_flag(config, EVENT_BASE_FLAG_NO_CACHE_TIME) == 0);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	ops_assert(loop->base != NULL);
	ops_assert(event_assign(&loop->defer_event, loop->base, -1, 0, on_defer_event, loop) == 0);
	return loop;
}

/*
 * libevent itself defers: a resolver that was freed tells its open questions so in the next turn,
 * and what belongs to them is freed then. No event of ours is left to run.
 */
static void run_what_libraries_deferred(struct ops_loop *loop)
{
	while (event_base_get_num_events(loop->base, EVENT_BASE_COUNT_ACTIVE) > 0)
		ops_assert(event_base_loop(loop->base, EVLOOP_NONBLOCK) >= 0);
}

void ops_loop_free(struct ops_loop *loop)
{
	if (loop == NULL)
		return;
	while (loop->ndeferred > 0)
		run_deferred(loop);
	free(loop->deferred);
	event_del(&loop->defer_event);
	while (loop->signals != NULL) {
		struct signal_handler *h = loop->signals;
		loop->signals = h->next;
		event_del(&h->event);
		free(h);
	}
	while (loop->beats != NULL) {
		struct beat *b = loop->beats;
		loop->beats = b->next;
		event_del(&b->event);
		free(b);
	}
	run_what_libraries_deferred(loop);
	event_base_free(loop->base);
	free(loop);
}

void ops_loop_run(struct ops_loop *loop)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGXFSZ, &ignore, NULL); /* a file that may not grow is an error of the write */
	while (!loop->stopped)
		ops_assert(event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0);
	loop->stopped = false;
}

void ops_loop_stop(struct ops_loop *loop)
{
	loop->stopped = true;
	event_base_loopbreak(loop->base);
}

struct event_base *ops_loop_base(struct ops_loop *loop)
{
	return loop->base;
}

void ops_loop_defer(struct ops_loop *loop, void (*fn)(void *), void *arg)
{
	OPS_GROW(loop->deferred, loop->ndeferred, loop->deferred_cap);
	loop->deferred[loop->ndeferred++] = (struct deferred){fn, arg};
	event_active(&loop->defer_event, EV_TIMEOUT, 0);
}

static void on_timer_event(evutil_socket_t fd, short what, void *arg)
{
	struct ops_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct ops_timer *ops_timer_new(struct ops_loop *loop, void (*fn)(void *), void *arg)
{
	struct ops_timer *t = ops_xcalloc(1, sizeof(*t));

	t->loop = loop;
	t->fn = fn;
	t->arg = arg;
	ops_assert(event_assign(&t->event, loop->base, -1, 0, on_timer_event, t) == 0);
	return t;
}

static void leave_beat(struct ops_timer *t)
{
	if (t->at == NULL)
		return;
	*t->at = t->next;
	if (t->next != NULL)
		t->next->at = t->at;
	t->at = NULL;
}

void ops_timer_free(struct ops_timer *t)
{
	if (t == NULL)
		return;
	ops_timer_stop(t);
	free(t);
}

void ops_timer_start(struct ops_timer *t, int64_t delay_ms)
{
	int64_t ms = delay_ms < 0 ? 0 : delay_ms;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	leave_beat(t);
	ops_assert(event_add(&t->event, &tv) == 0);
}

void ops_timer_stop(struct ops_timer *t)
{
	leave_beat(t);
	event_del(&t->event);
}

bool ops_timer_pending(const struct ops_timer *t)
{
	return t->at != NULL || event_pending(&t->event, EV_TIMEOUT, NULL) != 0;
}

/* ---- beats ---- */

static void link_timer(struct ops_timer *t, struct ops_timer **list)
{
	while (*list != NULL)
		list = &(*list)->next;
	t->next = NULL;
	t->at = list;
	*list = t;
}

static void on_beat_event(evutil_socket_t fd, short what, void *arg)
{
	struct beat *b = arg;

	(void)fd;
	(void)what;
	while (b->waiting != NULL) {
		struct ops_timer *t = b->waiting;
		leave_beat(t);
		link_timer(t, &b->firing);
	}
	while (b->firing != NULL) {
		struct ops_timer *t = b->firing;
		leave_beat(t);
		t->fn(t->arg);
	}
}

static struct beat *beat_of(struct ops_loop *loop, int64_t interval_us)
{
	struct beat *b = loop->beats;

	while (b != NULL && b->interval_us != interval_us)
		b = b->next;
	if (b == NULL) {
		b = ops_xcalloc(1, sizeof(*b));
		b->interval_us = interval_us;
		b->next = loop->beats;
		loop->beats = b;
		ops_assert(event_assign(&b->event, loop->base, -1, 0, on_beat_event, b) == 0);
	}
	return b;
}

static int64_t until_beat_us(const struct ops_loop *loop, int64_t interval_us)
{
	int64_t least_us = interval_us / 4, step_us = interval_us / 50;
	int64_t earliest_us = ops_mono_ns() / 1000 + loop->phase_us + least_us;
	int64_t us = least_us + interval_us - earliest_us % interval_us;

	return us + step_us - us % step_us;
}

void ops_timer_start_beat(struct ops_timer *t, int64_t interval_ms)
{
	struct beat *b = beat_of(t->loop, OPS_MAX(interval_ms, (int64_t)1) * 1000);

	ops_timer_stop(t);
	link_timer(t, &b->waiting);
	if (event_pending(&b->event, EV_TIMEOUT, NULL) == 0) {
		int64_t us = until_beat_us(t->loop, b->interval_us);
		struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
		ops_assert(event_add(&b->event, &tv) == 0);
	}
}

/* ---- watches ---- */

static short watch_events(unsigned what)
{
	int events = EV_PERSIST;

	if ((what & OPS_READABLE) != 0)
		events |= EV_READ;
	if ((what & OPS_WRITABLE) != 0)
		events |= EV_WRITE;
	return (short)events;
}

static void on_watch_event(evutil_socket_t fd, short events, void *arg)
{
	struct ops_watch *w = arg;
	unsigned what = (events & EV_READ) != 0 ? OPS_READABLE : 0;

	if ((events & EV_WRITE) != 0)
		what |= OPS_WRITABLE;
	w->fn(fd, what, w->arg);
}

static void watch_arm(struct ops_watch *w, unsigned what)
{
	int r = event_assign(&w->event, w->base, w->fd, watch_events(what), on_watch_event, w);

	ops_assert(r == 0);
	if (what != 0)
		ops_assert(event_add(&w->event, NULL) == 0);
}

struct ops_watch *ops_watch_new(struct ops_loop *loop, int fd, unsigned what,
	void (*fn)(int fd, unsigned what, void *arg), void *arg)
{
	struct ops_watch *w = ops_xcalloc(1, sizeof(*w));

	*w = (struct ops_watch){.base = loop->base, .fd = fd, .fn = fn, .arg = arg};
	watch_arm(w, what);
	return w;
}

void ops_watch_set(struct ops_watch *w, unsigned what)
{
	event_del(&w->event);
	watch_arm(w, what);
}

void ops_watch_free(struct ops_watch *w)
{
	if (w == NULL)
		return;
	event_del(&w->event);
	free(w);
}

static void on_signal_event(evutil_socket_t signo, short what, void *arg)
{
	struct signal_handler *h = arg;

	(void)what;
	h->fn(signo, h->arg);
}

int ops_loop_on_signal(
	struct ops_loop *loop, int signo, void (*fn)(int signo, void *arg), void *arg)
{
	struct signal_handler *h = ops_xcalloc(1, sizeof(*h));

	h->fn = fn;
	h->arg = arg;
	if (evsignal_assign(&h->event, loop->base, signo, on_signal_event, h) != 0 ||
		evsignal_add(&h->event, NULL) != 0) {
		free(h);
		return -EINVAL;
	}
	h->next = loop->signals;
	loop->signals = h;
	return 0;
}

int64_t ops_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
	int64_t delay = OPS_MAX(base_ms, 1);

	for (unsigned i = 0; i < attempt && delay < cap_ms; i++)
		delay = delay > cap_ms / 2 ? cap_ms : delay * 2;
	delay = OPS_MAX(OPS_MIN(delay, cap_ms), 0);
	return delay - (int64_t)(ops_random_u64() % (uint64_t)(delay / 2 + 1));
}
