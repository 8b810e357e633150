/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer remembers, on its own disk and not in the database that it guards, the last tree it
 * signed: the file `checkpoint` in the state directory is that note. It signs a larger tree only
 * after the head, rebuilt from the records one by one, was seen to pass through the remembered size
 * with the remembered root. A log that was cut off, exchanged or rewritten below that size is never
 * signed again.
 *
 * Order: the file first, then the note is served and stored in the table. A crash in between leaves
 * a signature nobody saw, over a tree that was committed: harmless.
 */
#include "services/auditlog/auditlog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/audit/note.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

static struct ops_metric metric_signed =
	OPS_COUNTER("ops_auditlog_checkpoints_total", "Checkpoints signed.");
static struct ops_metric metric_size =
	OPS_GAUGE("ops_auditlog_checkpoint_size", "Records under the last checkpoint.");
static struct ops_metric metric_errors = OPS_COUNTER("ops_auditlog_checkpoint_errors_total",
	"Checkpoints that could not be written or stored.", "where");

struct aud_signer {
	struct aud *aud;
	struct ops_note_signer *key;
	char *origin, *file;
	struct ops_timer *timer;
	int64_t interval_ms;
	struct ops_checkpoint last; /* size 0: nothing signed yet */
	struct ops_strbuf note;
	uint64_t stored_size; /* in the table */
	bool extends;	      /* the head went through `last` */
	bool storing, closed;
};

static void on_timer(void *arg);

/* The note as we wrote it; the key may have been exchanged since, so only its text is read. */
static int load_last(struct aud_signer *g, struct ops_error *err)
{
	int code = ops_file_read(g->file, 65536, &g->note);

	if (code == -ENOENT) {
		g->extends = true;
		return 0;
	}
	if (code < 0)
		return ops_error_set(err, code, "could not read %s: %s", g->file, strerror(-code));
	const char *end = strstr(ops_strbuf_text(&g->note), "\n\n");
	size_t len = end != NULL ? (size_t)(end + 1 - g->note.data) : g->note.len;
	code = ops_checkpoint_parse(ops_strbuf_text(&g->note), len, &g->last, err);
	if (code < 0) {
		ops_error_prefix(err, "%s", g->file);
		ops_error_hint(
			err, "this file remembers what was signed; restore it from a backup");
		return code;
	}
	ops_metric_set(&metric_size, (double)g->last.size);
	return 0;
}

int aud_signer_open(
	struct aud *a, const struct aud_config *c, struct aud_signer **ret, struct ops_error *err)
{
	const char *dir = ops_daemon_state_dir(a->daemon);
	struct aud_signer *g = ops_xcalloc(1, sizeof(*g));
	bool configured = c->signing_key_file != NULL && c->signing_key_file[0] != '\0';
	OPS_CLEANUP(ops_freep)
	char *key =
		configured ? ops_xstrdup(c->signing_key_file) : ops_path_join(dir, "signing.key");

	g->aud = a;
	g->origin = ops_xstrdup(c->origin);
	g->file = ops_path_join(dir, "checkpoint");
	g->interval_ms = c->checkpoint_interval_ms;
	g->timer = ops_timer_new(a->loop, on_timer, g);
	ops_metric_register(&metric_signed);
	int code = ops_note_signer_open(key, c->origin, &g->key, err);
	if (code == 0)
		code = load_last(g, err);
	if (code < 0) {
		aud_signer_close(g);
		return code;
	}
	ops_timer_start(g->timer, g->interval_ms);
	*ret = g;
	return 0;
}

static void free_signer(struct aud_signer *g)
{
	ops_note_signer_free(g->key);
	ops_strbuf_done(&g->note);
	free(g->origin);
	free(g->file);
	free(g);
}

void aud_signer_close(struct aud_signer *g)
{
	if (g == NULL)
		return;
	ops_timer_free(g->timer);
	g->closed = true;
	if (!g->storing)
		free_signer(g); /* else when the answer comes */
}

int aud_signer_observe(struct aud_signer *g, const struct ops_merkle *tree)
{
	unsigned char root[OPS_HASH_BYTES];

	if (g->extends || tree->size != g->last.size)
		return 0;
	ops_merkle_root(tree, root);
	if (memcmp(root, g->last.root, sizeof(root)) != 0)
		return -EINVAL;
	g->extends = true;
	return 0;
}

/* ---- the table ---- */

static void on_stored(void *arg, const struct ops_pg_result *r)
{
	struct aud_signer *g = arg;

	g->storing = false;
	if (g->closed) {
		free_signer(g);
	} else if (r->outcome == OPS_PG_OK) {
		g->stored_size = g->last.size;
	} else {
		ops_metric_add(&metric_errors, 1, "database");
		if (r->outcome == OPS_PG_FAILED)
			log_warn("could not store a checkpoint", F_STR("sqlstate", r->sqlstate),
				F_STR("error", r->message));
	}
}

static void store(struct aud_signer *g)
{
	char size[24], root[2 * OPS_HASH_BYTES + 3] = "\\x";
	const char *params[] = {size, root, ops_strbuf_text(&g->note)};
	const struct ops_pg_statement insert = {
		"INSERT INTO audit.checkpoints (size, at, root, note) VALUES ($1, now(), $2, $3) "
		"ON CONFLICT DO NOTHING",
		3, params};

	snprintf(size, sizeof(size), "%llu", (unsigned long long)g->last.size);
	ops_hex_encode(g->last.root, sizeof(g->last.root), root + 2);
	g->storing =
		ops_pg_exec(aud_sequencer_pg(g->aud->sequencer), &insert, 1, on_stored, g) == 0;
}

/* ---- signing ---- */

static int sign(struct aud_signer *g, const struct ops_merkle *tree)
{
	struct ops_checkpoint next = {.size = tree->size};
	struct ops_strbuf text = OPS_STRBUF_INIT, note = OPS_STRBUF_INIT;

	ops_assert(g->extends && tree->size > g->last.size);
	snprintf(next.origin, sizeof(next.origin), "%s", g->origin);
	ops_merkle_root(tree, next.root);
	ops_checkpoint_format(&next, &text);
	int code = ops_note_sign(g->key, ops_strbuf_text(&text), &note);
	if (code == 0)
		code = ops_file_write_atomic(g->file, note.data, note.len, 0644);
	ops_strbuf_done(&text);
	if (code < 0) {
		ops_metric_add(&metric_errors, 1, "file");
		log_error("could not write the checkpoint", F_STR("file", g->file), F_ERR(code));
		ops_strbuf_done(&note);
		return code;
	}
	g->last = next;
	ops_strbuf_done(&g->note);
	g->note = note;
	ops_metric_add(&metric_signed, 1);
	ops_metric_set(&metric_size, (double)next.size);
	return 0;
}

bool aud_signer_finish(struct aud_signer *g)
{
	const struct ops_merkle *tree = &aud_sequencer_head(g->aud->sequencer)->tree;

	if (aud_sequencer_state(g->aud->sequencer) != AUD_READY || g->storing)
		return false;
	if (g->extends && tree->size > g->last.size && sign(g, tree) < 0)
		return false;
	if (g->stored_size != g->last.size)
		store(g);
	return !g->storing;
}

static void on_timer(void *arg)
{
	struct aud_signer *g = arg;

	(void)aud_signer_finish(g);
	ops_timer_start(g->timer, g->interval_ms);
}

uint64_t aud_signer_size(const struct aud_signer *g)
{
	return g->last.size;
}

const char *aud_signer_note(const struct aud_signer *g)
{
	return ops_strbuf_text(&g->note);
}

const char *aud_signer_vkey(const struct aud_signer *g)
{
	return ops_note_signer_vkey(g->key);
}
