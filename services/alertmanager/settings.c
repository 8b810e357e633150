/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of ops-alertmanager.yml. Alertmanager's own file keeps its format and is only named
 * here. */
#include "services/alertmanager/alm.h"

#define S(key, kind_, member, flags_, default_, doc_)                                              \
	{                                                                                          \
		.name = key, .kind = kind_, .offset = offsetof(struct alm_settings, member),       \
		.flags = flags_, .fallback = default_, .doc = doc_                                 \
	}
const struct ops_conf_key alm_settings_keys[] = {
	S("alertmanager_config_file", OPS_CONF_K_PATH, config_file, 0, "alertmanager.yml",
		"Alertmanager's configuration: routes, receivers, inhibition, time intervals"),
	S("alerts_url", OPS_CONF_K_STRING, alerts_url, OPS_CONF_RESTART, "tcp://127.0.0.1:7402",
		"where the detector publishes alerts; empty: alerts come by HTTP only"),
	S("alerts_replay_url", OPS_CONF_K_STRING, alerts_replay_url, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7502", "where the detector replays them"),
	S("events_listen", OPS_CONF_K_STRING, events_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7403",
		"notifications, playbook runs and notes are published here"),
	S("events_replay_listen", OPS_CONF_K_STRING, events_replay_listen, OPS_CONF_RESTART,
		"tcp://127.0.0.1:7503", "and replayed here"),
	S("events_replay_advertise", OPS_CONF_K_STRING, events_replay_advertise, OPS_CONF_RESTART,
		NULL, "what subscribers dial when it is not events_replay_listen"),
	S("playbook_dir", OPS_CONF_K_PATH, playbook_dir, 0, NULL,
		"executable files that alerts may name; empty: none is run"),
	S("playbook_user", OPS_CONF_K_STRING, playbook_user, 0, NULL,
		"user that playbooks run as; needs root, empty: as this service"),
	{.name = "playbook_timeout",
		.kind = OPS_CONF_K_DURATION,
		.offset = offsetof(struct alm_settings, playbook_timeout_ms),
		.fallback = "5m",
		.min = 100,
		.max = 86400000,
		.doc = "a run is ended after this"},
	{.name = "playbook_cooldown",
		.kind = OPS_CONF_K_DURATION,
		.offset = offsetof(struct alm_settings, playbook_cooldown_ms),
		.fallback = "5m",
		.doc = "no second run of the same playbook for the same alert within this"},
	{.name = "playbook_concurrency",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct alm_settings, playbook_concurrency),
		.fallback = "4",
		.min = 1,
		.max = 64,
		.doc = "runs at a time"},
	S("playbook_environment", OPS_CONF_K_NODE, playbook_environment, 0, NULL,
		"NAME: value given to every playbook beside the alert"),
	S("alert_retention", OPS_CONF_K_DURATION, alert_retention_ms, 0, "15m",
		"a resolved alert is forgotten after this; its history is in PostgreSQL"),
	OPS_CONF_END,
};
