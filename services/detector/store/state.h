/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The store's inside, shared by its files only. */
#include <pthread.h>

#include "common/base/map.h"
#include "common/base/strbuf.h"
#include "services/detector/store/blocks.h"
#include "services/detector/store/disk.h"
#include "services/detector/store/group.h"
#include "services/detector/store/index.h"
#include "services/detector/store/late.h"
#include "services/detector/store/spans.h"
#include "services/detector/store/store.h"

#define DET_PAGE_SERIES 1024u

struct det_ref { /* where samples of a series are */
	struct det_group *group;
	uint32_t column;
};

struct det_refs { /* only of a series with more than one */
	uint32_t n, cap;
	int64_t last_ms;
	struct det_ref items[];
};

enum {
	DET_ENTRY_LATE = 1,    /* has samples in the out-of-order buffers */
	DET_ENTRY_DELETED = 2, /* has deleted spans */
	DET_ENTRY_HISTOGRAMS = 4,
	DET_ENTRY_FLAGS = 7
};

struct det_entry { /* a series of the head; small, there are many */
	uint64_t hash;
	struct det_ref first; /* group NULL: no samples anywhere in the head */
	struct det_refs *more;
	uint32_t id;
	unsigned flags : 4; /* these three change under the write lock only */
	unsigned npairs : 12;
	unsigned layouts : 16; /* live ones that feed it */
	uint32_t pairs[];      /* in the order of names */
};

#define DET_ENTRY_PAIRS_MAX 4095u

struct det_page { /* series by id; freed when it is empty and full ids have passed */
	struct det_entry *items[DET_PAGE_SERIES];
	uint32_t filed[DET_PAGE_SERIES / 32]; /* stands in the definitions file; the writer's own */
	uint32_t used;
};

struct det_grave { /* freed when no reader from before is left */
	struct det_grave *next;
	uint64_t since;
	void (*free_fn)(void *);
	void *what;
};

struct det_readers {
	pthread_rwlock_t lock; /* prefers the writer */
	pthread_mutex_t mutex; /* of the rest */
	struct det_read *first;
	uint64_t now;
	struct det_grave *graves, **graves_end;
};

struct det_job {
	uint64_t columns; /* of its live layouts */
	char name[];
};

struct det_store {
	struct det_store_options options;
	struct det_store_listener listener;
	struct det_store_tap tap;
	bool quiet; /* the sample that is being appended is nobody else's business */
	struct det_readers readers;
	struct det_table series;    /* by hash */
	struct ops_map *layouts;    /* id -> struct det_group, retired ones too */
	struct ops_map *jobs;	    /* name -> struct det_job */
	struct ops_map *metadata;   /* family name -> struct det_metadata */
	struct ops_map *late;	    /* series id -> struct det_late */
	struct ops_map *histograms; /* series id -> struct det_histogram_log */
	struct ops_strbuf scratch;  /* of one call */
	uint64_t serial;	    /* of the last segment */
	struct det_index index;
	struct det_page **pages;
	size_t npages, pages_cap;
	uint32_t next_id;
	uint64_t next_group;
	uint64_t generation;	  /* atomic */
	struct det_group *groups; /* all of them */
	size_t series_bytes;
	int64_t horizon_ms;    /* nothing older is accepted; moves in maintenance */
	int64_t ahead_ms;      /* nor anything newer */
	int64_t head_ms;       /* what is older is in blocks, or gone */
	int64_t closed_ms;     /* nor is anything older taken: it is being cut, or was */
	int64_t drop_ms;       /* and is not in the head any more */
	int64_t oldest_new_ms; /* of what was appended since the last maintenance */
	uint64_t cut_since;    /* readers from before head_ms moved still want it in the head */
	uint64_t seed;
	/* With a directory: */
	struct det_disk *disk; /* NULL: in memory only, or not open yet */
	int lock_fd;
	bool replaying;		     /* what is appended comes from the log */
	uint32_t next_ref;	     /* of pairs in the definitions file */
	uint64_t buried;	     /* series since the definitions were written whole */
	int64_t rolled_ms;	     /* when the log began a new file; monotonic */
	struct det_head_file *heads; /* newest first; the first may be appended to */
	uint64_t next_head;
	uint32_t in_memory; /* segments that wait for the disk to work */
	struct det_store_recovery recovery;
	uint64_t open_done, open_all; /* bytes; atomic */
	struct ops_map *deleted;      /* series id -> struct det_spans */
	struct det_block **blocks;    /* by mint; changed under the write lock */
	size_t nblocks, blocks_cap;
	struct det_job_work *job; /* NULL: nothing runs in the background */
	int64_t job_after_ms;	  /* monotonic: not before */
	bool cleaning;		  /* blocks with deleted samples are to be written again */
	uint64_t cuts, compactions, failures;
	struct det_store_stats stats;
};

/* ---- readers.c ---- */
void det_readers_init(struct det_readers *r);
void det_readers_done(struct det_readers *r);
void det_write_lock(struct det_store *s);
void det_write_unlock(struct det_store *s);
void det_read_lock(struct det_store *s);
void det_read_unlock(struct det_store *s);
/* free_fn(what) as soon as nobody can look at it any more. Writer only. */
void det_store_grave(struct det_store *s, void (*free_fn)(void *), void *what);
void det_store_reap(struct det_store *s);
uint64_t det_readers_now(struct det_store *s);	  /* a moment: who begins after it is later */
uint64_t det_readers_oldest(struct det_store *s); /* who began first and is still there */
void det_store_changed(struct det_store *s);	  /* a new generation */

/* ---- series.c; under the write lock where they change something ---- */
struct det_entry *det_store_at(const struct det_store *s, uint32_t id);
/* Whether the series stands in the definitions file; set: from now on it does. */
bool det_store_filed(struct det_store *s, const struct det_entry *e, bool set);
struct det_entry *det_store_lookup(const struct det_store *s, const struct ops_labels *labels);
/* The series of a label set, made when new; NULL when memory_max refuses it (counted). */
struct det_entry *det_store_intern(struct det_store *s, const struct ops_labels *labels);
/* With an id that was given before; NULL when it is taken. */
struct det_entry *det_store_restore(
	struct det_store *s, const struct ops_labels *labels, uint32_t id);
/* While opening: the series came back under another id later. False: that id is taken. */
bool det_store_renumber(struct det_store *s, struct det_entry *e, uint32_t id);
uint32_t det_entry_nrefs(const struct det_entry *e);
const struct det_ref *det_entry_ref(const struct det_entry *e, uint32_t i);
int64_t det_entry_last(const struct det_entry *e);
void det_entry_attach(struct det_entry *e, struct det_group *group, uint32_t column);
void det_entry_detach(struct det_entry *e, const struct det_group *group);
/* The texts are the index's. */
struct ops_labels *det_entry_labels(
	const struct det_store *s, const struct det_entry *e, struct ops_arena *arena);
/* What a listener or a query gets. */
struct det_series *det_entry_view(
	const struct det_store *s, struct det_entry *e, struct ops_arena *arena);
/* Drops the series from the index and buries those without columns. */
void det_store_bury(struct det_store *s, struct det_entry *const *dead, size_t n);

/* ---- store.c ---- */
void det_store_link(struct det_store *s, struct det_group *g);
void det_store_unlink(struct det_store *s, struct det_group *g);
size_t det_store_bytes(const struct det_store *s);
void det_store_refuse(struct det_store *s, enum det_refusal why, size_t samples);
void det_store_account(struct det_store *s, const struct det_group *g, size_t before);

/* ---- seal.c ---- */
void det_store_seal(struct det_store *s, struct det_group *g); /* the raw rows, if any */
void det_store_drop_segments(struct det_store *s, struct det_group *g, uint32_t n); /* oldest */
/* Segments that are in memory because the disk failed go to it, if it works again. */
void det_store_place(struct det_store *s);
void det_store_release_heads(struct det_store *s); /* files without a segment of use */
void det_store_close_head(struct det_store *s);	   /* the next segment goes to a new file */
void det_store_free_heads(struct det_store *s);

/* ---- wal.c: nothing without a directory or while replaying ---- */
void det_wal_row(struct det_store *s, struct det_group *g); /* the newest row of the group */
void det_wal_late(struct det_store *s, struct det_entry *e, int64_t t, double v);
void det_wal_blob(
	struct det_store *s, struct det_entry *e, int64_t t, const void *blob, size_t len);
/* Rolls the log when due and removes what is in segments. */
void det_wal_maintain(struct det_store *s);
void det_wal_roll(struct det_store *s);
void det_wal_carry_over(struct det_store *s); /* what no segment ever holds, to the new file */
/* What a log file says; see wal.c. */
void det_wal_replay(
	struct det_store *s, struct ops_map *groups, uint64_t number, const void *data, size_t len);

/* ---- definitions.c: likewise ---- */
void det_define_group(struct det_store *s, struct det_group *g); /* with its series */
void det_define_series(struct det_store *s, struct det_entry *e);
void det_define_feed(struct det_store *s, struct det_group *g); /* if it is defined */
void det_define_family(struct det_store *s, const struct det_metadata *m);
void det_definitions_rewrite(struct det_store *s); /* a new file without what is gone */
/* Makes what a file of them says; groups by id are added to the map. */
void det_definitions_load(
	struct det_store *s, struct ops_map *groups, const void *data, size_t len);

/* ---- retention.c ---- */
/* Takes the group away, its series stay without it; they may have no column any more then. */
void det_store_forget_group(struct det_store *s, struct det_group *g);

/* ---- append.c ---- */
/* 0 = stored, 1 = known, 2 = refused and counted. The series exists, its time is no future. */
int det_store_append_entry(struct det_store *s, struct det_entry *e, int64_t t, double v);
int det_store_put_late(struct det_store *s, struct det_entry *e, int64_t t, double v);
void det_store_note_time(struct det_store *s, int64_t time_ms);
bool det_entry_attached(const struct det_entry *e, const struct det_group *g);
struct det_group *det_store_group_add(struct det_store *s, uint64_t layout_id, uint32_t ncolumns);

void det_store_add_row(struct det_store *s, struct det_group *g, int64_t t, const double *values);

/* ---- layouts.c ---- */
struct det_job *det_store_job(struct det_store *s, const char *name); /* made when new */

/* ---- starts.c ---- */
struct ops_matchers det_without_starts(/* borrows */
	const struct ops_matchers *matchers, struct ops_arena *arena);
void det_strings_drop_start(struct det_strings *list);

/* ---- select.c ---- */
/* Samples of the head, under the lock or by the writer. Replaces what is in out. */
void det_head_select(struct det_store *s, const struct ops_matchers *matchers,
	const int64_t range_ms[2], struct ops_arena *arena, struct det_series_list *ret);
/* What was appended behind mid is a run of its own: brought into order, each time once. */
void det_samples_join(struct det_samples *out, size_t mid);
struct det_store *det_series_store(const struct det_series *series);
/* As below, but without the histograms themselves. */
void det_entry_read_marks(const struct det_store *s, const struct det_entry *e,
	const int64_t range_ms[2], struct det_samples *out);
void det_entry_read(const struct det_store *s, const struct det_entry *e, const int64_t range_ms[2],
	struct det_samples *out);

/* ---- histogram_log.c ---- */
struct det_histogram_log *det_store_histograms(
	const struct det_store *s, const struct det_entry *e);
int det_store_append_blob(struct det_store *s, struct det_entry *e, int64_t time_ms,
	const struct ops_histogram *h) OPS_MUST_CHECK;

/* ---- background.c ---- */
void det_background_maintain(struct det_store *s, int64_t now_ms);
void det_background_stop(struct det_store *s);
void det_background_stale(struct det_store *s); /* what the job read has changed */
void det_store_add_block(struct det_store *s, struct det_block *b);
void det_store_load_cut(struct det_store *s);

/* ---- delete.c ---- */
struct det_spans *det_store_spans(struct det_store *s, struct det_entry *e); /* made when new */

/* ---- metadata.c ---- */
void det_store_learn(struct det_store *s, const struct ops_layout *layout);
