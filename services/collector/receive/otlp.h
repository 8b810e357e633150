/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* POST /v1/metrics and /api/v1/otlp/v1/metrics: OTLP/HTTP, protobuf and JSON, gzip. */
#include "common/net/http_server.h"
#include "services/collector/receive/otlp_series.h"

struct col_otlp_door { /* embedded; borrowed parts outlive the server */
	struct col_outlet *outlet;
	struct col_otlp_series *series;
	bool (*heard)(void *arg); /* as in struct col_door */
	void *arg;
};
void col_otlp_register(struct col_otlp_door *door, struct ops_http_server *http);
