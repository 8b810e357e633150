/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Starts one program in a process group of its own with everything of ours closed, and nothing that
 * it could use to get more rights than it has. Watching and ending it is the caller's work.
 */
#include "common/base/error.h"

#include <sys/types.h>

struct alm_spawn {
	const char *path, *dir;	  /* absolute; dir is its working directory */
	char *const *environment; /* NAME=value, NULL-ended: all that it gets */
	const char *user;	  /* NULL or "" = as this process */
	const void *input;	  /* its standard input */
	size_t input_len;
	int64_t cpu_seconds;
};

struct alm_child {
	pid_t pid;    /* also its process group */
	int pidfd;    /* readable when it has ended */
	int out, err; /* its standard output and error, non-blocking */
};

/* -errno with err when it could not be started (also when exec failed). */
int alm_child_spawn(
	const struct alm_spawn *spec, struct alm_child *ret, struct ops_error *err) OPS_MUST_CHECK;
/* To the whole group. */
void alm_child_signal(const struct alm_child *c, int signo);
/*
 * After pidfd became readable: kills what is left of the group, reaps, closes pidfd. Either
 * ret_exit_code is >= 0 or ret_signal is > 0. The pipes stay open.
 */
void alm_child_reap(struct alm_child *c, int *ret_exit_code, int *ret_signal);
