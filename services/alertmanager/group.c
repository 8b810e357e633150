/* SPDX-License-Identifier: Apache-2.0 */
/* What dispatching and flushing both do to a group: set its timer, take an alert out, note that a
 * flush is over. */
#include "services/alertmanager/dispatch_parts.h"

#include "common/base/clock.h"

void alm_group_arm(struct group *g, int64_t delay_ms)
{
	g->pub.next_flush_ms = ops_now_ms() + delay_ms;
	ops_timer_start(g->timer, delay_ms);
}

void alm_group_flushed(struct group *g)
{
	g->flush = NULL;
	g->flushed = true;
	if (g->again) {
		g->again = false;
		alm_group_arm(g, 0);
	}
}

void alm_group_remove_at(struct group *g, size_t i)
{
	g->pub.alerts[i]->groups--;
	g->pub.alerts[i] = g->pub.alerts[--g->pub.n];
}
