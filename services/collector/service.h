/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* ops-collector put together. */
#include "common/run/run.h"
#include "services/collector/config.h"
#include "services/collector/discovery.h"
#include "services/collector/members.h"
#include "services/collector/publish.h"
#include "services/collector/receive/receive.h"
#include "services/collector/scrape.h"
#include "services/collector/targets.h"

struct col_service_config {
	struct ops_daemon_config daemon;
	const char *scrape_config_file;
	const char *samples_url, *members_url;
	const char *replay_listen, *replay_advertise;
	const char *instance, *advertise_url;
	uint64_t ring_bytes, ring_disk_bytes;
	int64_t heartbeat_ms;
	struct ops_conf_strings features;
	struct col_receive_config receive;
};

struct col_service {
	struct ops_daemon *daemon;
	const struct col_service_config *config;
	char *instance, *url;
	struct col_config *scrape_config;
	struct col_discovery *discovery;
	struct col_targets dropped; /* its targets live in scraping */
	struct col_members *members;
	struct col_publisher *publisher;
	struct col_puller *puller;
	struct ops_oauth2_tokens *tokens;
	struct col_scraping scraping;
	struct col_receive *receive;
};

extern const struct ops_service col_service_table;

/* api.c */
void col_api_register(struct col_service *s, struct ops_http_server *http);
void col_api_reply_targets(struct ops_http_req *req, const struct col_service *s);
/* api_discovery.c */
void col_api_register_discovery(struct col_service *s, struct ops_http_server *http);
