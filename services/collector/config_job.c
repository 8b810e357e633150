/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scrape job. Its table is decoded into a struct of the file's own shape first, so that "not
 * written" and "written as zero" can be told apart where global has a say.
 */
#include "services/collector/config_job.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/model/histogram.h"
#include "services/collector/members.h"

struct written_job {
	const char *name, *metrics_path, *scheme, *fallback, *names, *escaping;
	const struct ops_conf_node *interval, *timeout, *body, *limits[6], *extra_metrics;
	const struct ops_conf_node *native, *classic, *classic_old, *convert;
	int64_t histogram_buckets;
	double bucket_factor;
	const struct ops_conf_node *params, *protocols;
	const struct ops_conf_node *statics, *relabel, *metric_relabel;
	bool honor_labels, honor_timestamps, track_staleness, compression;
	int64_t replicas;
	struct ops_http_options http;
	const struct ops_conf_node *sds[COL_SD_CLASSES_MAX]; /* in the order of col_sd_classes */
	const struct ops_conf_node *notes[COL_NOTES_MAX];
};

#define KEY(name_, kind_, member, fallback_)                                                       \
	{                                                                                          \
		.name = (name_), .kind = (kind_), .offset = offsetof(struct written_job, member),  \
		.fallback = (fallback_)                                                            \
	}
#define NODE(name_, member) KEY(name_, OPS_CONF_K_NODE, member, NULL)
static const struct ops_conf_key job_keys[] = {
	{.name = "job_name",
		.kind = OPS_CONF_K_STRING,
		.offset = offsetof(struct written_job, name),
		.flags = OPS_CONF_REQUIRED},
	NODE("scrape_interval", interval),
	NODE("scrape_timeout", timeout),
	KEY("metrics_path", OPS_CONF_K_STRING, metrics_path, "/metrics"),
	KEY("scheme", OPS_CONF_K_STRING, scheme, "http"),
	{.name = "replicas",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct written_job, replicas),
		.fallback = "1",
		.min = 1,
		.max = COL_REPLICAS_MAX,
		.doc = "collectors that scrape each target; the detector stores one of them"},
	NODE("params", params),
	KEY("honor_labels", OPS_CONF_K_BOOL, honor_labels, "false"),
	KEY("honor_timestamps", OPS_CONF_K_BOOL, honor_timestamps, "true"),
	KEY("track_timestamps_staleness", OPS_CONF_K_BOOL, track_staleness, "false"),
	NODE("static_configs", statics),
	NODE("relabel_configs", relabel),
	NODE("metric_relabel_configs", metric_relabel),
	OPS_HTTP_OPTIONS_ROWS(struct written_job, http),
	NODE("body_size_limit", body),
	NODE("sample_limit", limits[0]),
	NODE("label_limit", limits[1]),
	NODE("label_name_length_limit", limits[2]),
	NODE("label_value_length_limit", limits[3]),
	NODE("target_limit", limits[4]),
	NODE("keep_dropped_targets", limits[5]),
	NODE("extra_scrape_metrics", extra_metrics),
	KEY("enable_compression", OPS_CONF_K_BOOL, compression, "true"),
	NODE("scrape_protocols", protocols),
	KEY("fallback_scrape_protocol", OPS_CONF_K_STRING, fallback, NULL),
	KEY("metric_name_validation_scheme", OPS_CONF_K_STRING, names, NULL),
	KEY("metric_name_escaping_scheme", OPS_CONF_K_STRING, escaping, NULL),
	NODE("file_sd_configs", sds[0]),
	NODE("http_sd_configs", sds[1]),
	NODE("dns_sd_configs", sds[2]),
	NODE("docker_sd_configs", sds[3]),
	NODE("dockerswarm_sd_configs", sds[4]),
	NODE("kubernetes_sd_configs", sds[5]),
	NODE("consul_sd_configs", sds[6]),
	NODE("scrape_native_histograms", native),
	NODE("always_scrape_classic_histograms", classic),
	NODE("scrape_classic_histograms", classic_old),
	NODE("convert_classic_histograms_to_nhcb", convert),
	{.name = "native_histogram_bucket_limit",
		.kind = OPS_CONF_K_INT,
		.offset = offsetof(struct written_job, histogram_buckets),
		.fallback = "0",
		.max = INT32_MAX},
	KEY("native_histogram_min_bucket_factor", OPS_CONF_K_DOUBLE, bucket_factor, "0"),
	NODE("scrape_failure_log_file", notes[6]),
	NODE("ec2_sd_configs", notes[8]),
	NODE("azure_sd_configs", notes[9]),
	NODE("gce_sd_configs", notes[10]),
	NODE("openstack_sd_configs", notes[11]),
	NODE("nomad_sd_configs", notes[12]),
	NODE("hetzner_sd_configs", notes[13]),
	NODE("digitalocean_sd_configs", notes[14]),
	NODE("eureka_sd_configs", notes[15]),
	NODE("marathon_sd_configs", notes[16]),
	NODE("serverset_sd_configs", notes[17]),
	NODE("nerve_sd_configs", notes[18]),
	NODE("triton_sd_configs", notes[19]),
	NODE("scaleway_sd_configs", notes[20]),
	NODE("kuma_sd_configs", notes[21]),
	NODE("linode_sd_configs", notes[22]),
	NODE("uyuni_sd_configs", notes[23]),
	NODE("puppetdb_sd_configs", notes[24]),
	NODE("ovhcloud_sd_configs", notes[25]),
	NODE("vultr_sd_configs", notes[26]),
	NODE("ionos_sd_configs", notes[27]),
	NODE("lightsail_sd_configs", notes[28]),
	NODE("aws_sd_configs", notes[29]),
	NODE("oci_sd_configs", notes[30]),
	NODE("stackit_sd_configs", notes[31]),
	NODE("outscale_sd_configs", notes[32]),
	OPS_CONF_END,
};

static void note_unused(
	const struct ops_conf_node *node, const struct written_job *w, struct ops_conf_warnings *to)
{
	for (const struct ops_conf_key *k = job_keys; k->name != NULL; k++) {
		if (k->kind != OPS_CONF_K_NODE || k->offset < offsetof(struct written_job, notes)) {
			continue;
		}
		size_t i = (k->offset - offsetof(struct written_job, notes)) / sizeof(w->notes[0]);
		if (w->notes[i] != NULL) {
			ops_conf_warn(to, ops_conf_get(node, k->name),
				"%s is accepted but has no %s", k->name,
				ops_str_ends(k->name, "_sd_configs") ? "targets yet" : "effect");
		}
	}
}

/* ---- lists of the file ---- */

static int load_params(struct ops_arena *a, const struct ops_conf_node *node, struct col_job *job,
	struct ops_error *err)
{
	if (ops_conf_is_null(node)) {
		return 0;
	}
	if (node->type != OPS_CONF_MAPPING) {
		return ops_conf_error(node, err, "params must be a mapping of lists");
	}
	struct col_param *params = ops_arena_array(a, struct col_param, node->n);
	for (size_t i = 0; i < node->n; i++) {
		struct ops_conf_strings values;
		int r = ops_conf_string_list(a, node->items[i], node->keys[i]->text, &values, err);
		if (r != 0) {
			return r;
		}
		params[i] = (struct col_param){node->keys[i]->text, values.items, values.n};
	}
	job->params = params;
	job->nparams = node->n;
	return 0;
}

/* ---- protocols ---- */

static const struct {
	const char *name, *accept;
	bool escapes; /* says how names that are not classic shall come */
	int format;
} protocols[] = {
	{"OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0", true,
		OPS_EXPOSITION_OPENMETRICS},
	{"OpenMetricsText0.0.1", "application/openmetrics-text;version=0.0.1", false,
		OPS_EXPOSITION_OPENMETRICS},
	{"PrometheusText1.0.0", "text/plain;version=1.0.0", true, OPS_EXPOSITION_TEXT},
	{"PrometheusText0.0.4", "text/plain;version=0.0.4", false, OPS_EXPOSITION_TEXT},
	{"PrometheusProto",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		"encoding=delimited",
		true, OPS_EXPOSITION_PROTO},
};

static int find_protocol(
	const struct ops_conf_node *at, const char *name, size_t *ret, struct ops_error *err)
{
	for (size_t i = 0; i < OPS_LENGTH(protocols); i++) {
		if (strcmp(protocols[i].name, name) == 0) {
			*ret = i;
			return 0;
		}
	}
	int r = ops_conf_error(at, err, "unknown scrape protocol \"%s\"", name);
	ops_error_hint(err, "OpenMetricsText1.0.0, OpenMetricsText0.0.1, PrometheusText1.0.0, "
			    "PrometheusText0.0.4 or PrometheusProto");
	return r;
}

static int load_order(struct ops_arena *a, const struct ops_conf_node *node, size_t order[],
	size_t *ret_n, struct ops_error *err)
{
	struct ops_conf_strings names;
	int r = ops_conf_string_list(a, node, "scrape_protocols", &names, err);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		size_t which = 0;
		r = find_protocol(node->items[i], names.items[i], &which, err);
		for (size_t k = 0; r == 0 && k < i; k++) {
			if (order[k] == which) {
				r = ops_conf_error(node->items[i], err, "%s is there twice",
					protocols[which].name);
			}
		}
		if (r == 0) { /* none is twice, so there is room */
			order[i] = which;
			*ret_n = i + 1;
		}
	}
	return r;
}

static int load_accept(struct ops_arena *a, const struct ops_conf_node *node, struct col_job *job,
	struct ops_error *err)
{
	/* native histograms come in protobuf only */
	size_t order[OPS_LENGTH(protocols)] = {0, 1, 2, 3, 4}, n = 4;
	if (job->native_histograms) {
		memmove(order + 1, order, 4 * sizeof(*order));
		order[0] = n++;
	}
	int r = load_order(a, node, order, &n, err);
	if (r != 0) {
		return r;
	}
	struct ops_strbuf text = OPS_STRBUF_INIT;
	for (size_t i = 0; i < n; i++) {
		ops_strbuf_adds(&text, protocols[order[i]].accept);
		if (protocols[order[i]].escapes) {
			ops_strbuf_printf(&text, ";escaping=%s", job->escaping);
		}
		ops_strbuf_printf(&text, ";q=0.%zu,", 9 - i);
	}
	ops_strbuf_adds(&text, "*/*;q=0.1");
	job->accept = ops_arena_strdup(a, ops_strbuf_text(&text));
	ops_strbuf_done(&text);
	return 0;
}

/* ---- scalars that depend on global ---- */

static int load_times(const struct ops_conf_node *node, const struct written_job *w,
	const struct col_global *g, struct col_job *job, struct ops_error *err)
{
	int64_t timeout = 0;
	job->interval_ms = g->interval_ms;
	int r = 0;
	if (!ops_conf_is_null(w->interval)) {
		r = ops_conf_duration(w->interval, "scrape_interval", &job->interval_ms, err);
	}
	if (r == 0 && !ops_conf_is_null(w->timeout)) {
		r = ops_conf_duration(w->timeout, "scrape_timeout", &timeout, err);
	}
	if (r != 0) {
		return r;
	}
	if (job->interval_ms <= 0) {
		return ops_conf_error(w->interval, err, "scrape_interval must be above 0");
	}
	if (timeout > job->interval_ms) {
		return ops_conf_error(w->timeout != NULL ? w->timeout : node, err,
			"scrape_timeout is longer than scrape_interval");
	}
	job->timeout_ms = timeout != 0 ? timeout : OPS_MIN(g->timeout_ms, job->interval_ms);
	return 0;
}

/* As in Prometheus, 0 is as good as nothing: global's holds then. */
static int load_limits(const struct written_job *w, const struct col_global *g, struct col_job *job,
	struct ops_error *err)
{
	static const char *const names[] = {"sample_limit", "label_limit",
		"label_name_length_limit", "label_value_length_limit", "target_limit",
		"keep_dropped_targets"};
	struct col_limits *l = &job->limits;
	int64_t *const to[] = {&l->samples, &l->labels, &l->label_name_length,
		&l->label_value_length, &l->targets, &l->dropped};
	*l = g->limits;
	for (size_t i = 0; i < OPS_LENGTH(names); i++) {
		if (ops_conf_is_null(w->limits[i])) {
			continue;
		}
		int64_t own = 0;
		int r = ops_conf_i64(w->limits[i], names[i], &own, err);
		if (r == 0 && own < 0) {
			r = ops_conf_error(w->limits[i], err, "%s is below 0", names[i]);
		}
		if (r != 0) {
			return r;
		}
		*to[i] = own != 0 ? own : *to[i];
	}
	uint64_t bytes = 0;
	int r = ops_conf_is_null(w->body) ? 0
					  : ops_conf_size(w->body, "body_size_limit", &bytes, err);
	l->body_bytes = bytes != 0 ? bytes : l->body_bytes;
	return r;
}

static int load_switches(const struct written_job *w, const struct col_global *g,
	struct col_job *job, struct ops_error *err)
{
	const struct {
		const struct ops_conf_node *node;
		const char *name;
		bool *to, inherited;
	} switches[] = {
		{w->extra_metrics, "extra_scrape_metrics", &job->extra_metrics, g->extra_metrics},
		{w->native, "scrape_native_histograms", &job->native_histograms,
			g->native_histograms},
		{w->classic != NULL ? w->classic : w->classic_old,
			"always_scrape_classic_histograms", &job->classic_histograms,
			g->classic_histograms},
		{w->convert, "convert_classic_histograms_to_nhcb", &job->convert_classic,
			g->convert_classic},
	};
	for (size_t i = 0; i < OPS_LENGTH(switches); i++) {
		*switches[i].to = switches[i].inherited;
		int r = ops_conf_is_null(switches[i].node)
				? 0
				: ops_conf_bool(
					  switches[i].node, switches[i].name, switches[i].to, err);
		if (r != 0) {
			return r;
		}
	}
	return 0;
}

/* The finest schema whose buckets grow at least by the factor. */
static int32_t schema_of(double factor)
{
	double schema = factor > 1 ? floor(-log2(log2(factor))) : OPS_HISTOGRAM_SCHEMA_MAX;
	return (int32_t)fmax(OPS_HISTOGRAM_SCHEMA_MIN, fmin(OPS_HISTOGRAM_SCHEMA_MAX, schema));
}

static int load_escaping(const struct ops_conf_node *node, const struct written_job *w,
	const struct col_global *g, struct col_job *job, struct ops_error *err)
{
	static const char *const known[] = {"allow-utf-8", "underscores", "dots", "values"};
	const char *escaping = w->escaping != NULL ? w->escaping : g->escaping;
	if (escaping == NULL) {
		job->escaping = known[job->legacy_names ? 1 : 0];
		return 0;
	}
	for (size_t i = 0; i < OPS_LENGTH(known); i++) {
		if (strcmp(known[i], escaping) == 0 && (i > 0 || !job->legacy_names)) {
			job->escaping = escaping;
			return 0;
		}
	}
	int r = ops_conf_error(ops_conf_get(node, "metric_name_escaping_scheme"), err,
		"metric_name_escaping_scheme \"%s\" is not one for %s names", escaping,
		job->legacy_names ? "legacy" : "utf8");
	ops_error_hint(
		err, "underscores, dots, values%s", job->legacy_names ? "" : " or allow-utf-8");
	return r;
}

static int load_names(const struct ops_conf_node *node, const struct written_job *w,
	const struct col_global *g, struct col_job *job, struct ops_error *err)
{
	const char *names = w->names != NULL ? w->names : g->names;
	job->legacy_names = ops_str_eq(names, "legacy");
	if (!job->legacy_names && !ops_str_eq(names, "utf8")) {
		return ops_conf_error(node, err,
			"metric_name_validation_scheme \"%s\" is not utf8 or legacy", names);
	}
	if (!ops_str_eq(w->scheme, "http") && !ops_str_eq(w->scheme, "https")) {
		return ops_conf_error(ops_conf_get(node, "scheme"), err,
			"scheme \"%s\" is not http or https", w->scheme);
	}
	if (w->name[0] == '\0') {
		return ops_conf_error(ops_conf_get(node, "job_name"), err, "job_name is empty");
	}
	int r = load_escaping(node, w, g, job, err);
	if (r != 0) {
		return r;
	}
	job->fallback = -1;
	if (w->fallback != NULL) {
		size_t i = 0;
		const struct ops_conf_node *at = ops_conf_get(node, "fallback_scrape_protocol");
		r = find_protocol(at, w->fallback, &i, err);
		job->fallback = r == 0 ? protocols[i].format : -1;
	}
	return r;
}

static int load_rules(struct ops_arena *a, const struct written_job *w, struct col_job *job,
	struct ops_error *err)
{
	job->relabel_written = ops_conf_is_null(w->relabel) ? NULL : w->relabel;
	int r = ops_relabel_load(a, w->relabel, job->legacy_names, &job->relabel, err);
	return r != 0 ? r
		      : ops_relabel_load(
				a, w->metric_relabel, job->legacy_names, &job->metric_relabel, err);
}

int col_job_load(struct ops_arena *a, const struct ops_conf_node *node,
	const struct col_global *global, struct ops_conf_warnings *w, struct col_job *ret,
	struct ops_error *err)
{
	struct written_job written = {.name = NULL};
	int r = ops_conf_decode(a, node, job_keys, &written, w, err);
	if (r != 0) {
		return r;
	}
	note_unused(node, &written, w);
	const struct ops_conf_node *list =
		written.protocols != NULL ? written.protocols : global->protocols;
	*ret = (struct col_job){.name = written.name,
		.scheme = written.scheme,
		.metrics_path = written.metrics_path,
		.honor_labels = written.honor_labels,
		.honor_timestamps = written.honor_timestamps,
		.track_timestamps_staleness = written.track_staleness,
		.compression = written.compression,
		.histogram_buckets = written.histogram_buckets,
		.finest_schema = schema_of(written.bucket_factor),
		.replicas = (size_t)written.replicas,
		.http = written.http};
	if ((r = load_names(node, &written, global, ret, err)) != 0 ||
		(r = load_times(node, &written, global, ret, err)) != 0 ||
		(r = load_limits(&written, global, ret, err)) != 0 ||
		(r = load_switches(&written, global, ret, err)) != 0 ||
		(r = ops_http_options_finish(a, node, &ret->http, w, err)) != 0 ||
		(r = load_params(a, written.params, ret, err)) != 0 ||
		(r = load_accept(a, list, ret, err)) != 0 ||
		(r = col_job_load_sds(a, written.sds, w, ret, err)) != 0 ||
		(r = col_job_load_statics(a, written.statics, ret, err)) != 0 ||
		(r = load_rules(a, &written, ret, err)) != 0) {
		col_job_done(ret);
	}
	return r;
}

void col_job_done(struct col_job *job)
{
	for (size_t i = 0; i < job->ngroups; i++) {
		ops_labels_unref(job->groups[i].labels);
	}
	job->ngroups = 0;
	ops_relabel_done(&job->relabel);
	ops_relabel_done(&job->metric_relabel);
}
