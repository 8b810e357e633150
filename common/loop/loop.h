/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The event loop of a process: timers, descriptors, signals, deferred frees. A thin layer over one
 * libevent event_base, so that headers stay free of it. Everything runs on the loop's thread.
 * Inside a callback work is bounded; use ops_loop_defer or a zero timer to go on in the next turn.
 */
#include "common/base/def.h"

struct ops_loop;  /* opaque */
struct ops_timer; /* opaque; one-shot, re-armed by ops_timer_start */
struct ops_watch; /* opaque; a descriptor */
struct event_base;

struct ops_loop *ops_loop_new(void);
void ops_loop_free(struct ops_loop *loop); /* all timers and watches must be gone */
void ops_loop_run(struct ops_loop *loop);  /* until ops_loop_stop; SIGPIPE is ignored */
void ops_loop_stop(struct ops_loop *loop);
struct event_base *ops_loop_base(
	struct ops_loop *loop); /* for common/net, common/pg and examples */

/* Runs fn(arg) at the end of this turn: for freeing what still has callers on the stack. */
void ops_loop_defer(struct ops_loop *loop, void (*fn)(void *), void *arg);

struct ops_timer *ops_timer_new(struct ops_loop *loop, void (*fn)(void *), void *arg);
void ops_timer_free(struct ops_timer *t); /* NULL is fine; also from inside its own callback */
void ops_timer_start(
	struct ops_timer *t, int64_t delay_ms); /* re-arms when running; < 0 counts as 0 */
/*
 * For work that comes again and again and need not be exact: the loop's next beat of that interval,
 * a quarter of it from now at least. Timers that wait for the same beat wake the process once.
 */
void ops_timer_start_beat(struct ops_timer *t, int64_t interval_ms);
void ops_timer_stop(struct ops_timer *t);
bool ops_timer_pending(const struct ops_timer *t);

enum {
	OPS_READABLE = 1,
	OPS_WRITABLE = 2
};
/* Level-triggered until freed; does not own fd. */
struct ops_watch *ops_watch_new(struct ops_loop *loop, int fd, unsigned what,
	void (*fn)(int fd, unsigned what, void *arg), void *arg);
void ops_watch_set(struct ops_watch *w, unsigned what); /* 0 pauses */
void ops_watch_free(struct ops_watch *w);

/* The handler runs on the loop, not in signal context. */
int ops_loop_on_signal(struct ops_loop *loop, int signo, void (*fn)(int signo, void *arg),
	void *arg) OPS_MUST_CHECK;

/* Delay for attempt 0,1,2...: base * 2^attempt up to cap, minus up to half of it at random
 * (jitter). */
int64_t ops_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms);
