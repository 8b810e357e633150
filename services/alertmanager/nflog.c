/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log is what makes restarts and reloads silent: groups are rebuilt from the stored alerts,
 * flush at once, and find here that everyone has been told. Sets are sorted fingerprints, so that a
 * subset test is one merge.
 */
#include "services/alertmanager/nflog.h"

#include <errno.h>
#include <string.h>

#include "common/base/map.h"
#include "common/msg/msg.h"
#include "services/alertmanager/journal.h"

struct alm_nflog {
	struct alm_journal *journal;
	struct ops_map *entries;
};

static void entry_free(void *arg)
{
	struct alm_nflog_entry *e = arg;
	free(e->firing);
	free(e->resolved);
	free(e);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void alm_fingerprints_sort(uint64_t *fps, size_t n)
{
	if (n > 1)
		qsort(fps, n, sizeof fps[0], compare_u64);
}

static uint64_t *copy_set(const uint64_t *fps, size_t n)
{
	uint64_t *c = ops_xcalloc(n + 1, sizeof c[0]);
	if (n > 0)
		memcpy(c, fps, n * sizeof c[0]);
	return c;
}

static void remember(struct alm_nflog *l, const char *key, const struct alm_nflog_entry *e)
{
	struct alm_nflog_entry *c = ops_xmalloc(sizeof *c);

	*c = *e;
	c->firing = copy_set(e->firing, e->nfiring);
	c->resolved = copy_set(e->resolved, e->nresolved);
	struct alm_nflog_entry *old = ops_map_puts(l->entries, key, c);
	if (old != NULL)
		entry_free(old);
}

/* ---- records ---- */

static json_t *set_to_json(const uint64_t *fps, size_t n)
{
	json_t *list = json_array();
	char text[17];
	for (size_t i = 0; i < n; i++) {
		ops_fingerprint_text(fps[i], text);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static size_t set_from_json(const json_t *record, const char *key, uint64_t **ret)
{
	json_t *list = NULL;
	size_t n = 0;

	if (ops_json_get_array(record, key, &list, NULL) != 0)
		return 0;
	*ret = ops_xcalloc(json_array_size(list) + 1, sizeof **ret);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text != NULL && ops_fingerprint_parse(text, &(*ret)[n]) == 0)
			n++;
	}
	return n;
}

static json_t *to_json(const char *key, const struct alm_nflog_entry *e)
{
	json_t *record = json_object();
	ops_json_set_string(record, "key", key);
	ops_json_set_i64(record, "at", e->at_ms);
	ops_json_set_i64(record, "expires", e->expires_ms);
	ops_json_set(record, "firing", set_to_json(e->firing, e->nfiring));
	ops_json_set(record, "resolved", set_to_json(e->resolved, e->nresolved));
	return record;
}

static void apply(void *arg, const json_t *record)
{
	struct alm_nflog_entry e = {0};
	const char *key = NULL;

	if (ops_json_get_string(record, "key", &key, NULL) != 0 ||
		ops_json_get_i64(record, "at", &e.at_ms, NULL) != 0 ||
		ops_json_get_i64(record, "expires", &e.expires_ms, NULL) != 0)
		return;
	e.nfiring = set_from_json(record, "firing", &e.firing);
	e.nresolved = set_from_json(record, "resolved", &e.resolved);
	remember(arg, key, &e);
	free(e.firing);
	free(e.resolved);
}

static void dump(void *arg, void (*emit)(void *to, json_t *record), void *to)
{
	struct alm_nflog *l = arg;
	struct ops_map_entry m;
	for (size_t at = 0; ops_map_next(l->entries, &at, &m);)
		emit(to, to_json(m.key, m.value));
}

int alm_nflog_open(const char *dir, struct alm_nflog **ret, struct ops_error *err)
{
	struct alm_nflog *l = ops_xcalloc(1, sizeof *l);
	const struct alm_journal_config cfg = {.dir = dir, .apply = apply, .dump = dump, .arg = l};

	l->entries = ops_map_new();
	int rc = alm_journal_open(&cfg, &l->journal, err);
	if (rc != 0) {
		alm_nflog_close(l);
		return rc;
	}
	*ret = l;
	return 0;
}

void alm_nflog_close(struct alm_nflog *l)
{
	if (l == NULL)
		return;
	alm_journal_close(l->journal);
	ops_map_free(l->entries, entry_free);
	free(l);
}

char *alm_nflog_key(
	const char *group_key, const char *receiver, const char *integration, size_t index)
{
	return ops_xasprintf("%s/%s/%zu:%s", receiver, integration, index, group_key);
}

const struct alm_nflog_entry *alm_nflog_get(
	const struct alm_nflog *l, const char *key, int64_t now_ms)
{
	const struct alm_nflog_entry *e = ops_map_gets(l->entries, key);
	return e != NULL && e->expires_ms > now_ms ? e : NULL;
}

int alm_nflog_put(struct alm_nflog *l, const char *key, const struct alm_nflog_entry *entry)
{
	int rc = alm_journal_append(l->journal, to_json(key, entry));
	remember(l, key,
		entry); /* even when the disk is full: this process must not repeat itself */
	return rc == 0 ? alm_journal_sync(l->journal) : rc;
}

size_t alm_nflog_count(const struct alm_nflog *l)
{
	return ops_map_count(l->entries);
}

void alm_nflog_sweep(struct alm_nflog *l, int64_t now_ms)
{
	struct ops_map_entry m;
	for (size_t at = 0; ops_map_next(l->entries, &at, &m);) {
		struct alm_nflog_entry *e = m.value;
		if (e->expires_ms <= now_ms)
			entry_free(ops_map_remove(l->entries, m.key, m.len));
	}
}

/* ---- decision ---- */

static bool subset(const uint64_t *a, size_t na, const uint64_t *of, size_t n)
{
	size_t k = 0;
	for (size_t i = 0; i < na; i++) {
		while (k < n && of[k] < a[i])
			k++;
		if (k == n || of[k] != a[i])
			return false;
	}
	return true;
}

const char *alm_nflog_needed(const struct alm_nflog_entry *last, const struct alm_nflog_entry *now,
	bool send_resolved, int64_t repeat_ms)
{
	if (last == NULL)
		return now->nfiring > 0 ? "first" : NULL;
	if (!subset(now->firing, now->nfiring, last->firing, last->nfiring))
		return "new-alerts";
	if (now->nfiring == 0)
		return last->nfiring > 0 ? "all-resolved" : NULL;
	if (send_resolved &&
		!subset(now->resolved, now->nresolved, last->resolved, last->nresolved))
		return "resolved";
	return last->at_ms < now->at_ms - repeat_ms ? "repeat" : NULL;
}
