/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* ops-detector put together: store, engine, rules, ingest, API. */
#include "common/run/run.h"

extern const struct ops_service det_service_table;
