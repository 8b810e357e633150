/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* POST /api/v1/import/prometheus: samples with their own times as exposition text. Loop thread. */
#include "common/net/http_server.h"
#include "services/collector/receive/outlet.h"

struct col_import_door { /* lives while the server does */
	struct col_outlet *outlet;
	bool (*heard)(void *arg); /* whether a detector listens */
	void *arg;
};

void col_import_register(struct col_import_door *door, struct ops_http_server *http);
