/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request is answered when its samples are in the ring from which the detector asks for what it
 * missed. That ring is memory: while no detector is heard a sender keeps its samples and tries
 * again (503), which loses nothing, instead of filling the ring. What is refused for good (labels,
 * the limit of series) is 400, which tells a sender not to repeat it; the rate is 429.
 */
#include "services/collector/receive/door.h"

#include <stdio.h>

#include "common/metrics/metrics.h"

static struct ops_metric requests_total = OPS_COUNTER(
	"ops_received_requests_total", "Requests of senders, by answer.", "door", "code");

bool col_door_pass(
	const struct col_door *door, const struct ops_remote_series *s, struct col_door_outcome *o)
{
	size_t n = s->nsamples + s->nhistograms;
	enum col_outlet_refusal why = col_outlet_series(door->outlet, door->name, s);
	if (why == COL_OUTLET_TAKEN) {
		o->taken += n;
		return true;
	}
	o->refused += n;
	o->bus |= why == COL_OUTLET_BUS;
	if (o->why == NULL) {
		o->why = s->flaw != NULL ? s->flaw : col_outlet_reason(why);
	}
	return false;
}

void col_door_reply(
	const struct col_door *door, struct ops_http_req *req, int code, const char *text)
{
	char label[8];
	snprintf(label, sizeof(label), "%d", code);
	ops_metric_add(&requests_total, 1, door->name, label);
	if (code == 429 || code == 503) {
		ops_http_reply_header(req, "Retry-After", "5");
	}
	if (code == 204) {
		ops_http_reply(req, code, NULL, NULL, 0);
	} else {
		ops_http_reply_text(req, code, text);
	}
}

bool col_door_unheard(const struct col_door *door, struct ops_http_req *req)
{
	if (door->heard(door->arg)) {
		return false;
	}
	col_door_reply(door, req, 503, "no detector is heard: keep the samples and try again");
	return true;
}

bool col_door_above_rate(const struct col_door *door, struct ops_http_req *req, size_t n)
{
	if (col_outlet_admits(door->outlet, n)) {
		return false;
	}
	col_door_reply(door, req, 429, "more samples per second than receive.samples_per_second");
	return true;
}

void col_door_finish(
	const struct col_door *door, struct ops_http_req *req, struct col_door_outcome *o)
{
	o->bus |= col_outlet_flush(door->outlet, door->name) != 0;
	if (o->bus) {
		col_door_reply(door, req, 503, "the samples could not be passed on");
	} else if (o->refused > 0) {
		char text[300];
		snprintf(text, sizeof(text), "%zu of %zu samples refused: %s", o->refused,
			o->refused + o->taken, o->why);
		col_door_reply(door, req, 400, text);
	} else {
		col_door_reply(door, req, 204, NULL);
	}
}
