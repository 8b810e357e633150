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
/*
 * When a family was pushed, by the clock of the collector that took it; which one, by the hash of
 * its name, decides between equal times.
 */
struct col_push_version {
	int64_t ms; /* 0: not known yet */
	uint64_t writer;
};
struct col_push_version col_push_version_of(int64_t ms, const char *writer);
bool col_push_version_later(struct col_push_version a, struct col_push_version b);
bool col_push_version_equal(struct col_push_version a, struct col_push_version b);

size_t col_push_group_families(const struct col_push_group *g);
const char *col_push_group_family(
	const struct col_push_group *g, size_t i, struct col_push_version *ret);
void col_push_group_date(
	struct col_push_group *g, const char *family, struct col_push_version version);
void col_push_group_stamp(struct col_push_group *g, struct col_push_version version); /* the rest */
/*
 * Families of from that are later than those of g, or that g does not have, are g's then; what is
 * earlier than base is neither's. Whether g is another now.
 */
bool col_push_group_merge(
	struct col_push_group *g, struct col_push_group *from, struct col_push_version base);

/* Appends text format 0.0.4 without the key's labels. */
void col_push_group_expose(const struct col_push_group *g, struct ops_strbuf *out);

/*
 * The grouping key in the path behind /metrics/: `job/NAME` and `LABEL/VALUE` pairs; a name with
 * @base64 behind it has its value in base64url, "=" being the empty one (and the only way to have a
 * slash in it).
 */
int col_push_key(const char *rest, struct ops_labels **ret, struct ops_error *err) OPS_MUST_CHECK;
