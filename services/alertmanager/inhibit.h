/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Inhibition: is an alert muted because another one is firing? */
#include "services/alertmanager/alerts.h"
#include "services/alertmanager/config.h"

struct alm_inhibitor; /* opaque; remembers which alerts are on the source side of which rule */

/* Takes a reference of cfg; alerts must outlive it. */
struct alm_inhibitor *alm_inhibitor_new(struct alm_config *cfg, const struct alm_alerts *alerts);
void alm_inhibitor_free(struct alm_inhibitor *in); /* NULL is fine */
/*
 * Fingerprint of a firing alert that inhibits one with these labels, by any rule; false = none.
 * An alert that matches both sides of a rule does not inhibit others that do (nor itself).
 */
bool alm_inhibited(struct alm_inhibitor *in, const struct ops_labels *labels, int64_t now_ms,
	uint64_t *ret_by);
