/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where alerts come in: the detector's stream, and POST /api/v2/alerts. Both are durable before
 * they are answered. */
#include "services/alertmanager/alm.h"

/* A message of the alert stream, for ops_sub_config.on_message; arg is the struct alm. */
int alm_ingest_message(void *arg, const struct ops_bus_message *m);
/*
 * One postableAlert of API v2. -EINVAL with err when it is malformed; another -errno when it could
 * not be stored. Durable after alm_alerts_sync.
 */
int alm_ingest_posted(struct alm *s, const json_t *posted, struct ops_error *err) OPS_MUST_CHECK;
