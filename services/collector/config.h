/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * prometheus.yml as the collector reads it: global and scrape_configs. A loaded configuration is
 * immutable; everything lies in its arena, and it lives until col_config_free().
 */
#include "common/base/arena.h"
#include "common/conf/conf.h"
#include "common/exposition/exposition.h"
#include "common/model/labels.h"
#include "common/net/http_options.h"
#include "common/relabel/relabel.h"

struct col_param { /* URL parameter; several values repeat it */
	const char *name;
	const char *const *values;
	size_t n;
};

struct col_static_group {
	const char *const *targets;
	size_t ntargets;
	struct ops_labels *labels;
};

struct col_sd_class;

struct col_sd_setting { /* one entry of a ..._sd_configs list */
	const struct col_sd_class *class;
	const void *settings; /* the class's own */
	uint64_t hash;	      /* of what is written for it */
};

struct col_limits { /* 0 = none */
	uint64_t body_bytes;
	int64_t samples, labels, label_name_length, label_value_length, targets;
	int64_t dropped; /* keep_dropped_targets */
};

struct col_job { /* one entry of scrape_configs */
	const char *name, *scheme, *metrics_path;
	int64_t interval_ms, timeout_ms;
	size_t replicas; /* collectors that scrape each target */
	const struct col_param *params;
	size_t nparams;
	bool honor_labels, honor_timestamps, track_timestamps_staleness;
	bool compression, legacy_names;
	bool native_histograms, classic_histograms; /* classic: of native ones, too */
	bool convert_classic;			    /* to native ones with custom buckets */
	int64_t histogram_buckets;		    /* most of a native one; 0: no limit */
	int32_t finest_schema; /* of native ones; finer ones are made coarser */
	bool extra_metrics;    /* about the scrape's limits, beside up and its kin */
	struct col_limits limits;
	struct ops_http_options http;
	const char *accept;   /* value of the Accept header */
	const char *escaping; /* of names that are not classic, as asked for there */
	int fallback;	      /* enum ops_exposition_format, or -1 */
	struct ops_relabel relabel, metric_relabel;
	const struct ops_conf_node *relabel_written; /* the list, or NULL */
	const struct col_static_group *groups;
	size_t ngroups;
	const struct col_sd_setting *sds;
	size_t nsds;
	uint64_t hash; /* of everything that is written for this job and in global */
};

struct col_config {
	struct ops_arena arena;
	const struct ops_conf_node *root; /* for /api/v1/status/config */
	struct col_job *jobs;
	size_t njobs, cap_jobs;
};

/* What Prometheus has as --enable-feature: another default for a key of global. */
enum col_features {
	COL_FEATURE_EXTRA_SCRAPE_METRICS = 1,
};

/* path NULL or empty: no jobs. features: of enum col_features. Errors are file:line:column. */
int col_config_load(const char *path, unsigned features, struct ops_conf_warnings *warnings,
	struct col_config **ret, struct ops_error *err) OPS_MUST_CHECK;
int col_config_load_text(const char *name, const char *text, struct ops_conf_warnings *warnings,
	struct col_config **ret, struct ops_error *err) OPS_MUST_CHECK;
void col_config_free(struct col_config *c); /* NULL is fine */
/* The file as it is understood, secrets as <secret>. */
void col_config_print(const struct col_config *c, struct ops_strbuf *out);

/* A target group as static_configs and file_sd files hold it; release the labels. */
int col_group_load(struct ops_arena *a, const struct ops_conf_node *node,
	struct col_static_group *ret, struct ops_error *err) OPS_MUST_CHECK;
