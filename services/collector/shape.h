/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What bodies look like without their values: targets that run the same program often answer with
 * the same lines, which are kept once for all of them. Loop thread only.
 */
#include "common/base/strbuf.h"
#include "services/collector/layout.h"

struct col_shape; /* opaque; counted */

/*
 * Takes both; what they hold is the shape's from here on, and the same for all layouts with the
 * same lines: *lines and *prefixes are changed to it. Release with col_shape_unref().
 */
struct col_shape *col_shape_share(
	struct col_line **lines, size_t nlines, struct ops_strbuf *prefixes);
void col_shape_unref(struct col_shape *shape); /* NULL is fine */
