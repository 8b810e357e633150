/* SPDX-License-Identifier: Apache-2.0 */
/* A silence is written to the journal and synced before it takes effect; the API audits it before
 * that. */
#include "services/alertmanager/silences.h"

#include <errno.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/text.h"
#include "services/alertmanager/journal.h"

enum {
	RETENTION_MS = 5 * 86400 * 1000
};

struct alm_silences {
	struct alm_journal *journal;
	struct ops_map *by_id;
};

static void free_silence(void *s)
{
	alm_silence_free(s);
}

static json_t *record_of(const struct alm_silence *s)
{
	json_t *j = alm_silence_to_json(s, s->updated_at_ms);
	ops_json_set_i64(j, "revision", s->revision);
	return j;
}

static void store(struct alm_silences *ss, struct alm_silence *s)
{
	alm_silence_free(ops_map_puts(ss->by_id, s->id, s));
}

static void apply(void *arg, const json_t *record)
{
	struct alm_silence *s = NULL;
	if (alm_silence_from_json(record, &s, NULL) == 0)
		store(arg, s);
}

static void dump(void *arg, void (*emit)(void *to, json_t *record), void *to)
{
	const struct alm_silence *s;
	for (size_t at = 0; (s = alm_silences_next(arg, &at)) != NULL;)
		emit(to, record_of(s));
}

int alm_silences_open(const char *dir, struct alm_silences **ret, struct ops_error *err)
{
	struct alm_silences *ss = ops_xcalloc(1, sizeof *ss);
	const struct alm_journal_config cfg = {.dir = dir, .apply = apply, .dump = dump, .arg = ss};

	ss->by_id = ops_map_new();
	int rc = alm_journal_open(&cfg, &ss->journal, err);
	if (rc != 0) {
		alm_silences_close(ss);
		return rc;
	}
	*ret = ss;
	return 0;
}

void alm_silences_close(struct alm_silences *ss)
{
	if (ss == NULL)
		return;
	alm_journal_close(ss->journal);
	ops_map_free(ss->by_id, free_silence);
	free(ss);
}

static int write_record(struct alm_silences *ss, const struct alm_silence *s)
{
	int rc = alm_journal_append(ss->journal, record_of(s));
	return rc == 0 ? alm_journal_sync(ss->journal) : rc;
}

/* Pending: it never starts. Times are cut so that start <= end holds in the record. */
static void end_now(struct alm_silence *s, int64_t now_ms)
{
	s->starts_at_ms = OPS_MIN(s->starts_at_ms, now_ms);
	s->ends_at_ms = now_ms;
	s->updated_at_ms = now_ms;
	s->revision++;
}

static int create(struct alm_silences *ss, struct alm_silence *s, int64_t now_ms)
{
	ops_uuid4(s->id);
	s->revision = 1;
	s->starts_at_ms = OPS_MAX(s->starts_at_ms, now_ms);
	s->updated_at_ms = now_ms;
	return write_record(ss, s);
}

static int replace(
	struct alm_silences *ss, struct alm_silence *old, struct alm_silence *s, int64_t now_ms)
{
	if (alm_silence_can_update(old, s, now_ms)) {
		s->revision = old->revision + 1;
		s->updated_at_ms = now_ms;
		return write_record(ss, s);
	}
	if (alm_silence_state(old, now_ms) != ALM_SILENCE_EXPIRED) {
		end_now(old, now_ms);
		int rc = write_record(ss, old);
		if (rc != 0)
			return rc;
	}
	return create(ss, s, now_ms);
}

int alm_silences_set(struct alm_silences *ss, struct alm_silence *s, const struct alm_silence **ret,
	struct ops_error *err)
{
	int64_t now_ms = ops_now_ms();
	struct alm_silence *old = s->id[0] != '\0' ? ops_map_gets(ss->by_id, s->id) : NULL;
	int rc = alm_silence_validate(s, err);

	if (rc == 0 && s->ends_at_ms <= now_ms)
		rc = ops_error_set(err, -EINVAL, "end time must be in the future");
	if (rc == 0 && s->id[0] != '\0' && old == NULL)
		rc = ALM_SILENCES_UNKNOWN;
	if (rc == 0)
		rc = old != NULL ? replace(ss, old, s, now_ms) : create(ss, s, now_ms);
	if (rc != 0) {
		alm_silence_free(s);
		return rc;
	}
	store(ss, s);
	*ret = s;
	return 0;
}

int alm_silences_expire(struct alm_silences *ss, const char *id, const struct alm_silence **ret)
{
	int64_t now_ms = ops_now_ms();
	struct alm_silence *s = ops_map_gets(ss->by_id, id);

	if (s == NULL)
		return ALM_SILENCES_UNKNOWN;
	if (alm_silence_state(s, now_ms) == ALM_SILENCE_EXPIRED)
		return -EALREADY;
	end_now(s, now_ms);
	*ret = s;
	return write_record(ss, s);
}

const struct alm_silence *alm_silences_get(const struct alm_silences *ss, const char *id)
{
	return ops_map_gets(ss->by_id, id);
}

const struct alm_silence *alm_silences_next(const struct alm_silences *ss, size_t *at)
{
	struct ops_map_entry e;
	return ops_map_next(ss->by_id, at, &e) ? e.value : NULL;
}

size_t alm_silences_match(const struct alm_silences *ss, const struct ops_labels *labels,
	int64_t now_ms, const char **ret_ids, size_t max)
{
	const struct alm_silence *s;
	size_t n = 0;

	for (size_t at = 0; n < max && (s = alm_silences_next(ss, &at)) != NULL;) {
		if (alm_silence_state(s, now_ms) == ALM_SILENCE_ACTIVE &&
			ops_matchers_match(&s->matchers, labels))
			ret_ids[n++] = s->id;
	}
	return n;
}

void alm_silences_sweep(struct alm_silences *ss, int64_t now_ms)
{
	struct ops_map_entry e;
	for (size_t at = 0; ops_map_next(ss->by_id, &at, &e);) {
		struct alm_silence *s = e.value;
		if (s->ends_at_ms + RETENTION_MS < now_ms)
			alm_silence_free(ops_map_removes(ss->by_id, e.key));
	}
}
