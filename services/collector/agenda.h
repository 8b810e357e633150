/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What is due when, by wall clock: one timer for all that is due at the same millisecond, so that
 * it begins in one turn of the loop. Embedded by value; loop thread only.
 */
#include "common/loop/loop.h"

struct col_moment; /* opaque */

struct col_agenda {
	struct ops_loop *loop;
	void (*fn)(void *arg);	 /* is told the arg of what is due */
	struct ops_map *moments; /* due -> struct col_moment */
};

struct col_entry {		   /* zeroed to begin */
	struct col_moment *moment; /* NULL: nothing is due */
	struct col_entry *next, **link;
	void *arg;
};

void col_agenda_init(struct col_agenda *a, struct ops_loop *loop, void (*fn)(void *arg));
void col_agenda_done(struct col_agenda *a); /* what is in it is forgotten, not told */
/* Moves it when it is in already. What is past is due in the next turn. */
void col_agenda_put(struct col_agenda *a, struct col_entry *e, int64_t due_ms);
void col_agenda_drop(struct col_entry *e); /* also when it is not in */
