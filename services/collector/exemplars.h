/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Exemplars of a scrape: which are new since the scrape before, as a message. Loop thread only. */
#include "common/exposition/exposition.h"
#include "services/collector/layout.h"
#include "services/collector/native.h"

struct col_exemplar_reader { /* shared by all targets */
	struct ops_exposition parser;
	struct ops_strbuf line, message;
};
void col_exemplar_reader_init(struct col_exemplar_reader *r);
void col_exemplar_reader_done(struct col_exemplar_reader *r);

struct col_exemplars {	/* of one target; {0} to begin */
	uint64_t *seen; /* per column of the layout, hash of the last exemplar; NULL: none yet */
	uint64_t layout_id;
};
void col_exemplars_done(struct col_exemplars *x);
struct col_exemplar_row { /* of a scrape that was published */
	struct col_layout *layout;
	const struct col_native
		*native; /* its histograms, whose exemplars may be in hidden columns */
	const struct col_values *values;
	int64_t time_ms;
};
/*
 * How many exemplars of the row are new; r->message holds them then. Exemplars without a time get
 * that of the scrape.
 */
size_t col_exemplars_collect(
	struct col_exemplars *x, struct col_exemplar_reader *r, const struct col_exemplar_row *row);
