/* SPDX-License-Identifier: Apache-2.0 */
/* Any text as Alertmanager's file: accepted or refused, never more; an accepted one routes an
 * alert. */
#include <stddef.h>
#include <stdint.h>

#include "services/alertmanager/config.h"
#include "services/alertmanager/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct alm_route *hits[ALM_ROUTES_MAX];
	struct alm_config *cfg = NULL;
	struct ops_error err = {0};

	if (alm_config_parse("fuzz.yml", (const char *)data, size, NULL, &cfg, &err) != 0)
		return 0;
	struct ops_labels *ls = ops_labels_of("alertname", "x", "severity", "critical", NULL);
	size_t n = alm_route_match(cfg->route, ls, hits, ALM_ROUTES_MAX);
	for (size_t i = 0; i < n; i++)
		(void)alm_route_muted_by(hits[i], 1700000000000);
	ops_labels_unref(ls);
	char *text = alm_config_masked(cfg);
	free(text);
	alm_config_unref(cfg);
	return 0;
}
