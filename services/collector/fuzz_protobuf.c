/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A body in protobuf: whatever it says, the text that is made of it has a line per sample, and the
 * native histograms' text names each of their messages. The first byte is the flags.
 */
#include <string.h>

#include "common/exposition/protobuf.h"
#include "common/remote/histogram.h"
#include "services/collector/config.h"
#include "services/collector/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct col_limits limits = {.samples = 1000};

static struct col_layout *parse(const struct col_series_rules *rules, const struct ops_strbuf *text,
	struct col_values *values)
{
	const struct ops_exposition_text body = {ops_strbuf_text(text), text->len};
	struct col_layout *l = NULL;
	struct ops_error err;
	if (col_layout_parse(rules, OPS_EXPOSITION_PROTO, body, values, &l, &err) != 0) {
		return NULL; /* names that are no UTF-8, a label twice */
	}
	ops_assert(col_layout_read(l, rules, OPS_EXPOSITION_PROTO, body, values));
	return l;
}

static void check(const struct ops_protobuf_body *b)
{
	struct col_series_rules rules = {
		.labels = ops_labels_of("job", "fuzz", NULL), .instance = "h:1", .limits = &limits};
	struct col_values values = {.n = 0};
	struct ops_arena arena;
	struct ops_histogram h;
	ops_arena_init(&arena);
	col_layout_free(parse(&rules, &b->text, &values));
	struct col_layout *natives = parse(&rules, &b->natives, &values);
	for (size_t i = 0; natives != NULL && i < natives->nseries; i++) {
		size_t at = (size_t)values.values[i];
		ops_assert(at < b->n && b->items[at].from + b->items[at].len <= b->messages.len);
		const struct ops_remote_histogram message = {
			.data = (const uint8_t *)b->messages.data + b->items[at].from,
			.len = b->items[at].len,
			.time_ms = b->items[at].time_ms};
		(void)!ops_remote_histogram_decode(&message, &arena, &h);
	}
	col_layout_free(natives);
	col_values_done(&values);
	ops_arena_done(&arena);
	ops_labels_unref(rules.labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_protobuf_body b = {.n = 0};
	struct ops_error err;
	if (size == 0) {
		return 0;
	}
	uint8_t *copy = ops_xmalloc(size); /* reading one byte too far must be seen */
	memcpy(copy, data + 1, size - 1);
	copy = ops_xrealloc(copy, size > 1 ? size - 1 : 1, 1);
	if (ops_protobuf_read(&b, copy, size - 1, data[0] & 7U, 1000, &err) == 0) {
		check(&b);
	} else {
		ops_assert(err.message[0] != '\0');
	}
	ops_protobuf_body_done(&b);
	free(copy);
	return 0;
}
