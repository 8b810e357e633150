/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A body of a target as a row: numbers, native histograms. Loop thread only. */
#include "services/collector/scrape.h"

/*
 * Into s->rows.now, s->native and the protobuf of s->owner. *ret_fresh is NULL when the body has
 * the layout s->cache. -EINVAL malformed, -E2BIG a limit is exceeded; nothing is kept then.
 */
int col_scrape_read(struct col_scraper *s, enum ops_exposition_format format,
	struct ops_exposition_text body, struct col_layout **ret_fresh,
	struct ops_error *err) OPS_MUST_CHECK;
