/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report is appended to the journal first and takes effect afterwards; the caller syncs once per
 * batch (one bus message, one POST) before it answers. Replayed at start in the same order, so the
 * merge rules give the same state again. Resolution by time (resolve_timeout) needs no record: it
 * is a function of ends_at and the clock.
 */
#include "services/alertmanager/alerts.h"

#include <errno.h>

#include "common/base/clock.h"
#include "common/base/map.h"
#include "services/alertmanager/journal.h"

struct alm_alerts {
	struct alm_alerts_config cfg;
	struct alm_journal *journal;
	struct ops_map *by_fingerprint;
	uint64_t generation;
};

static enum alm_change merge(
	struct alm_alerts *s, struct alm_alert *fresh, int64_t now_ms, struct alm_alert **ret)
{
	s->generation++;
	struct alm_alert *known = alm_alerts_get(s, fresh->fingerprint);

	if (known == NULL) {
		(void)ops_map_put(
			s->by_fingerprint, &fresh->fingerprint, sizeof fresh->fingerprint, fresh);
		*ret = fresh;
		return alm_alert_resolved(fresh, now_ms) ? ALM_UPDATED : ALM_FIRED;
	}
	bool was_over = alm_alert_resolved(known, now_ms);
	int64_t started = known->starts_at_ms;
	alm_alert_merge(known, fresh, now_ms);
	bool is_over = alm_alert_resolved(known, now_ms);
	*ret = known;
	if (!is_over && (was_over || known->starts_at_ms > started))
		return ALM_FIRED;
	return is_over && !was_over ? ALM_RESOLVED : ALM_UPDATED;
}

/* At open: the time of the report counts, not the time of the restart. */
static void apply(void *arg, const json_t *record)
{
	struct alm_alerts *s = arg;
	struct alm_alert *fresh = NULL, *out = NULL;

	if (alm_alert_from_json(record, &fresh) == 0)
		(void)merge(s, fresh, fresh->updated_at_ms, &out);
}

static void dump(void *arg, void (*emit)(void *to, json_t *record), void *to)
{
	struct alm_alerts *s = arg;
	struct alm_alert *a;
	for (size_t at = 0; (a = alm_alerts_next(s, &at)) != NULL;)
		emit(to, alm_alert_to_json(a));
}

int alm_alerts_open(
	const struct alm_alerts_config *cfg, struct alm_alerts **ret, struct ops_error *err)
{
	struct alm_alerts *s = ops_xcalloc(1, sizeof *s);
	const struct alm_journal_config journal = {
		.dir = cfg->dir, .apply = apply, .dump = dump, .arg = s};

	s->cfg = *cfg;
	s->by_fingerprint = ops_map_new();
	s->generation = 1;
	int rc = alm_journal_open(&journal, &s->journal, err);
	if (rc != 0) {
		alm_alerts_close(s);
		return rc;
	}
	*ret = s;
	return 0;
}

static void free_alert(void *a)
{
	alm_alert_free(a);
}

void alm_alerts_close(struct alm_alerts *s)
{
	if (s == NULL)
		return;
	alm_journal_close(s->journal);
	ops_map_free(s->by_fingerprint, free_alert);
	free(s);
}

int alm_alerts_put(struct alm_alerts *s, struct alm_alert *fresh)
{
	struct alm_alert *a = NULL;
	int rc = alm_journal_append(s->journal, alm_alert_to_json(fresh));

	if (rc != 0) {
		alm_alert_free(fresh);
		return rc;
	}
	enum alm_change change = merge(s, fresh, ops_now_ms(), &a);
	s->cfg.on_change(s->cfg.arg, a, change);
	return 0;
}

int alm_alerts_sync(struct alm_alerts *s)
{
	return alm_journal_sync(s->journal);
}

struct alm_alert *alm_alerts_get(const struct alm_alerts *s, uint64_t fingerprint)
{
	return ops_map_get(s->by_fingerprint, &fingerprint, sizeof fingerprint);
}

uint64_t alm_alerts_generation(const struct alm_alerts *s)
{
	return s->generation;
}

size_t alm_alerts_count(const struct alm_alerts *s)
{
	return ops_map_count(s->by_fingerprint);
}

struct alm_alert *alm_alerts_next(const struct alm_alerts *s, size_t *at)
{
	struct ops_map_entry e;
	return ops_map_next(s->by_fingerprint, at, &e) ? e.value : NULL;
}

size_t alm_alerts_sweep(struct alm_alerts *s, int64_t before_ms)
{
	struct ops_map_entry e;
	size_t n = 0;

	for (size_t at = 0; ops_map_next(s->by_fingerprint, &at, &e);) {
		struct alm_alert *a = e.value;
		if (a->groups > 0 || !alm_alert_resolved(a, before_ms))
			continue;
		(void)ops_map_remove(s->by_fingerprint, &a->fingerprint, sizeof a->fingerprint);
		alm_alert_free(a);
		s->generation++;
		n++;
	}
	return n;
}
