/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The detector's time-series store. A target's layout is resolved to series once; a batch is then
 * one row of doubles for a group of columns that share their timestamps. docs/store.md tells where
 * samples live from there on.
 *
 * Threads: the loop thread is the only writer: every function here is its own, unless it says "any
 * thread". A query on a worker holds det_store_read_begin() .. _end() from its first select to its
 * last read: series, labels and texts that it saw stay valid until then, appends happen in between
 * and may be seen. On the loop thread no such pair is needed within one turn, if nothing in between
 * maintains, configures or deletes.
 */
#include "common/base/arena.h"
#include "common/base/def.h"
#include "common/base/error.h"
#include "common/model/histogram.h"
#include "common/model/labels.h"
#include "common/model/matcher.h"
#include "common/msg/samples.h"

struct det_store; /* opaque */
struct det_entry; /* opaque: what the head knows of a series */
struct det_block; /* opaque */
struct det_block_meta;

struct det_store_options {
	int64_t retention_ms;	    /* 0: 24 h */
	size_t memory_max;	    /* bytes; new series are refused above; 0: no limit */
	const char *dir;	    /* borrowed by det_store_new(); NULL: in memory only */
	int64_t wal_fsync_ms;	    /* 0: 1 s */
	uint64_t retention_bytes;   /* of the blocks; 0: no limit */
	int64_t out_of_order_ms;    /* how late a sample may come; 0: not at all */
	int64_t block_ms;	    /* 0: 2 h */
	uint32_t series_per_target; /* of one layout; 0: no limit */
	uint32_t series_per_job;    /* of the live layouts of a job; 0: no limit */
};

/*
 * A series as one query sees it: made by det_store_select() or _find() in the caller's arena. It
 * may be used until the read ends or, kept by the loop thread, until det_store_generation() is
 * another. labels are shared by nobody: never ref or unref them.
 */
struct det_series {
	const struct ops_labels *labels;
	const struct det_store *store;
	struct det_entry *entry; /* NULL: it lives in blocks only */
	uint64_t id; /* of the label set: small numbers in the head, else made of its hash */
	uint32_t nblocks;
	struct det_block_series { /* oldest first */
		struct det_block *block;
		uint32_t series;
	} * blocks;
};

/* A query that is under way. Any thread; one per query. */
struct det_read {
	uint64_t since;
	struct det_read *prev, *next;
};
void det_store_read_begin(struct det_store *s, struct det_read *r);
void det_store_read_end(struct det_store *s, struct det_read *r);
/* Changes when a series is made or removed and when blocks come or go: a list of selected series
 * that has an open end may be used again while it stays the same. Any thread. */
uint64_t det_store_generation(const struct det_store *s);

#define DET_AHEAD_MAX_MS 600000 /* against the time of the last det_store_maintain() */
/* Why a sample was not stored: the label of ops_detector_samples_refused_total{reason}. */
enum det_refusal {
	DET_REFUSED_OUT_OF_ORDER, /* older than the series' last */
	DET_REFUSED_DUPLICATE,	  /* same time, other value */
	DET_REFUSED_MEMORY,	  /* its series would be new and memory_max is reached */
	DET_REFUSED_TOO_OLD,	  /* before the retention */
	DET_REFUSED_AHEAD,	  /* further in the future than DET_AHEAD_MAX_MS */
	DET_REFUSED_TARGET_LIMIT, /* its series is above series_per_target */
	DET_REFUSED_JOB_LIMIT,	  /* or above series_per_job */
	DET_REFUSED_COUNT
};

struct det_store_stats {
	size_t series, layouts, blocks, label_pairs, memory_bytes;
	uint64_t samples; /* accepted since the start */
	uint64_t late;	  /* of these, behind their series' last */
	uint64_t refused[DET_REFUSED_COUNT];
	uint64_t series_created, series_removed, series_refused;
	int64_t min_ms, max_ms; /* INT64_MAX / INT64_MIN while empty */
};

/* What the rules are told, so that they mark what reads these series. Any of them may be NULL. */
struct det_store_listener {
	/* A layout became known: series[column], NULL where refused. Valid during the call. */
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
	uint64_t layout_id; /* column c is one series as long as the layout lives */
	const double *values;
	size_t n;
	int64_t time_ms;
	const struct det_store *store;
	struct det_entry *const *entries; /* the store's */
};
/* What a column stands for; NULL: its series was refused. In the arena. */
struct ops_labels *det_store_row_labels(
	const struct det_store_row *row, size_t column, struct ops_arena *arena);

/*
 * What is stored, with its values, for those who pass samples on: each sample once, when it becomes
 * visible; nothing for what is refused, known already, or read back at start. Any of them may be
 * NULL. Everything is borrowed for the call.
 */
struct det_store_tap {
	/* Value c is a sample of column c unless det_is_absent() (group.h). */
	void (*on_row)(void *arg, const struct det_store_row *row);
	void (*on_sample)(
		void *arg, const struct det_series *series, int64_t time_ms, double value);
	void (*on_histogram)(void *arg, const struct det_series *series, int64_t time_ms,
		const struct ops_histogram *h);
	void *arg;
};

struct det_store *det_store_new(const struct det_store_options *options);
/*
 * With a directory: takes its lock, maps what is there, replays the log. Any thread, once, before
 * any other use but det_store_open_progress(). -EBUSY: another process has it. What is damaged is
 * left out and counted (det_store_recovery), never an error.
 */
int det_store_open(struct det_store *s, struct ops_error *err) OPS_MUST_CHECK;
double det_store_open_progress(const struct det_store *s); /* 0..1; any thread */
/* Writes out and closes. No reader is left. */
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
/* The layout's column of that metric among the last ones, where a target's report series stand; -1:
 * there is none. */
int64_t det_store_report_column(const struct det_store *s, uint64_t layout_id, const char *metric);
/*
 * Who feeds a live layout, one line of text: kept over a restart. det_store_resume(), once after
 * opening, makes those live again that were when the store was closed, the ones with the oldest
 * rows first, and tells the listener of them.
 */
void det_store_feed(struct det_store *s, uint64_t layout_id, const char *source);
struct det_store_resumed {
	uint64_t layout_id;
	const char *source;
	int64_t last_ms,
		step_ms; /* its newest row, and from the one before to it; 0: there is none */
};
void det_store_resume(struct det_store *s,
	void (*fn)(void *arg, const struct det_store_resumed *resumed), void *arg);
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

/* Seals, cuts and compacts blocks (in the background), drops what is older than the retention,
 * removes series without samples. Call every minute or so; more often does no harm. */
void det_store_maintain(struct det_store *s, int64_t now_ms);
/* Whether a block is being cut or compacted: its end is seen by the next maintenance. */
bool det_store_busy(const struct det_store *s);
void det_store_clear(struct det_store *s); /* all data in memory; options and listener stay */

/* What the disk does: asked for health and metrics. */
struct det_store_disk {
	int error;	     /* errno of the last attempt to write; 0: fine */
	int64_t since_ms;    /* when it began */
	uint64_t lost_bytes; /* of the log, not written because of such errors */
	uint64_t wal_bytes, head_bytes, block_bytes;
	size_t blocks;
	uint64_t cuts, compactions, failures; /* of cuts and compactions */
	uint64_t bad_segments;		      /* left out: their checksum fails */
};
void det_store_disk(struct det_store *s, struct det_store_disk *ret);

/* While on, what is appended waits for off to be written to the log, all at once: for the rows of
 * one message. No rule may be evaluated in between. */
void det_store_hold_log(struct det_store *s, bool on);
/* Tries again what the disk refused; every second or so while det_store_disk() tells an error. */
void det_store_retry(struct det_store *s);
/* A moment, and whether everything that was appended before it is on the disk by now (with a
 * directory; never without). */
uint64_t det_store_moment(struct det_store *s);
bool det_store_durable(const struct det_store *s, uint64_t moment);

/* What det_store_open() found; for the log. */
struct det_store_recovery {
	uint64_t series, rows, samples, segments, blocks; /* in use again */
	uint64_t lost_records, lost_bytes;		  /* damaged or torn */
	uint64_t lost_segments, lost_blocks, lost_rows;	  /* rows: whose row before is lost */
	int64_t took_ms;
};
void det_store_recovery(const struct det_store *s, struct det_store_recovery *ret);

/*
 * Marks all samples of the matching series in [range_ms[0], range_ms[1]] as deleted, in head and
 * blocks; durable when it returns (it waits for the disk). ret_series: how many series match.
 */
int det_store_delete(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], uint64_t *ret_series, struct ops_error *err) OPS_MUST_CHECK;
/* Starts to rewrite the blocks that have deleted samples, in the background. */
int det_store_clean_tombstones(struct det_store *s, struct ops_error *err) OPS_MUST_CHECK;
/*
 * A consistent copy by hard links under <dir>/snapshots/<name>, that a store can be opened on. It
 * waits for the disk once. name NULL: one is made from the time. -EEXIST; -ENOTSUP without a
 * directory. ret_name in the arena.
 */
int det_store_snapshot(struct det_store *s, const char *name, struct ops_arena *arena,
	const char **ret_name, struct ops_error *err) OPS_MUST_CHECK;

/*
 * One histogram sample, in the same way. Its hint (reset or not) is worked out against the sample
 * before, unless it says gauge or reset. -EINVAL: ops_histogram_validate refuses it.
 */
int det_store_append_histogram(struct det_store *s, struct ops_labels *labels, int64_t time_ms,
	const struct ops_histogram *h) OPS_MUST_CHECK;

/*
 * When the counter behind the sample at that time began (starts.c). 0 = stored or known already, 1
 * = refused and counted. Stored as a series that only those see who ask for its label.
 */
#define DET_START_LABEL "__start_timestamp__"
int det_store_append_start(struct det_store *s, const struct ops_labels *labels, int64_t time_ms,
	int64_t start_ms) OPS_MUST_CHECK;

struct det_series_list {
	struct det_series **items;
	size_t n;
};
/*
 * Series that match all matchers and may have samples in [mint, maxt]: each once, those of the head
 * by id first. List, series and labels lie in the arena. No matcher at all matches everything. Any
 * thread within a read.
 */
void det_store_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret);
/* The same of the start timestamps: series with DET_START_LABEL beside the labels of what they
 * belong to, values in milliseconds. */
void det_store_select_starts(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret);
/* In the head; NULL when there is none. Any thread within a read. */
struct det_series *det_store_find(
	struct det_store *s, const struct ops_labels *labels, struct ops_arena *arena);
bool det_store_has(struct det_store *s, const struct ops_labels *labels);

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
	struct ops_arena arena;	     /* of the histograms */
	struct det_decoder *decoder; /* the store's */
};
void det_samples_done(struct det_samples *out);
/* Makes h an array of n NULLs. */
void det_samples_reserve_histograms(struct det_samples *out);
/* All samples with mint <= t <= maxt, each time once. Any thread within a read. */
void det_series_read(
	const struct det_series *series, int64_t mint_ms, int64_t maxt_ms, struct det_samples *out);
/* Are there native histograms among its samples, at any time? Any thread within a read. */
bool det_series_has_histograms(const struct det_series *series);
/* Time of the newest sample in the head, INT64_MIN when there is none. */
int64_t det_series_last(const struct det_series *series);

/* Distinct label names / values of a name, of head and blocks, sorted; strings belong to the store.
 * Any thread within a read, as all that follows. */
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
/* What block i is, by time; NULL: there are no more. Loop thread, until the next maintenance. */
const struct det_block_meta *det_store_block(const struct det_store *s, size_t i);

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
