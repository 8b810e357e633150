/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The detector's time-series store, in memory. A target's layout is resolved to series once; a
 * batch is then one row of doubles for a group of columns that share their timestamps. Loop thread
 * only.
 *
 * Pointers to series and their labels stay valid until det_store_maintain() or det_store_free(): a
 * query or a rule evaluation, which runs to its end in one turn of the loop, may borrow them.
 */
#include "common/base/arena.h"
#include "common/base/def.h"
#include "common/model/histogram.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"
#include "common/msg/samples.h"

struct det_store; /* opaque */
struct det_group; /* opaque: columns with common timestamps */

struct det_store_options {
	int64_t retention_ms; /* 0: 24 h */
	size_t memory_max;    /* bytes; new series are refused above; 0: no limit */
};

struct det_series {
	struct ops_labels *labels;
	uint32_t id;	/* never used again after the series is gone */
	uint32_t nrefs; /* columns that hold samples of it, oldest first */
	uint32_t refs_cap;
	uint32_t layouts; /* live layouts that feed it */
	int64_t last_ms;  /* kept only while nrefs > 1; see det_series_last() */
	struct det_series_ref {
		struct det_group *group;
		uint32_t column;
	} * refs;
	struct det_histogram_log *histograms; /* NULL: it never had any */
	struct det_series *next;	      /* in the chain of its hash */
};

#define DET_AHEAD_MAX_MS 600000 /* against the time of the last det_store_maintain() */
/* Why a sample was not stored: the label of ops_detector_samples_refused_total{reason}. */
enum det_refusal {
	DET_REFUSED_OUT_OF_ORDER, /* older than the series' last */
	DET_REFUSED_DUPLICATE,	  /* same time, other value */
	DET_REFUSED_MEMORY,	  /* its series would be new and memory_max is reached */
	DET_REFUSED_TOO_OLD,	  /* before the retention */
	DET_REFUSED_AHEAD,	  /* further in the future than DET_AHEAD_MAX_MS */
	DET_REFUSED_COUNT
};

struct det_store_stats {
	size_t series, layouts, blocks, label_pairs, memory_bytes;
	uint64_t samples; /* accepted since the start */
	uint64_t refused[DET_REFUSED_COUNT];
	uint64_t series_created, series_removed, series_refused;
	int64_t min_ms, max_ms; /* INT64_MAX / INT64_MIN while empty */
};

/* What the rules are told, so that they mark what reads these series. Any of them may be NULL. */
struct det_store_listener {
	/* A layout became known: series[column], NULL where refused. Borrowed. */
	void (*on_layout)(
		void *arg, uint64_t layout_id, struct det_series *const *series, size_t n);
	/* A row of that layout became visible. */
	void (*on_batch)(void *arg, uint64_t layout_id, int64_t time_ms);
	/* One sample outside a layout row became visible. */
	void (*on_sample)(void *arg, const struct det_series *series, int64_t time_ms);
	/* The layout is forgotten (retired). */
	void (*on_layout_gone)(void *arg, uint64_t layout_id);
	void *arg;
};

struct det_store_row {
	uint64_t layout_id; /* of one array of series, as long as the layout lives */
	struct det_series *const *series;
	const double *values;
	size_t n;
	int64_t time_ms;
};

/*
 * What is stored, with its values, for those who pass samples on: each sample once, when it becomes
 * visible; nothing for what is refused, known already, or read back at start. Any of them may be
 * NULL. Everything is borrowed for the call.
 */
struct det_store_tap {
	/* Value c is a sample of series[c] unless that is NULL or det_is_absent(value) (group.h).
	 */
	void (*on_row)(void *arg, const struct det_store_row *row);
	void (*on_sample)(
		void *arg, const struct det_series *series, int64_t time_ms, double value);
	void (*on_histogram)(void *arg, const struct det_series *series, int64_t time_ms,
		const struct ops_histogram *h);
	void *arg;
};

struct det_store *det_store_new(const struct det_store_options *options);
void det_store_free(struct det_store *s);
/* Applies at the next append and maintenance. */
void det_store_configure(struct det_store *s, const struct det_store_options *options);
void det_store_listen(struct det_store *s, const struct det_store_listener *listener); /* copied */
void det_store_set_tap(struct det_store *s, const struct det_store_tap *tap);	       /* copied */
/* Tells the listener of every live layout, as if each became known now: for a new index. */
void det_store_announce(const struct det_store *s);

/*
 * Resolves the layout's series (their label sets are shared, not copied) and remembers its
 * metadata. 0 = new, 1 = was known already. Series refused for memory leave a dead column and are
 * counted.
 */
int det_store_layout(struct det_store *s, const struct ops_layout *layout) OPS_MUST_CHECK;
bool det_store_has_layout(const struct det_store *s, uint64_t layout_id);
/*
 * The target has another layout now, or is gone: series that no other live layout feeds get a
 * staleness marker at time_ms (0: none). Register the successor first. Unknown ids are ignored.
 */
void det_store_retire_layout(struct det_store *s, uint64_t layout_id, int64_t time_ms);
/*
 * Appends value n to column n. 0 = stored (what is refused is counted, not reported);
 * 1 = layout unknown, ask for it; -EINVAL: the batch's width is not the layout's.
 */
int det_store_append_batch(struct det_store *s, const struct ops_batch *batch) OPS_MUST_CHECK;
/* One sample; makes the series when new. 0 = stored or known already; 1 = refused and counted. */
int det_store_append(struct det_store *s, struct ops_labels *labels, int64_t time_ms,
	double value) OPS_MUST_CHECK;

/* Seals, drops what is older than the retention, removes series without samples. Call every minute
 * or so. */
void det_store_maintain(struct det_store *s, int64_t now_ms);
void det_store_clear(struct det_store *s); /* all data; options and listener stay */

/*
 * One histogram sample, in the same way. Its hint (reset or not) is worked out against the sample
 * before, unless it says gauge or reset. -EINVAL: ops_histogram_validate refuses it.
 */
int det_store_append_histogram(struct det_store *s, struct ops_labels *labels, int64_t time_ms,
	const struct ops_histogram *h) OPS_MUST_CHECK;

struct det_series_list {
	struct det_series **items;
	size_t n;
};
/*
 * Series that match all matchers and may have samples in [mint, maxt], ordered by id. The list lies
 * in the arena. No matcher at all matches everything.
 */
void det_store_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret);
struct det_series *det_store_find(struct det_store *s, const struct ops_labels *labels);

/* Decoded samples of one series, ascending, staleness markers included. Reused between series. */
struct det_samples {
	int64_t *t;
	double *v; /* det_histogram_mark() where h has one */
	size_t n, cap;
	/* Per sample, NULL: a float; the array is NULL when there is no histogram at all. Valid
	 * until the next read. */
	const struct ops_histogram **h;
	const struct ops_histogram **h_room;
	size_t h_cap;
	struct ops_arena arena; /* of the histograms */
};
void det_samples_done(struct det_samples *out);
/* All samples with mint <= t <= maxt; whole blocks are decoded. */
void det_series_read(
	const struct det_series *series, int64_t mint_ms, int64_t maxt_ms, struct det_samples *out);
/* Time of the newest sample, INT64_MIN when there is none. */
int64_t det_series_last(const struct det_series *series);

/* Distinct label names / values of a name, sorted; strings belong to the store. */
struct det_strings {
	const char **items;
	size_t n;
};
void det_store_label_names(struct det_store *s, struct ops_arena *arena, struct det_strings *ret);
void det_store_label_values(
	struct det_store *s, const char *name, struct ops_arena *arena, struct det_strings *ret);

struct det_metadata { /* of a metric family; strings belong to the store */
	const char *name, *help, *unit;
	enum ops_series_type type;
};
/* What a sender other than a collector says of a family; layouts do so by themselves. Copied. */
void det_store_describe(struct det_store *s, const struct ops_layout_family *family);
/* NULL when unknown. */
const struct det_metadata *det_store_metadata(struct det_store *s, const char *family);
/* All of them, sorted by name, in the arena. */
void det_store_metadata_all(struct det_store *s, struct ops_arena *arena,
	const struct det_metadata *const **ret, size_t *ret_n);

void det_store_stats(const struct det_store *s, struct det_store_stats *ret);

/* Cardinality: for /api/v1/status/tsdb. Greatest first, at most limit, in the arena. */
struct det_count {
	const char *name, *value; /* value NULL where only names are counted */
	uint64_t n;
};
enum det_count_kind {
	DET_COUNT_SERIES_BY_METRIC,
	DET_COUNT_VALUES_BY_NAME,
	DET_COUNT_BYTES_BY_NAME,
	DET_COUNT_SERIES_BY_PAIR
};
size_t det_store_count(struct det_store *s, enum det_count_kind kind, size_t limit,
	struct ops_arena *arena, struct det_count **ret);
