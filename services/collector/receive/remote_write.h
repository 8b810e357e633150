/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* POST /api/v1/write: Prometheus' remote write 1.0 and 2.0, passed on to the detector. */
#include "common/net/http_server.h"
#include "services/collector/receive/outlet.h"

struct col_remote_door { /* embedded; borrowed parts outlive the server */
	struct col_outlet *outlet;
	/* Is there a detector that hears us? Otherwise the sender keeps its samples (503). */
	bool (*heard)(void *arg);
	void *arg;
};
void col_remote_register(struct col_remote_door *door, struct ops_http_server *http);
