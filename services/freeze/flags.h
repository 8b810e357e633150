/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The flag file: the form of the answer that a shell script can read. One file a scope in a folder
 * that only the service can write: "FREEZE" on the first line, then why; absent or empty means
 * open. Somebody may change a file by hand (the first lab did it with rm): the folder is watched,
 * and what is not as we wrote it is reported.
 */
#include "common/base/error.h"
#include "common/loop/loop.h"

struct frz_flags; /* opaque */

enum frz_flag_change {
	FRZ_FLAG_REMOVED,
	FRZ_FLAG_FORGED
}; /* gone or emptied while frozen; FREEZE while open */

struct frz_flags_config {
	const char *dir;
	const char *legacy_file; /* also written for any freeze; NULL = off. Anyone may be able to
				    forge a file in /tmp. */
	void (*on_change)(void *arg, const char *scope, enum frz_flag_change change);
	void *arg;
};

int frz_flags_open(struct ops_loop *loop, const struct frz_flags_config *cfg,
	struct frz_flags **ret, struct ops_error *err) OPS_MUST_CHECK;
void frz_flags_close(struct frz_flags *f); /* the files stay: a stopped service thaws nothing */
/* text: what stands below FREEZE; NULL opens the scope (the file is removed). */
int frz_flags_set(struct frz_flags *f, const char *scope, const char *text) OPS_MUST_CHECK;
/* Compares every file with what was set; also runs by itself on changes and every 2 s. */
void frz_flags_check(struct frz_flags *f);
/* "<scope>.flag" with '/' as '%', "*" as "ALL.flag". Release with free(). */
char *frz_flag_name(const char *scope) OPS_MUST_CHECK;
