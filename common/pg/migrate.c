/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forward only: a file that was applied is history, and a history that changed is refused, because
 * nobody can say what the database holds then. The advisory lock makes two migrations at the same
 * moment one after the other. Each file and its row in ops.schema_migrations share a transaction,
 * so a file is applied whole or not at all; a file that ends the transaction itself is refused.
 */
#include "common/pg/migrate.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/pg/pg_sync.h"

#define FILE_LIMIT_BYTES ((size_t)4 << 20)

struct file {
	struct ops_migration public;
	struct ops_strbuf text;
	char sha256[65];
};

struct plan {
	const char *dir;
	struct file *files;
	size_t n, cap;
	struct ops_error *err;
};

static void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		ops_strbuf_done(&p->files[i].text);
	free(p->files);
}

static int load(struct file *f, const char *dir, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, f->public.name);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int code = ops_file_read(path, FILE_LIMIT_BYTES, &f->text);

	if (code < 0)
		return ops_error_set(err, -EINVAL, "could not read %s: %s", path, strerror(-code));
	const char *text = ops_strbuf_text(&f->text);
	if (strlen(text) != f->text.len)
		return ops_error_set(err, -EINVAL, "%s holds a NUL byte", path);
	if (EVP_Digest(text, f->text.len, digest, &len, EVP_sha256(), NULL) != 1 || len != 32)
		return ops_error_set(err, -EINVAL, "could not hash %s", path);
	ops_hex_encode(digest, len, f->sha256);
	return 0;
}

/* "0042_name.sql" */
static bool is_migration(const char *name, int *ret_number)
{
	int64_t number;

	if (strlen(name) < 10 || strlen(name) >= sizeof(((struct ops_migration *)NULL)->name) ||
		name[4] != '_' || !ops_str_ends(name, ".sql") ||
		ops_parse_i64(name, 4, &number) < 0 || number < 1)
		return false;
	*ret_number = (int)number;
	return true;
}

static int by_number(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	return x->public.number - y->public.number;
}

static int scan(struct plan *p)
{
	DIR *dir = opendir(p->dir);
	int number;

	if (dir == NULL)
		return ops_error_set(
			p->err, -EINVAL, "could not open %s: %s", p->dir, strerror(errno));
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		if (!is_migration(e->d_name, &number))
			continue;
		OPS_GROW(p->files, p->n, p->cap);
		struct file *f = &p->files[p->n++];
		memset(f, 0, sizeof(*f));
		f->public.number = number;
		snprintf(f->public.name, sizeof(f->public.name), "%s", e->d_name);
	}
	closedir(dir);
	if (p->n == 0)
		return ops_error_set(p->err, -EINVAL, "no NNNN_name.sql in %s", p->dir);
	qsort(p->files, p->n, sizeof(p->files[0]), by_number);
	for (size_t i = 0; i < p->n; i++) {
		if (p->files[i].public.number != (int)i + 1)
			return ops_error_set(p->err, -EINVAL,
				"%s is number %zu of %s: numbers go from 0001 without gaps",
				p->files[i].public.name, i + 1, p->dir);
		int code = load(&p->files[i], p->dir, p->err);
		if (code < 0)
			return code;
	}
	return 0;
}

/* Row: number, name, sha256 of what the database has. */
static int on_applied(void *arg, const struct ops_pg_row *row)
{
	struct plan *p = arg;
	int64_t number = 0;
	const char *text = ops_pg_row_value(row, 0);

	if (ops_parse_i64(text, strlen(text), &number) < 0 || number < 1 || (size_t)number > p->n)
		return ops_error_set(p->err, -EINVAL,
			"the database has migration %s (%s), which is not in %s", text,
			ops_pg_row_value(row, 1), p->dir);
	struct file *f = &p->files[number - 1];
	if (!ops_str_eq(f->sha256, ops_pg_row_value(row, 2))) {
		ops_error_set(p->err, -EINVAL, "%s/%s was changed after it was applied", p->dir,
			f->public.name);
		ops_error_hint(p->err, "restore the file; a change of the schema is a new file");
		return -EINVAL;
	}
	f->public.applied = true;
	return 0;
}

static int on_exists(void *arg, const struct ops_pg_row *row)
{
	bool *exists = arg;

	*exists = ops_pg_row_value(row, 0) != NULL;
	return 0;
}

static int read_applied(struct ops_pg_sync *s, struct plan *p, bool dry_run)
{
	bool exists = false;
	const struct ops_pg_query find = {.sql = "SELECT to_regclass('ops.schema_migrations')",
		.on_row = on_exists,
		.arg = &exists};
	const struct ops_pg_query applied = {
		.sql = "SELECT number, name, sha256 FROM ops.schema_migrations ORDER BY number",
		.on_row = on_applied,
		.arg = p};
	int code = ops_pg_sync_query(s, &find, p->err);

	if (code < 0 || (!exists && dry_run))
		return code;
	if (!exists)
		code = ops_pg_sync_script(s,
			"CREATE SCHEMA IF NOT EXISTS ops; CREATE TABLE ops.schema_migrations ("
			"number integer PRIMARY KEY, name text NOT NULL, sha256 text NOT NULL, "
			"applied_at timestamptz NOT NULL DEFAULT now())",
			p->err);
	return code < 0 ? code : ops_pg_sync_query(s, &applied, p->err);
}

static int apply(struct ops_pg_sync *s, const struct plan *p, const struct file *f)
{
	char number[16];
	const char *params[] = {number, f->public.name, f->sha256};
	const struct ops_pg_query record = {.sql = "INSERT INTO ops.schema_migrations (number, "
						   "name, sha256) VALUES ($1, $2, $3)",
		.nparams = 3,
		.params = params};
	int code = ops_pg_sync_script(s, "BEGIN", p->err);

	snprintf(number, sizeof(number), "%d", f->public.number);
	if (code == 0)
		code = ops_pg_sync_script(s, ops_strbuf_text(&f->text), p->err);
	if (code < 0) {
		if (p->err != NULL)
			snprintf(p->err->file, sizeof(p->err->file), "%s/%s", p->dir,
				f->public.name);
		return code;
	}
	if (!ops_pg_sync_in_transaction(s))
		return ops_error_set(p->err, -EINVAL,
			"%s/%s ends its transaction: leave COMMIT to the migration", p->dir,
			f->public.name);
	code = ops_pg_sync_script(s, "RESET ROLE", p->err);
	if (code == 0)
		code = ops_pg_sync_query(s, &record, p->err);
	return code == 0 ? ops_pg_sync_script(s, "COMMIT", p->err) : code;
}

static int run(struct ops_pg_sync *s, struct plan *p, bool dry_run,
	void (*on_step)(void *arg, const struct ops_migration *m), void *arg)
{
	int code = scan(p);

	/* Held until the connection closes. */
	if (code == 0 && !dry_run)
		code = ops_pg_sync_script(s, "SELECT pg_advisory_lock(7881299347898368)", p->err);
	if (code == 0)
		code = read_applied(s, p, dry_run);
	for (size_t i = 0; i < p->n && code == 0; i++) {
		struct file *f = &p->files[i];
		if (!f->public.applied && !dry_run)
			code = apply(s, p, f);
		if (code == 0 && on_step != NULL)
			on_step(arg, &f->public);
	}
	return code;
}

int ops_migrate(const char *conninfo, const char *dir, bool dry_run,
	void (*on_step)(void *arg, const struct ops_migration *m), void *arg, struct ops_error *err)
{
	OPS_CLEANUP(ops_pg_sync_closep) struct ops_pg_sync *s = NULL;
	struct plan plan = {.dir = dir, .err = err};
	int code = ops_pg_sync_open(conninfo, &s, err);

	if (code < 0)
		return code;
	code = run(s, &plan, dry_run, on_step, arg);
	plan_done(&plan);
	return code;
}
