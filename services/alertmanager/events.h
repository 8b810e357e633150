/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What this service tells the bus: notifications, playbook runs, notes. A failure is logged and
 * counted; nothing waits. */
#include "services/alertmanager/alm.h"

void alm_event_notification(struct alm *s, const char *id, const struct alm_outcome *o);
void alm_event_run(struct alm *s, const struct alm_run *run);
void alm_event_note(struct alm *s, const char *id, const char *fingerprint, const char *author,
	const char *action);
