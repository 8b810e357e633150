/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as StatsD lines through a mapping into a table: what comes out is an exposition that
 * our own parser takes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/exposition/exposition.h"
#include "services/collector/receive/statsd_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ops_strbuf *text)
{
	struct ops_exposition p;
	struct ops_error err;
	int kind;
	ops_exposition_init(&p);
	ops_exposition_start(&p, OPS_EXPOSITION_TEXT, ops_strbuf_text(text), text->len);
	do {
		kind = ops_exposition_next(&p, &err);
	} while (kind > 0);
	if (kind < 0) {
		abort();
	}
	ops_exposition_done(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct col_statsd_limits limits = {.series = 50, .set_members = 3};
	struct col_statsd_mapping *mapping = NULL;
	struct ops_error err;
	if (col_statsd_mapping_load_text("m.yml",
		    "mappings:\n- {match: 'a.*.*', name: 'm_$1', labels: {x: '$2'}}\n", NULL,
		    &mapping, &err) != 0) {
		abort();
	}
	struct col_statsd_table *table = col_statsd_table_new(&limits);
	const char *p = (const char *)data, *end = p + size;
	while (p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t n = stop != NULL ? (size_t)(stop - p) : (size_t)(end - p);
		struct col_statsd_event e;
		const char *why;
		if (col_statsd_parse(p, n, &e, &why) == 0) {
			int r = col_statsd_table_add(table, mapping, &e, 0, &why);
			(void)r;
		}
		p += n + 1;
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	col_statsd_table_expose(table, 0, &text);
	check(&text);
	ops_strbuf_done(&text);
	col_statsd_table_free(table);
	col_statsd_mapping_free(mapping);
	return 0;
}
