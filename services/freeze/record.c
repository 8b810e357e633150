/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set is small (tens of records), so evaluation is a walk over all of it: no index that could
 * disagree with the records. The most restrictive match wins by construction - one match is enough
 * to forbid - and all of them are named, because whoever is refused wants every reason at once.
 */
#include "services/freeze/record.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/msg/fields.h"

enum {
	SCOPE_MAX = 128,
	TEXT_MAX = 4096
};

static const char *const sources[] = {"manual", "alert", "calendar", "out-of-band"};
static const char *const actions[] = {"deploy", "rollback"};
static const char *const thaws[] = {"manual", "on_resolve"};

static int index_of(const char *const *names, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (ops_str_eq(names[i], text)) {
			return (int)i;
		}
	}
	return -EINVAL;
}

const char *frz_source_text(enum frz_source s)
{
	return sources[s];
}

int frz_source_parse(const char *text, enum frz_source *ret)
{
	int i = index_of(sources, OPS_LENGTH(sources), text);
	if (i >= 0) {
		*ret = (enum frz_source)i;
	}
	return i < 0 ? i : 0;
}

const char *frz_action_text(enum frz_action a)
{
	return actions[a];
}

int frz_action_parse(const char *text, enum frz_action *ret)
{
	int i = text == NULL ? 0 : index_of(actions, OPS_LENGTH(actions), text);
	if (i >= 0) {
		*ret = (enum frz_action)i;
	}
	return i < 0 ? i : 0;
}

void frz_record_free(struct frz_record *r)
{
	if (r == NULL) {
		return;
	}
	free(r->scope);
	free(r->reason);
	free(r->actor);
	free(r->alert);
	free(r->trace_id);
	free(r->cleared_by);
	free(r->clear_reason);
	free(r);
}

json_t *frz_record_to_json(const struct frz_record *r)
{
	json_t *j = json_object();
	ops_json_set_string(j, "id", r->id);
	ops_json_set_string(j, "scope", r->scope);
	ops_json_set_string(j, "reason", r->reason);
	ops_json_set_string(j, "actor", r->actor);
	ops_json_set_string(j, "source", sources[r->source]);
	ops_json_set_string(j, "thaw", thaws[r->thaw]);
	ops_json_set_string(j, "alert", r->alert);
	ops_json_set_string(j, "trace_id", r->trace_id);
	ops_json_set_time(j, "since", r->from_ms);
	if (r->until_ms != 0) {
		ops_json_set_time(j, "until", r->until_ms);
	} else {
		ops_json_set_string(j, "until", NULL);
	}
	if (r->cleared_ms != 0) {
		ops_json_set_time(j, "cleared_at", r->cleared_ms);
		ops_json_set_string(j, "cleared_by", r->cleared_by);
		ops_json_set_string(j, "clear_reason", r->clear_reason);
	}
	return j;
}

/* Copies an optional text member; -EINVAL when it is no string or too long. */
static int take_text(const json_t *j, const char *key, char **ret, struct ops_error *err)
{
	const char *text = NULL;
	int rc = ops_json_get_string(j, key, &text, err);
	if (rc < 0) {
		return rc;
	}
	if (text != NULL && strlen(text) > TEXT_MAX) {
		return ops_error_set(err, -EINVAL, "%s is longer than %d bytes", key, TEXT_MAX);
	}
	*ret = ops_xstrdup(text);
	return 0;
}

static int take_enum(const json_t *j, const char *key, const char *const *names, size_t n, int *ret,
	struct ops_error *err)
{
	const char *text = NULL;
	int rc = ops_json_get_string(j, key, &text, err);
	if (rc != 0) {
		return rc < 0 ? rc : 0;
	}
	*ret = index_of(names, n, text);
	if (*ret < 0) {
		return ops_error_set(err, -EINVAL, "%s cannot be '%s'", key, text);
	}
	return 0;
}

static int take_texts(const json_t *j, struct frz_record *r, struct ops_error *err)
{
	const char *id = NULL;
	int rc = ops_json_get_string(j, "id", &id, err);
	if (rc < 0) {
		return rc;
	}
	if (id != NULL && !ops_msg_uuid(id)) {
		return ops_error_set(err, -EINVAL, "id is not a UUID");
	}
	if (id != NULL) {
		memcpy(r->id, id, sizeof(r->id));
	} else {
		ops_uuid4(r->id);
	}
	struct {
		const char *key;
		char **to;
	} texts[] = {{"scope", &r->scope}, {"reason", &r->reason}, {"actor", &r->actor},
		{"alert", &r->alert}, {"trace_id", &r->trace_id}, {"cleared_by", &r->cleared_by},
		{"clear_reason", &r->clear_reason}};
	for (size_t i = 0; i < OPS_LENGTH(texts); i++) {
		rc = take_text(j, texts[i].key, texts[i].to, err);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int take_times(const json_t *j, struct frz_record *r, struct ops_error *err)
{
	if (ops_json_get_time(j, "since", &r->from_ms, err) < 0 ||
		ops_json_get_time(j, "until", &r->until_ms, err) < 0 ||
		ops_json_get_time(j, "cleared_at", &r->cleared_ms, err) < 0) {
		return -EINVAL;
	}
	if (r->from_ms == 0) {
		r->from_ms = ops_now_ms();
	}
	return 0;
}

static int check_record(const struct frz_record *r, struct ops_error *err)
{
	if (r->scope == NULL || !frz_scope_valid(r->scope)) {
		ops_error_set(err, -EINVAL, "scope is missing or not a scope");
		ops_error_hint(err, "letters, digits, '_', '-', '.', parts joined by '/', or *");
		return -EINVAL;
	}
	if (r->reason == NULL || r->reason[0] == '\0') {
		return ops_error_set(err, -EINVAL, "reason is missing: a freeze says why");
	}
	if (r->until_ms != 0 && r->until_ms <= r->from_ms) {
		return ops_error_set(err, -EINVAL, "until is not after since");
	}
	return 0;
}

int frz_record_from_json(const json_t *j, struct frz_record **ret, struct ops_error *err)
{
	if (!json_is_object(j)) {
		return ops_error_set(err, -EINVAL, "a freeze is a JSON object");
	}
	struct frz_record *r = ops_xcalloc(1, sizeof(*r));
	int source = FRZ_MANUAL, thaw = FRZ_THAW_MANUAL;
	int rc = take_texts(j, r, err);
	if (rc == 0) {
		rc = take_enum(j, "source", sources, OPS_LENGTH(sources), &source, err);
	}
	if (rc == 0) {
		rc = take_enum(j, "thaw", thaws, OPS_LENGTH(thaws), &thaw, err);
	}
	if (rc == 0) {
		rc = take_times(j, r, err);
	}
	if (rc == 0) {
		rc = check_record(r, err);
	}
	if (rc != 0) {
		frz_record_free(r);
		return rc;
	}
	r->source = (enum frz_source)source;
	r->thaw = (enum frz_thaw)thaw;
	*ret = r;
	return 0;
}

bool frz_record_active(const struct frz_record *r, int64_t at_ms)
{
	return r->cleared_ms == 0 && at_ms >= r->from_ms &&
	       (r->until_ms == 0 || at_ms < r->until_ms);
}

static bool scope_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '.';
}

bool frz_scope_valid(const char *scope)
{
	if (strcmp(scope, "*") == 0) {
		return true;
	}
	size_t len = strlen(scope);
	if (len == 0 || len > SCOPE_MAX) {
		return false;
	}
	bool start = true; /* of a segment: no dot first, so that ".." and hidden files cannot be
			      named */
	for (size_t i = 0; i < len; i++) {
		if (scope[i] == '/') {
			if (start) {
				return false;
			}
			start = true;
			continue;
		}
		if (!scope_byte(scope[i]) || (start && (scope[i] == '.' || scope[i] == '-'))) {
			return false;
		}
		start = false;
	}
	return !start;
}

bool frz_scope_covers(const char *frozen, const char *asked)
{
	if (strcmp(frozen, "*") == 0) {
		return true;
	}
	size_t n = strlen(frozen);
	return strncmp(frozen, asked, n) == 0 && (asked[n] == '\0' || asked[n] == '/');
}

void frz_set_done(struct frz_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		frz_record_free(set->items[i]);
	}
	free(set->items);
	memset(set, 0, sizeof(*set));
}

void frz_set_add(struct frz_set *set, struct frz_record *taken)
{
	OPS_GROW(set->items, set->n, set->cap);
	set->items[set->n++] = taken;
}

struct frz_record *frz_set_find(const struct frz_set *set, const char *id)
{
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->items[i]->id, id) == 0) {
			return set->items[i];
		}
	}
	return NULL;
}

void frz_set_remove(struct frz_set *set, const struct frz_record *r)
{
	for (size_t i = 0; i < set->n; i++) {
		if (set->items[i] == r) {
			frz_record_free(set->items[i]);
			set->items[i] = set->items[--set->n];
			return;
		}
	}
}

static bool forbids(const struct frz_record *r, const struct frz_request *req)
{
	if (!frz_record_active(r, req->at_ms) || !frz_scope_covers(r->scope, req->scope)) {
		return false;
	}
	return req->action != FRZ_ROLLBACK || r->source != FRZ_ALERT;
}

enum frz_decision frz_evaluate(const struct frz_set *set, const struct frz_request *req,
	const struct frz_record **matches, size_t max, size_t *ret_n)
{
	size_t n = 0;
	for (size_t i = 0; i < set->n; i++) {
		if (forbids(set->items[i], req)) {
			if (n < max) {
				matches[n] = set->items[i];
			}
			n++;
		}
	}
	*ret_n = n;
	return n > 0 ? FRZ_FROZEN : FRZ_OPEN;
}
