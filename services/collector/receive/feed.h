/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A source of samples that is not scraped: what it shows is handed in as an exposition document and
 * goes onto the bus as a target's rows do: a layout once, then numbers; what disappears becomes
 * stale. No `up` and no other report series. Loop thread only.
 */
#include "common/base/error.h"
#include "services/collector/publish.h"

struct col_feed; /* opaque */

/* instance names the layouts; labels (job among them) are added to every series and kept by
 * reference. limits are borrowed. */
struct col_feed *col_feed_new(struct col_publisher *publisher, struct ops_labels *labels,
	const char *instance, const struct col_limits *limits);
void col_feed_free(struct col_feed *f); /* without a word on the bus; NULL is fine */
/*
 * The document's samples as of time_ms, which ascends. -EINVAL malformed, -E2BIG a limit is
 * exceeded, -EMSGSIZE too large for a message: nothing was published, the row before stands.
 */
int col_feed_publish(struct col_feed *f, struct ops_exposition_text body, int64_t time_ms,
	struct ops_error *err) OPS_MUST_CHECK;
/* Everything that was published becomes stale. */
void col_feed_end(struct col_feed *f, int64_t time_ms);
/* What was published lives on at another collector. */
void col_feed_release(struct col_feed *f);
