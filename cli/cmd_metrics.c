/* SPDX-License-Identifier: Apache-2.0 */
/* targets: what the collector scrapes. */
#include "cli/ctl.h"

static int run_targets(struct ctl *c)
{
	struct ctl_reply r;
	int rc = ctl_request(c, CTL_COLLECTOR, "GET", "/api/v1/targets", NULL, &r);
	if (rc == 0 && c->json) {
		ctl_print_json(r.json);
	} else if (rc == 0) {
		struct ctl_table t;
		ctl_table_init(&t, "JOB", "URL", "HEALTH", "LAST SCRAPE", "ERROR", NULL);
		size_t i;
		json_t *target;
		json_array_foreach(
			json_object_get(json_object_get(r.json, "data"), "activeTargets"), i,
			target)
		{
			char last[64];
			ctl_relative_time(ctl_text(target, "lastScrape"), last, sizeof(last));
			ctl_table_add(&t, ctl_text(target, "scrapePool"));
			ctl_table_add(&t, ctl_text(target, "scrapeUrl"));
			ctl_table_add(&t, ctl_text(target, "health"));
			ctl_table_add(&t, last);
			ctl_table_add(&t, ctl_text(target, "lastError"));
		}
		ctl_table_print(&t, c);
	}
	ctl_reply_done(&r);
	return rc;
}

const struct ctl_command ctl_metric_commands[] = {
	{"targets", "", "what is scraped, and how that went", {{NULL, NULL, NULL}}, run_targets},
	{NULL, NULL, NULL, {{NULL, NULL, NULL}}, NULL},
};
