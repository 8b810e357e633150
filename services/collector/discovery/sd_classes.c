/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/discovery/sd_classes.h"

/* In the order of the rows of the job's table of keys (config_job.c). */
const struct col_sd_class *const col_sd_classes[] = {
	&col_sd_file,
	&col_sd_http,
	&col_sd_dns,
	&col_sd_docker,
	&col_sd_dockerswarm,
	&col_sd_kubernetes,
	&col_sd_consul,
	NULL,
};

int col_sd_check_refresh(
	const struct ops_conf_node *node, int64_t refresh_ms, struct ops_error *err)
{
	return refresh_ms > 0 ? 0
			      : ops_conf_error(ops_conf_get(node, "refresh_interval"), err,
					"refresh_interval must be above 0");
}
