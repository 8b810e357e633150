/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What push.c (groups, files, publishing) and push_doors.c (HTTP) share. Nobody else's. */
#include "common/metrics/metrics.h"
#include "services/collector/config.h"
#include "services/collector/receive/push.h"
#include "services/collector/receive/push_entry.h"
#include "services/collector/receive/push_peers.h"

extern struct ops_metric col_push_requests_total; /* by outcome */

struct col_push {
	struct ops_loop *loop;
	struct col_publisher *publisher;
	struct col_push_config cfg;
	struct col_limits limits;
	char *dir;		 /* NULL: memory only */
	struct ops_map *entries; /* id -> struct col_push_entry */
	size_t ndeleted;	 /* of them */
	uint64_t changes;	 /* number of the last */
	struct col_push_peers *peers;
	struct ops_timer *tick;
};

size_t col_push_live(const struct col_push *p); /* groups that are not deleted */
bool col_push_is_ours(const struct col_push *p, const struct col_push_entry *e);
int col_push_publish(struct col_push *p, struct col_push_entry *e, struct ops_error *err);
void col_push_forget(struct col_push *p, struct col_push_entry *e); /* frees it */
int col_push_save(struct col_push *p, const struct col_push_entry *e);
/* It was changed here: that is later than what it was. whole: nothing from before is left. */
void col_push_change(struct col_push *p, struct col_push_entry *e, bool whole);
void col_push_set_deleted(struct col_push *p, struct col_push_entry *e, bool deleted);
/* Another state of e joins in; what e exposes goes on, or ends. Whether e is another now. */
bool col_push_join(struct col_push *p, struct col_push_entry *e, struct col_push_entry *by);
