/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A list of objects of the Kubernetes API that is kept true: listed once, in pages, then watched
 * from there. Loop thread only.
 */
#include "services/collector/discovery/sd.h"

struct col_k8s_watch; /* opaque */

struct col_k8s_watch_config {
	struct col_sd *sd;
	const struct ops_http_options *(*http_of)(const struct col_sd *sd); /* asked each time */
	char *path;		 /* URL without a query; taken */
	char *selectors;	 /* "&labelSelector=..." or ""; taken */
	struct ops_map *objects; /* key -> json_t; several watches may share it */
	/* After each change of objects, and once after the first list. */
	void (*on_change)(struct col_sd *sd);
};

struct col_k8s_watch *col_k8s_watch_new(const struct col_k8s_watch_config *cfg);
void col_k8s_watch_free(struct col_k8s_watch *w);	  /* NULL is fine */
bool col_k8s_watch_listed(const struct col_k8s_watch *w); /* once, at least */

/* One line of a watch; public for the fuzz target. 0; -ESTALE: list again; -EBADMSG. */
int col_k8s_apply(struct ops_map *objects, const char *line, size_t len, char **resource_version,
	bool *ret_changed) OPS_MUST_CHECK;
