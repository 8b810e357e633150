/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* POST /api/v1/import/prometheus: samples with their own times as exposition text. Loop thread. */
#include "services/collector/receive/door.h"

void col_import_register(struct col_door *door, struct ops_http_server *http);
