/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What was pushed under one grouping key: metric families as text, replaced whole (PUT) or family
 * by family (POST), as Pushgateway does. Labels of the grouping key win over those of the samples.
 * Source: github.com/prometheus/pushgateway README, "API". Loop thread only.
 */
#include "common/base/error.h"
#include "common/base/strbuf.h"
#include "common/exposition/exposition.h"
#include "common/model/labels.h"

struct col_push_group; /* opaque */

struct col_push_group *col_push_group_new(struct ops_labels *key); /* takes a reference */
void col_push_group_free(struct col_push_group *g);		   /* NULL is fine */
struct ops_labels *col_push_group_key(const struct col_push_group *g);
size_t col_push_group_samples(const struct col_push_group *g);
/*
 * Takes the document in. replace: families that it does not have go. -EINVAL: malformed, or a
 * sample with a timestamp, or a family twice; -E2BIG: more samples than max. The group is as before
 * then. Nobody keeps body.
 */
int col_push_group_put(struct col_push_group *g, enum ops_exposition_format format,
	struct ops_exposition_text body, bool replace, size_t max_samples,
	struct ops_error *err) OPS_MUST_CHECK;
/* Appends text format 0.0.4 without the key's labels. */
void col_push_group_expose(const struct col_push_group *g, struct ops_strbuf *out);

/*
 * The grouping key in the path behind /metrics/: `job/NAME` and `LABEL/VALUE` pairs; a name with
 * @base64 behind it has its value in base64url, "=" being the empty one (and the only way to have a
 * slash in it).
 */
int col_push_key(const char *rest, struct ops_labels **ret, struct ops_error *err) OPS_MUST_CHECK;
