/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spool of JSON events plus a snapshot of the set. An event carries the whole record as it is
 * afterwards, so folding is "last one wins" and needs no history; the snapshot names the last event
 * it contains and is replaced atomically, after which the spool in front of it may go.
 *
 * Order of a change: event fsynced here -> set in memory -> outbox row -> flag file -> bus. A crash
 * between two of these repeats the later ones at the next start: rows are keyed by the event's
 * UUID.
 */
#include "services/freeze/journal.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/spool/spool.h"

enum {
	SNAPSHOT_LIMIT = 16 << 20,
	SNAPSHOT_EVERY = 64
};

static const char *const kinds[] = {"set", "clear", "expire", "out_of_band", "restore"};

struct frz_journal {
	struct ops_spool *spool;
	char *snapshot_path;
	uint64_t snapshot_at; /* number of the last event it contains */
};

const char *frz_event_text(enum frz_event_kind k)
{
	return kinds[k];
}

static void put_record(struct frz_set *set, struct frz_record *taken)
{
	struct frz_record *old = frz_set_find(set, taken->id);
	if (old != NULL) {
		frz_set_remove(set, old);
	}
	frz_set_add(set, taken);
}

static int load_snapshot(struct frz_journal *j, struct frz_set *set, struct ops_error *err)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	int rc = ops_file_read(j->snapshot_path, SNAPSHOT_LIMIT, &text);
	if (rc == -ENOENT) {
		return 0;
	}
	if (rc != 0) {
		return ops_error_set(
			err, rc, "could not read %s: %s", j->snapshot_path, strerror(-rc));
	}
	OPS_JSON_AUTO *doc = NULL;
	rc = ops_json_parse(text.data, text.len, SNAPSHOT_LIMIT, &doc, err);
	if (rc != 0) {
		return rc;
	}
	int64_t at = 0;
	json_t *records = NULL;
	if (ops_json_get_i64(doc, "event", &at, err) != 0 ||
		ops_json_get_array(doc, "records", &records, err) != 0) {
		return ops_error_set(err, -EINVAL, "%s is not a snapshot", j->snapshot_path);
	}
	j->snapshot_at = (uint64_t)at;
	size_t i;
	json_t *item;
	json_array_foreach(records, i, item)
	{
		struct frz_record *r = NULL;
		rc = frz_record_from_json(item, &r, err);
		if (rc != 0) {
			return rc;
		}
		put_record(set, r);
	}
	return 0;
}

struct fold {
	struct frz_journal *journal;
	struct frz_set *set;
	void (*on_event)(void *arg, const struct frz_event *e);
	void *arg;
};

static int decode_event(const json_t *doc, struct frz_event *e, struct frz_record **ret)
{
	struct ops_error err;
	const char *kind = NULL, *id = NULL;
	json_t *record = NULL;
	if (ops_json_get_string(doc, "kind", &kind, &err) != 0 ||
		ops_json_get_string(doc, "id", &id, &err) != 0 || strlen(id) != 36 ||
		ops_json_get_time(doc, "at", &e->at_ms, &err) != 0 ||
		ops_json_get_string(doc, "actor", &e->actor, &err) < 0 ||
		ops_json_get_string(doc, "reason", &e->reason, &err) < 0 ||
		ops_json_get_object(doc, "record", &record, &err) != 0 ||
		frz_record_from_json(record, ret, &err) != 0) {
		return -EBADMSG;
	}
	memcpy(e->id, id, sizeof(e->id));
	e->record = *ret;
	for (size_t k = 0; k < OPS_LENGTH(kinds); k++) {
		if (strcmp(kinds[k], kind) == 0) {
			e->kind = (enum frz_event_kind)k;
			return 0;
		}
	}
	frz_record_free(*ret);
	return -EBADMSG;
}

static int fold_event(uint64_t number, const void *data, size_t len, void *arg)
{
	struct fold *f = arg;
	OPS_JSON_AUTO *doc = NULL;
	struct ops_error err;
	if (ops_json_parse(data, len, len, &doc, &err) != 0) {
		return -EBADMSG;
	}
	struct frz_event e = {.at_ms = 0};
	struct frz_record *r = NULL;
	int rc = decode_event(doc, &e, &r);
	if (rc != 0) {
		return rc;
	}
	if (number > ops_spool_acked(f->journal->spool)) {
		f->on_event(f->arg, &e);
	}
	if (number > f->journal->snapshot_at) {
		put_record(f->set, r);
	} else {
		frz_record_free(r);
	}
	return 0;
}

static int open_files(struct frz_journal *j, const char *dir, struct ops_error *err)
{
	int rc = ops_mkdir_p(dir, 0700);
	if (rc != 0) {
		return ops_error_set(err, rc, "could not make %s: %s", dir, strerror(-rc));
	}
	j->snapshot_path = ops_path_join(dir, "snapshot.json");
	OPS_CLEANUP(ops_freep) char *events = ops_path_join(dir, "events");
	const struct ops_spool_config cfg = {.dir = events, .segment_bytes = 1 << 20};
	struct ops_spool_report report = {0, 0};
	return ops_spool_open(&cfg, &j->spool, &report, err);
}

int frz_journal_open(const char *dir, struct frz_set *set,
	void (*on_event)(void *arg, const struct frz_event *e), void *arg, struct frz_journal **ret,
	struct ops_error *err)
{
	struct frz_journal *j = ops_xcalloc(1, sizeof(*j));
	int rc = open_files(j, dir, err);
	if (rc == 0) {
		rc = load_snapshot(j, set, err);
	}
	if (rc == 0) {
		struct fold f = {j, set, on_event, arg};
		uint64_t from = OPS_MIN(j->snapshot_at, ops_spool_acked(j->spool)) + 1;
		rc = ops_spool_read(j->spool, from, SIZE_MAX, fold_event, &f);
		if (rc != 0) {
			ops_error_set(err, rc, "could not read the journal in %s: %s", dir,
				strerror(-rc));
		}
	}
	if (rc != 0) {
		frz_journal_close(j);
		return rc;
	}
	*ret = j;
	return 0;
}

void frz_journal_close(struct frz_journal *j)
{
	if (j == NULL) {
		return;
	}
	ops_spool_close(j->spool);
	free(j->snapshot_path);
	free(j);
}

int frz_journal_commit(struct frz_journal *j, struct frz_event *e)
{
	if (e->id[0] == '\0') {
		ops_uuid4(e->id);
	}
	OPS_JSON_AUTO *doc = json_object();
	ops_json_set_string(doc, "kind", kinds[e->kind]);
	ops_json_set_string(doc, "id", e->id);
	ops_json_set_time(doc, "at", e->at_ms);
	ops_json_set_string(doc, "actor", e->actor);
	ops_json_set_string(doc, "reason", e->reason);
	ops_json_set(doc, "record", frz_record_to_json(e->record));
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_json_dump(doc, &text);
	int rc = ops_spool_append(j->spool, text.data, text.len, NULL);
	return rc != 0 ? rc : ops_spool_sync(j->spool);
}

static int write_snapshot(struct frz_journal *j, const struct frz_set *set, uint64_t at)
{
	OPS_JSON_AUTO *doc = json_object();
	json_t *records = json_array();
	for (size_t i = 0; i < set->n; i++) {
		json_array_append_new(records, frz_record_to_json(set->items[i]));
	}
	ops_json_set_i64(doc, "event", (int64_t)at);
	ops_json_set(doc, "records", records);
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_json_dump(doc, &text);
	int rc = ops_file_write_atomic(j->snapshot_path, text.data, text.len, 0600);
	if (rc == 0) {
		j->snapshot_at = at;
	}
	return rc;
}

int frz_journal_confirm(struct frz_journal *j, const struct frz_set *set)
{
	uint64_t last = ops_spool_next(j->spool) - 1;
	if (last == ops_spool_acked(j->spool)) {
		return 0;
	}
	/* The snapshot goes first: an acknowledged event may be trimmed, so it must be contained.
	 */
	if (last - j->snapshot_at >= SNAPSHOT_EVERY || j->snapshot_at == 0) {
		int rc = write_snapshot(j, set, last);
		if (rc != 0) {
			return rc;
		}
	}
	return ops_spool_ack(j->spool, OPS_MIN(last, j->snapshot_at));
}
