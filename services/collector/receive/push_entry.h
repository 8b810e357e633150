/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A pushed group as it is kept, on disk and by the other collectors: its key, its families, its
 * times, and which of two states of it is the later one. Loop thread only.
 */
#include "services/collector/receive/feed.h"
#include "services/collector/receive/push_group.h"

struct col_push_entry {
	char *id;      /* fingerprint of the key in hex: name of its file */
	uint64_t hash; /* the fingerprint: whose it is */
	struct col_push_group *group;
	struct col_feed *feed;
	int64_t pushed_ms, failed_ms, ttl_ms, due_ms;
	/* Of this state; the greater one is the later, the greater writer when they are equal. */
	int64_t version_ms;
	char *writer; /* the collector that it was sent to */
	/* Of the last PUT or DELETE: nothing of the group is earlier. */
	struct col_push_version base;
	bool deleted;	  /* kept for a while, so that nobody brings it back */
	bool exposed;	  /* its rows are ours */
	uint64_t changed; /* number of its last change here */
};

struct col_push_entry *col_push_entry_new(struct ops_labels *key, const char *writer);
void col_push_entry_free(void *entry); /* without its feed; NULL is fine */
void col_push_entry_set_writer(struct col_push_entry *e, const char *writer);
bool col_push_entry_later(const struct col_push_entry *a, const struct col_push_entry *b);
struct col_push_version col_push_entry_version(const struct col_push_entry *e);
/* Families without a version have that of the entry's state. */
void col_push_entry_stamp(struct col_push_entry *e);
/*
 * Another state of the group joins in: the later one says whether it lives and how long; each
 * family keeps its later text. Whether e is another now; by has what is left over.
 */
bool col_push_entry_merge(struct col_push_entry *e, struct col_push_entry *by);
bool col_push_entry_over(const struct col_push_entry *e, int64_t now_ms); /* its time to live */

/* Appends one comment line of JSON, then the families as text. */
void col_push_entry_encode(const struct col_push_entry *e, struct ops_strbuf *out);
/*
 * The entry at the beginning of text; *ret_len is what it took. -EBADMSG, -EINVAL with err. What an
 * earlier version wrote is read as well, when nothing follows it.
 */
int col_push_entry_decode(const char *text, size_t len, struct col_push_entry **ret,
	size_t *ret_len, struct ops_error *err) OPS_MUST_CHECK;
