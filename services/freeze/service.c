/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes freezes change without a caller: time, resolved alerts, hands on the flag files.
 *
 * A freeze outlives restarts: the set is folded from the journal before the port opens, so there is
 * no moment in which the gate answers "open" because it has not looked yet.
 */
#include "services/freeze/service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/msg/msg.h"

enum {
	EXPIRY_MS = 1000
};

static struct ops_metric frozen_gauge =
	OPS_GAUGE("ops_freeze_active", "Freeze records in force, by source.", "source");
static struct ops_metric refused_total = OPS_COUNTER("ops_freeze_alert_messages_refused_total",
	"Messages of the alert stream that could not be read.");

static const struct frz_caller self = {"ops-freeze", "service", NULL, NULL};

/* ---- time, alerts, hands on the flag files ---- */

static void on_expiry(void *arg)
{
	static const struct frz_deed expire = {FRZ_EXPIRE, &self, "its time was over"};
	struct frz_service *s = arg;
	int64_t now = ops_now_ms();
	frz_publish_begun(s, now);
	for (size_t i = s->set.n; i > 0; i--) {
		struct frz_record *r = s->set.items[i - 1];
		struct ops_error err;
		if (r->until_ms != 0 && now >= r->until_ms &&
			frz_clear_one(s, r, &expire, &err) != 0) {
			break; /* logged; the next turn tries again */
		}
	}
	ops_timer_start(s->expiry, EXPIRY_MS);
}

static int thaw_resolved(struct frz_service *s, const char *fingerprint)
{
	static const struct frz_deed thaw = {FRZ_CLEAR, &self, "the alert resolved"};
	struct ops_error err;
	for (size_t i = s->set.n; i > 0; i--) {
		struct frz_record *r = s->set.items[i - 1];
		if (r->thaw != FRZ_THAW_ON_RESOLVE || !ops_str_eq(r->alert, fingerprint)) {
			continue;
		}
		int rc = frz_clear_one(s, r, &thaw, &err);
		if (rc != 0) {
			return rc;
		}
	}
	return 0;
}

static int on_alert(void *arg, const struct ops_bus_message *m)
{
	struct ops_event e;
	json_t *doc = NULL;
	struct ops_error err;
	int rc = ops_event_decode(m->payload, m->len, &e, &doc, &err);
	if (rc == 0 && ops_str_eq(e.type, "ops.alert")) {
		struct ops_alert a;
		ops_alert_init(&a);
		rc = ops_alert_from_json(e.data, &a, &err);
		if (rc == 0 && a.status == OPS_ALERT_RESOLVED) {
			char fingerprint[17];
			ops_fingerprint_text(a.fingerprint, fingerprint);
			rc = thaw_resolved(arg, fingerprint);
			ops_alert_done(&a);
			json_decref(doc);
			return rc; /* not durable: comes again */
		}
		ops_alert_done(&a);
	}
	if (rc != 0) {
		ops_metric_add(&refused_total, 1);
		log_warn("refused a message from the alert stream", F_STR("topic", m->topic),
			F_STR("error", err.message));
	}
	json_decref(doc);
	return 0; /* a message that cannot be read will not get better by repeating it */
}

static struct frz_record *first_of_scope(const struct frz_service *s, const char *scope)
{
	for (size_t i = 0; i < s->set.n; i++) {
		if (strcmp(s->set.items[i]->scope, scope) == 0) {
			return s->set.items[i];
		}
	}
	return NULL;
}

/* The flag stands for a freeze of a wider scope: no record of this scope can carry the event. */
static void restore_narrow(struct frz_service *s, const char *scope, const struct frz_caller *hand)
{
	char object[192];
	snprintf(object, sizeof(object), "freeze/%s", scope);
	const struct ops_audit_entry entry = {.actor = hand->actor,
		.actor_type = hand->actor_type,
		.action = "freeze.out_of_band",
		.object = object,
		.reason = "the flag file was removed or emptied",
		.outcome = "success"};
	if (ops_audit_log(ops_daemon_audit(s->daemon), &entry) == 0) {
		frz_publish_scope(s, scope);
	}
}

/*
 * What was done by hand is on record before policy answers it: two events of the same freeze, but
 * one writing of the file, or a second hand in between would go unseen. When it fails (logged), the
 * next look at the files tries again.
 */
static void restore_flags(
	struct frz_service *s, const struct frz_record *r, const struct frz_caller *hand)
{
	static const struct frz_deed restore = {
		FRZ_RESTORE, &self, "the flag file is restored by policy"};
	const struct frz_deed removed = {FRZ_OOB, hand, "the flag file was removed or emptied"};
	OPS_CLEANUP(ops_freep) char *scope = ops_xstrdup(r->scope);
	struct ops_error err;
	if (frz_commit_change(s, frz_record_copy(r), &removed) == 0) {
		r = first_of_scope(s, scope);
		(void)!frz_change(s, frz_record_copy(r), &restore, &err);
	}
}

static void on_flag_removed(struct frz_service *s, const char *scope)
{
	const struct frz_caller hand = {"unknown", "user", NULL, NULL};
	const struct frz_deed thaw = {FRZ_OOB, &hand, "the flag file was removed by hand"};
	const struct frz_record *r = first_of_scope(s, scope);
	log_warn("a flag file was removed by hand", F_STR("scope", scope),
		F_STR("policy", s->config->out_of_band));
	if (r == NULL) {
		restore_narrow(s, scope, &hand); /* thaw too: the wide freeze has its own flag */
	} else if (ops_str_eq(s->config->out_of_band, "thaw")) {
		struct ops_error err;
		size_t n = 0;
		(void)!frz_clear_scope(s, scope, &thaw, &n, &err); /* logged; looked at again */
	} else {
		restore_flags(s, r, &hand);
	}
}

static void on_flag_change(void *arg, const char *scope, enum frz_flag_change change)
{
	struct frz_service *s = arg;
	if (change == FRZ_FLAG_REMOVED) {
		on_flag_removed(s, scope);
		return;
	}
	log_warn("a flag file was made by hand", F_STR("scope", scope));
	struct frz_record *r = ops_xcalloc(1, sizeof(*r));
	ops_uuid4(r->id);
	r->scope = ops_xstrdup(scope);
	r->reason = ops_xstrdup("a flag file was made by hand");
	r->actor = ops_xstrdup("unknown");
	r->source = FRZ_OUT_OF_BAND;
	r->from_ms = ops_now_ms();
	const struct frz_caller hand = {"unknown", "user", NULL, NULL};
	const struct frz_deed deed = {FRZ_OOB, &hand, r->reason};
	struct ops_error err;
	/* Whoever could write there wanted a stop: the safe reading of FREEZE is a freeze. */
	if (frz_change(s, r, &deed, &err) != 0) {
		log_error("could not record an out-of-band freeze", F_STR("error", err.message));
	}
}

/* ---- wiring ---- */

/* Perhaps the process died before it told: rows go again, and start() tells the scope's state. */
static void on_old_event(void *arg, const struct frz_event *e)
{
	struct frz_service *s = arg;
	frz_history_event(s->outbox, e);
	if (ops_map_gets(s->told, e->record->scope) == NULL) {
		ops_map_puts(s->told, e->record->scope, s);
	}
}

static void on_pg_state(void *arg, bool connected)
{
	struct frz_service *s = arg;
	if (connected) {
		ops_outbox_kick(s->outbox);
	}
}

static void on_dead_row(void *arg, const char *statement, const char *sqlstate, const char *message)
{
	(void)arg;
	log_error("PostgreSQL refuses a row of history", F_STR("statement", statement),
		F_STR("sqlstate", sqlstate), F_STR("error", message));
}

static void collect_gauges(void *arg)
{
	struct frz_service *s = arg;
	size_t counts[FRZ_OUT_OF_BAND + 1] = {0};
	for (size_t i = 0; i < s->set.n; i++) {
		counts[s->set.items[i]->source]++;
	}
	for (size_t k = 0; k < OPS_LENGTH(counts); k++) {
		ops_metric_set(
			&frozen_gauge, (double)counts[k], frz_source_text((enum frz_source)k));
	}
}

static int open_outbox(struct frz_service *s, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_join(ops_daemon_state_dir(s->daemon), "outbox");
	const struct ops_outbox_config cfg = {
		.dir = dir, .statements = frz_statements, .on_dead = on_dead_row, .arg = s};
	struct ops_pg *pg = ops_daemon_pg(s->daemon);
	int rc = ops_outbox_open(ops_daemon_loop(s->daemon), pg, &cfg, &s->outbox, err);
	if (rc == 0 && pg != NULL) {
		ops_pg_on_state(pg, on_pg_state, s);
	}
	return rc;
}

static int open_journal(struct frz_service *s, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep)
	char *dir = ops_path_join(ops_daemon_state_dir(s->daemon), "journal");
	int rc = frz_journal_open(dir, &s->set, on_old_event, s, &s->journal, err);
	if (rc != 0) {
		return rc;
	}
	for (size_t i = s->set.n; i > 0; i--) {
		if (s->set.items[i - 1]->cleared_ms != 0) {
			frz_set_remove(&s->set, s->set.items[i - 1]);
		}
	}
	return 0;
}

/* What stood outside may be older than the journal: every scope that it speaks of is told. */
static void publish_all(struct frz_service *s)
{
	for (size_t i = 0; i < s->set.n; i++) {
		ops_map_puts(s->told, s->set.items[i]->scope, s);
	}
	frz_publish_scope(s, "*");
}

static int open_flags(struct frz_service *s, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep)
	char *fallback = ops_path_join(ops_daemon_state_dir(s->daemon), "flags");
	const char *dir = s->config->flag_dir;
	const char *legacy = s->config->legacy_flag_file;
	const struct frz_flags_config cfg = {.dir = dir != NULL && dir[0] != '\0' ? dir : fallback,
		.legacy_file = legacy != NULL && legacy[0] != '\0' ? legacy : NULL,
		.on_change = on_flag_change,
		.arg = s};
	return frz_flags_open(ops_daemon_loop(s->daemon), &cfg, &s->flags, err);
}

static int open_bus(struct frz_service *s, struct ops_error *err)
{
	struct ops_loop *loop = ops_daemon_loop(s->daemon);
	OPS_CLEANUP(ops_freep)
	char *stream = ops_path_join(ops_daemon_state_dir(s->daemon), "stream");
	const struct ops_pub_config pub = {.stream = "freeze",
		.url = s->config->freeze_listen,
		.replay_url = s->config->freeze_replay_listen,
		.replay_advertise = s->config->freeze_replay_advertise,
		.dir = stream,
		.key = ops_daemon_bus_key(s->daemon),
		.tls = ops_daemon_bus_tls(s->daemon)};
	int rc = ops_pub_open(loop, &pub, &s->pub, err);
	if (rc != 0 || s->config->alerts_url == NULL || s->config->alerts_url[0] == '\0') {
		return rc;
	}
	static const char *const topics[] = {"alerts/resolved/"};
	OPS_CLEANUP(ops_freep)
	char *checkpoint = ops_path_join(ops_daemon_state_dir(s->daemon), "checkpoints");
	const struct ops_sub_config sub = {.name = "ops-freeze",
		.url = s->config->alerts_url,
		.topics = topics,
		.ntopics = OPS_LENGTH(topics),
		.replay_url = s->config->alerts_replay_url,
		.checkpoint_dir = checkpoint,
		.key = ops_daemon_bus_key(s->daemon),
		.tls = ops_daemon_bus_tls(s->daemon),
		.on_message = on_alert,
		.arg = s};
	return ops_sub_open(loop, &sub, &s->alerts, err);
}

static void stop(void *state)
{
	struct frz_service *s = state;
	ops_timer_free(s->expiry);
	ops_sub_close(s->alerts);
	ops_pub_close(s->pub);
	frz_flags_close(s->flags);
	frz_journal_close(s->journal);
	ops_outbox_close(s->outbox);
	frz_set_done(&s->set);
	ops_map_free(s->told, NULL);
	free(s);
}

static int start(struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err)
{
	struct frz_service *s = ops_xcalloc(1, sizeof(*s));
	s->daemon = d;
	s->config = config;
	s->told = ops_map_new();
	int (*const steps[])(struct frz_service *, struct ops_error *) = {
		open_outbox, open_journal, open_flags, open_bus};
	for (size_t i = 0; i < OPS_LENGTH(steps); i++) {
		int rc = steps[i](s, err);
		if (rc != 0) {
			stop(s);
			return rc;
		}
	}
	ops_metrics_on_collect(collect_gauges, s);
	frz_api_register(s, ops_daemon_http(d));
	publish_all(s);
	frz_confirm_history(s);
	s->looked_ms = ops_now_ms();
	s->expiry = ops_timer_new(ops_daemon_loop(d), on_expiry, s);
	ops_timer_start(s->expiry, 0);
	ops_daemon_set_ready(d, true, NULL);
	*ret_state = s;
	return 0;
}

static int check(const void *config, struct ops_conf_warnings *w, struct ops_error *err)
{
	(void)w;
	const struct frz_config *c = config;
	if (!ops_str_eq(c->out_of_band, "restore") && !ops_str_eq(c->out_of_band, "thaw")) {
		ops_error_set(err, -EINVAL, "out_of_band cannot be '%s'", c->out_of_band);
		ops_error_hint(err, "restore or thaw");
		return -EINVAL;
	}
	return 0;
}

static int reload(struct ops_daemon *d, void *state, const void *config, struct ops_error *err)
{
	(void)d;
	(void)err;
	struct frz_service *s = state;
	s->config = config;
	return 0;
}

#define KEY(name_, kind_, member, flags_, fallback_, doc_)                                         \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct frz_config, member),   \
		.flags = (flags_), .fallback = (fallback_), .doc = (doc_)                          \
	}

static const struct ops_conf_key keys[] = {
	KEY("alerts_url", OPS_CONF_K_STRING, alerts_url, OPS_CONF_RESTART, "tcp://127.0.0.1:7402",
		"the detector's alert stream; empty = do not listen to alerts"),
	KEY("alerts_replay_url", OPS_CONF_K_STRING, alerts_replay_url, OPS_CONF_RESTART, NULL,
		"its replay socket; learned from the stream when left out"),
	KEY("freeze_listen", OPS_CONF_K_STRING, freeze_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7404", "where the freeze state is published"),
	KEY("freeze_replay_listen", OPS_CONF_K_STRING, freeze_replay_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7504", "its replay socket"),
	KEY("freeze_replay_advertise", OPS_CONF_K_STRING, freeze_replay_advertise, OPS_CONF_RESTART,
		NULL, "what subscribers dial for replay, when it is another address"),
	KEY("flag_dir", OPS_CONF_K_PATH, flag_dir, OPS_CONF_RESTART, NULL,
		"folder of the flag files; default: flags in the state directory"),
	KEY("legacy_flag_file", OPS_CONF_K_PATH, legacy_flag_file, OPS_CONF_RESTART, NULL,
		"also write FREEZE here while anything is frozen; anyone who may write there can "
		"forge it"),
	KEY("out_of_band", OPS_CONF_K_STRING, out_of_band, 0, "restore",
		"what to do when a flag file is removed by hand: restore or thaw"),
	KEY("automatic_ttl", OPS_CONF_K_DURATION, automatic_ttl_ms, 0, "4h",
		"how long a freeze asked for by an alert lasts when the request does not say"),
	OPS_CONF_END,
};

const struct ops_service frz_service_table = {
	.name = "ops-freeze",
	.summary = "decides whether a deploy may go ahead, and makes that impossible to overlook",
	.default_listen = "127.0.0.1:9096",
	.keys = keys,
	.config_size = sizeof(struct frz_config),
	.check = check,
	.start = start,
	.reload = reload,
	.stop = stop,
};
