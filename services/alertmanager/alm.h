/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The parts of the running service, and its own configuration file. Loop thread only. */
#include "common/bus/bus.h"
#include "common/pg/outbox.h"
#include "common/run/run.h"
#include "services/alertmanager/dispatch.h"
#include "services/alertmanager/playbook.h"

struct alm_settings {			 /* ops-alertmanager.yml */
	struct ops_daemon_config daemon; /* first */
	const char *config_file;	 /* alertmanager_config_file */
	const char *alerts_url, *alerts_replay_url;
	const char *events_listen, *events_replay_listen, *events_replay_advertise;
	const char *playbook_dir, *playbook_user;
	int64_t playbook_timeout_ms, playbook_cooldown_ms, playbook_concurrency;
	const struct ops_conf_node *playbook_environment;
	int64_t alert_retention_ms;
};
extern const struct ops_conf_key alm_settings_keys[];

enum {
	ALM_NOTIFIED_KEPT = 500
};

struct alm_notified { /* one notification, for GET /api/v1/notifications */
	char id[37];
	int64_t at_ms, duration_ms;
	char *receiver, *integration, *reason, *error, *group_key,
		*fingerprints; /* comma-separated */
	bool sent;
	int code;
	unsigned attempts;
};

struct alm {
	struct ops_daemon *daemon;
	const struct alm_settings *settings;
	char *external_url;
	int64_t started_ms;
	struct alm_alerts *alerts;
	struct alm_silences *silences;
	struct alm_nflog *nflog;
	struct alm_dispatch *dispatch;
	struct ops_oauth2_tokens *tokens; /* of receivers with oauth2 */
	struct alm_playbooks *playbooks;
	char **environment; /* of playbooks: NAME=value, NULL-ended */
	struct ops_outbox *outbox;
	struct ops_pub *events;
	struct ops_sub *sub; /* NULL when no alerts_url is given */
	struct ops_timer *sweeper;
	struct alm_notified notified[ALM_NOTIFIED_KEPT]; /* ring */
	size_t nnotified;				 /* ever; the newest is at (n - 1) % KEPT */
	bool draining;
};

extern const struct ops_service alm_service;
