/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What Consul answers about one service, as targets. Any thread. */
#include "services/collector/discovery/sd.h"

struct col_consul_service {
	const char *name, *datacenter, *tag_separator;
};
/* entries: /v1/health/service/NAME. Owned by the caller. */
struct col_group *col_consul_group(const struct col_consul_service *of, const json_t *entries);
