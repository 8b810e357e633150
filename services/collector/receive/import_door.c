/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document is read twice: the first time only to see whether it is whole and how many samples
 * it has, so that a malformed one or one above the rate leaves nothing behind. Its size is that of
 * any request here (http.body_limit), unpacked 64 MiB; the detector's own door takes any length.
 */
#include "services/collector/receive/import_door.h"

#include <stdio.h>
#include <string.h>

#include "common/exposition/import.h"
#include "services/collector/families.h"

#define TEXT_MAX ((size_t)64 << 20)

struct delivery {
	const struct col_door *door;
	struct col_door_outcome outcome;
	struct col_families families;
};

static int count(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	(void)arg;
	(void)labels;
	(void)time_ms;
	(void)value;
	return 0;
}

static int deliver(void *arg, struct ops_labels *labels, int64_t time_ms, double value)
{
	struct delivery *d = arg;
	const struct ops_remote_sample sample = {.time_ms = time_ms, .value = value};
	const struct ops_remote_series series = {
		.labels = labels->items, .nlabels = labels->n, .samples = &sample, .nsamples = 1};
	return col_door_pass(d->door, &series, &d->outcome) ? 0 : -1;
}

static void learn(void *arg, enum ops_exposition_entry kind, const struct ops_exposition *p)
{
	struct delivery *d = arg;
	col_families_learn(&d->families, kind, p);
}

static void describe(struct delivery *d)
{
	for (size_t i = 0; i < d->families.n; i++) {
		const struct ops_layout_family *f = &d->families.items[i];
		const struct ops_remote_metadata m = {.family = {f->name, strlen(f->name)},
			.help = {f->help, strlen(f->help)},
			.unit = {f->unit, strlen(f->unit)},
			.type = f->type};
		d->outcome.bus |= !col_outlet_describe(d->door->outlet, d->door->name, &m);
	}
}

/* The whole document into one sink; err is what ended it. */
static int read_body(struct ops_http_req *req, const struct ops_import_sink *sink,
	size_t *ret_taken, struct ops_error *err)
{
	struct ops_import im;
	const char *body;
	size_t len;
	ops_http_body(req, &body, &len);
	ops_import_init(&im, sink);
	im.max_bytes = TEXT_MAX;
	int r = ops_import_request(&im, req);
	if (r == 0) {
		r = ops_import_take(&im, body, len);
	}
	if (r == 0) {
		r = ops_import_finish(&im);
	}
	*ret_taken = im.taken;
	*err = im.err;
	ops_import_done(&im);
	return r;
}

static void pass_on(const struct col_door *door, struct ops_http_req *req)
{
	struct delivery d = {.door = door};
	const struct ops_import_sink sink = {.on_sample = deliver, .on_metadata = learn, .arg = &d};
	struct ops_arena arena;
	struct ops_error err;
	size_t taken;
	ops_arena_init(&arena);
	col_families_init(&d.families, &arena);
	int r = read_body(req, &sink, &taken, &err);
	ops_assert(r == 0); /* it was good a moment ago */
	describe(&d);
	col_families_done(&d.families);
	ops_arena_done(&arena);
	col_door_finish(door, req, &d.outcome);
}

static void on_import(struct ops_http_req *req, void *arg)
{
	const struct col_door *door = arg;
	const struct ops_import_sink sink = {.on_sample = count};
	struct ops_error err;
	size_t taken = 0;
	char text[400];
	if (col_door_unheard(door, req)) {
		return;
	}
	if (read_body(req, &sink, &taken, &err) == 0) {
		if (!col_door_above_rate(door, req, taken)) {
			pass_on(door, req);
		}
		return;
	}
	if (err.line > 0) {
		snprintf(text, sizeof(text), "line %d, column %d: %.300s", err.line, err.column,
			err.message);
	} else {
		snprintf(text, sizeof(text), "%.300s", err.message);
	}
	col_door_reply(door, req, 400, text);
}

void col_import_register(struct col_door *door, struct ops_http_server *http)
{
	ops_http_route(http, OPS_POST | OPS_RAW_BODY, "/api/v1/import/prometheus",
		OPS_ROLE_OPERATOR, on_import, door);
}
