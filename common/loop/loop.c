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
 * Timers and watches embed their struct event; libevent does not touch an event after its callback
 * has returned, therefore freeing it from inside its own callback is allowed.
 */
#include "common/loop/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>

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

struct ops_loop {
	struct event_base *base;
	struct event defer_event;
	struct deferred *deferred;
	size_t ndeferred, deferred_cap;
	struct signal_handler *signals;
	bool stopped;
};

struct ops_timer {
	struct event event;
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

	t->fn = fn;
	t->arg = arg;
	ops_assert(event_assign(&t->event, loop->base, -1, 0, on_timer_event, t) == 0);
	return t;
}

void ops_timer_free(struct ops_timer *t)
{
	if (t == NULL)
		return;
	event_del(&t->event);
	free(t);
}

void ops_timer_start(struct ops_timer *t, int64_t delay_ms)
{
	int64_t ms = delay_ms < 0 ? 0 : delay_ms;
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	ops_assert(event_add(&t->event, &tv) == 0);
}

void ops_timer_stop(struct ops_timer *t)
{
	event_del(&t->event);
}

bool ops_timer_pending(const struct ops_timer *t)
{
	return event_pending(&t->event, EV_TIMEOUT, NULL) != 0;
}

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
