/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* POST /api/v1/write: Prometheus' remote write 1.0 and 2.0, passed on to the detector. */
#include "services/collector/receive/door.h"

void col_remote_register(struct col_door *door, struct ops_http_server *http);
