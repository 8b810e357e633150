/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Samples on the wire. A layout names the series of a target once; a batch is then one double per
 * series. Little-endian, length-checked at every read; docs/wire-format-samples.md is the
 * specification. A layout's id is a 64-bit hash of its encoded body, so a changed target has a new
 * id. Topics: "layout/<16 hex>" and "batch/<16 hex of layout>".
 */
#include <string.h>

#include "common/base/def.h"
#include "common/base/error.h"
#include "common/json/json.h"
#include "common/model/labels.h"

struct ops_strbuf;

enum ops_series_type {
	OPS_T_UNKNOWN,
	OPS_T_COUNTER,
	OPS_T_GAUGE,
	OPS_T_HISTOGRAM,
	OPS_T_SUMMARY,
	OPS_T_INFO,
	OPS_T_STATESET,
	OPS_T_GAUGEHISTOGRAM
};
const char *ops_series_type_text(enum ops_series_type t);

struct ops_layout_family {		/* metadata of a metric family */
	const char *name, *help, *unit; /* "" when absent */
	enum ops_series_type type;
};
struct ops_layout { /* pointers borrowed by the encoder; owned by `arena` after decoding */
	uint64_t id;
	const char *job, *instance; /* for display and limits */
	struct ops_labels **series; /* full label sets with __name__ and target labels */
	uint32_t *family;	    /* index into families per series; UINT32_MAX = none */
	size_t n;
	struct ops_layout_family *families;
	size_t nfamilies;
	struct ops_arena *arena; /* NULL while built by an encoder */
};
struct ops_batch {
	uint64_t layout_id;
	int64_t time_ms; /* scrape time for every sample without its own */
	const double
		*values; /* n of the layout; a staleness marker is the NaN 0x7ff0000000000002 */
	size_t n;
	const int64_t
		*times_ms; /* NULL, or per sample where the exposition gave one (0 = time_ms) */
};
#define OPS_STALE_NAN_BITS 0x7ff0000000000002ULL
static inline bool ops_is_stale(double v) /* asked of every value that is read */
{
	uint64_t bits;
	memcpy(&bits, &v, sizeof(bits));
	return bits == OPS_STALE_NAN_BITS;
}
double ops_stale_nan(void);

#define OPS_LAYOUT_MAX_SERIES 1000000u
/*
 * Appends and sets l->id. -E2BIG, with id 0 and nothing appended, when there are more than
 * OPS_LAYOUT_MAX_SERIES series, 100,000 families, 256 labels in a series, or 64 KiB in one text.
 */
int ops_layout_encode(struct ops_layout *l, struct ops_strbuf *out);
int ops_layout_decode(const void *data, size_t len, struct ops_layout **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_layout_free(struct ops_layout *l); /* decoded ones */
/* Several batches in one message, one behind the other; of any layouts. */
#define OPS_BATCHES_TOPIC "batches"
/* Samples that a collector was sent, with their own times: a remote write 2.0 message. */
#define OPS_RECEIVED_TOPIC "received"
/* A collector lets go of targets that another goes on with: ids of their layouts. */
#define OPS_RELEASED_TOPIC "released"
void ops_released_add(struct ops_strbuf *out, uint64_t layout_id); /* appends */
/* fn for each; -EINVAL: not a list of ids, fn was not called. */
int ops_released_decode(const void *data, size_t len, void (*fn)(void *arg, uint64_t layout_id),
	void *arg, struct ops_error *err) OPS_MUST_CHECK;
/* Appends. */
void ops_batch_encode(const struct ops_batch *b, struct ops_strbuf *out);
/* values and times_ms point into scratch, which must outlive the use of *ret. */
int ops_batch_decode(const void *data, size_t len, struct ops_strbuf *scratch,
	struct ops_batch *ret, struct ops_error *err) OPS_MUST_CHECK;

/* Bytes of the batch at the beginning of data, by what its header says; -EINVAL when there is none.
 */
int ops_batch_size(const void *data, size_t len, size_t *ret, struct ops_error *err) OPS_MUST_CHECK;

/* Members, as JSON: {"instance","replay_url","url","started_ms"}; the list of the live ones is
 * {"members":[...]}. */
struct ops_member {
	char *instance; /* unique name */
	char *replay_url;
	char *url; /* of its HTTP doors, for other members; NULL: not told */
	int64_t started_ms;
};
struct ops_members {
	struct ops_member *items;
	size_t n, cap;
};
void ops_member_done(struct ops_member *m);
json_t *ops_member_to_json(const struct ops_member *m) OPS_MUST_CHECK;
int ops_member_from_json(
	const json_t *data, struct ops_member *ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_members_done(struct ops_members *ms);
json_t *ops_members_to_json(const struct ops_members *ms) OPS_MUST_CHECK;
int ops_members_from_json(
	const json_t *data, struct ops_members *ret, struct ops_error *err) OPS_MUST_CHECK;
