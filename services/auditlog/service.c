/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of stopping: doors first, then the sequencer gets the rest of drain_timeout to write
 * what is in the spool, then the last checkpoint is signed. What does not get through stays in the
 * spool and is the first thing the next start writes.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/log/log.h"
#include "services/auditlog/auditlog.h"

static const int64_t drain_poll_ms = 20;

#define AT(member) offsetof(struct aud_config, member)

static const struct ops_conf_key keys[] = {
	{"append_listen", OPS_CONF_K_STRING, AT(append_listen), OPS_CONF_RESTART,
		"tcp://127.0.0.1:7405", 0, 0, NULL,
		"bus address that takes records; empty: HTTP only"},
	{"signing_key_file", OPS_CONF_K_PATH, AT(signing_key_file), OPS_CONF_RESTART, NULL, 0, 0,
		NULL,
		"Ed25519 private key in PEM; made on the first start when absent; default "
		"signing.key in state_dir"},
	{"origin", OPS_CONF_K_STRING, AT(origin), OPS_CONF_RESTART, "hms-ops.local/audit", 0, 0,
		NULL, "name of this log and of its key in signed checkpoints"},
	{"checkpoint_interval", OPS_CONF_K_DURATION, AT(checkpoint_interval_ms), OPS_CONF_RESTART,
		"10s", 100, 86400000, NULL, "how often the log is signed, if it grew"},
	OPS_CONF_END,
};

static enum ops_health chain_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	const struct aud *a = arg;
	enum aud_state state = aud_sequencer_state(a->sequencer);
	unsigned long long waiting = aud_intake_waiting(a->intake);

	*ret_response_ms = 0;
	if (state == AUD_READY) {
		snprintf(buf, size, "%llu records, %llu of them signed",
			(unsigned long long)aud_sequencer_head(a->sequencer)->tree.size,
			(unsigned long long)aud_signer_size(a->signer));
		return OPS_HEALTHY;
	}
	snprintf(buf, size, "%s: %s; %llu records wait in the spool", aud_state_text(state),
		aud_sequencer_problem(a->sequencer), waiting);
	return state == AUD_BROKEN ? OPS_UNHEALTHY : OPS_DEGRADED;
}

static void stop(void *state)
{
	struct aud *a = state;

	aud_intake_close(a->intake);
	a->intake = NULL;
	ops_rep_close(a->rep);
	aud_signer_close(a->signer);
	aud_sequencer_free(a->sequencer);
	ops_timer_free(a->drain_timer);
	free(a);
}

static void on_drain(void *arg)
{
	struct aud *a = arg;
	bool writing = aud_sequencer_state(a->sequencer) == AUD_READY;

	if (writing && (aud_intake_waiting(a->intake) > 0 || !aud_signer_finish(a->signer))) {
		ops_timer_start(a->drain_timer, drain_poll_ms);
		return;
	}
	if (aud_intake_waiting(a->intake) > 0)
		log_warn("records stay in the spool until the next start",
			F_UINT("records", aud_intake_waiting(a->intake)));
	ops_daemon_drained(a->daemon);
}

static void drain(struct ops_daemon *d, void *state)
{
	struct aud *a = state;

	(void)d;
	ops_timer_start(a->drain_timer, 0);
}

static int open_all(struct aud *a, const struct aud_config *c, struct ops_error *err)
{
	OPS_CLEANUP(ops_freep)
	char *spool = ops_path_join(ops_daemon_state_dir(a->daemon), "spool");
	int code = aud_signer_open(a, c, &a->signer, err);

	if (code == 0)
		code = aud_intake_open(a, spool, &a->intake, err);
	if (code == 0 && c->append_listen != NULL && c->append_listen[0] != '\0') {
		code = aud_bus_open(a, c->append_listen, err);
		if (code < 0)
			ops_daemon_exit_code(a->daemon, 4);
	}
	return code;
}

static int start(struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err)
{
	struct aud *a = ops_xcalloc(1, sizeof(*a));

	a->daemon = d;
	a->loop = ops_daemon_loop(d);
	a->drain_timer = ops_timer_new(a->loop, on_drain, a);
	a->sequencer = aud_sequencer_new(a, ops_daemon_pg(d));
	int code = open_all(a, config, err);
	if (code < 0) {
		if (ops_daemon_pg(d) != NULL)
			ops_pg_on_state(ops_daemon_pg(d), NULL,
				NULL); /* at a real stop it is gone already */
		stop(a);
		return code;
	}
	aud_http_routes(a);
	ops_daemon_health(d, "audit_log", chain_health, a);
	*ret_state = a;
	return 0;
}

const struct ops_service aud_service_table = {
	.name = "ops-auditlog",
	.summary = "records who did what, when, with which result, so that no one can change it "
		   "unseen",
	.default_listen = "127.0.0.1:9095",
	.keys = keys,
	.config_size = sizeof(struct aud_config),
	.start = start,
	.drain = drain,
	.stop = stop,
};
