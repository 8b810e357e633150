/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening reads all that is in no block, which takes up to seconds: it runs on a thread of its own,
 * and /-/ready says how far it is. Nothing else knows the store until then.
 */
#include "services/detector/storage.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

#define LOOK_MS 10
#define WATCH_MS 1000

static struct ops_metric recovery_lost = OPS_GAUGE("ops_detector_recovery_lost",
	"What the last start could not read: records of log and definitions, rows behind them, "
	"segments, blocks.",
	"what");
static struct ops_metric recovery_seconds = OPS_GAUGE(
	"ops_detector_recovery_seconds", "How long the last start took to open the store.");
static struct ops_metric disk_failing =
	OPS_GAUGE("ops_detector_disk_failing", "1 while the store cannot write to its disk.");
static struct ops_metric disk_lost = OPS_GAUGE("ops_detector_wal_lost_bytes",
	"Bytes of the log that were dropped because the disk failed for long.");
static struct ops_metric disk_bytes =
	OPS_GAUGE("ops_detector_disk_bytes", "Size of the store's files.", "part");
static struct ops_metric blocks_gauge =
	OPS_GAUGE("ops_detector_blocks", "Blocks of the store on disk.");
static struct ops_metric block_work = OPS_GAUGE("ops_detector_block_work",
	"Blocks cut and compacted since the start, and failures of either.", "what");
static struct ops_metric bad_segments = OPS_GAUGE("ops_detector_bad_segments",
	"Segments of blocks that were left out because their checksum fails.");

struct det_storage {
	struct det_storage_config cfg;
	struct det_store *store;
	struct ops_timer *timer;
	pthread_t thread;
	bool running, open;
	int done; /* atomic */
	int rc;
	struct ops_error err;
	int told_error; /* of the disk */
	char *dir;
};

/* ---- options ---- */

static uint64_t read_limit(const char *path)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	uint64_t limit = 0;
	if (ops_file_read(path, 4096, &text) != 0) {
		return 0;
	}
	size_t len = strcspn(ops_strbuf_text(&text), "\n");
	return ops_parse_u64(ops_strbuf_text(&text), len, &limit) == 0 ? limit : 0; /* or "max" */
}

static uint64_t cgroup_limit(void)
{
	uint64_t limit = read_limit("/sys/fs/cgroup/memory.max");
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	if (limit == 0 && ops_file_read("/proc/self/cgroup", 65536, &text) == 0 &&
		ops_str_starts(ops_strbuf_text(&text), "0::/")) {
		const char *path = text.data + strlen("0::");
		OPS_CLEANUP(ops_freep)
		char *file = ops_xasprintf(
			"/sys/fs/cgroup%.*s/memory.max", (int)strcspn(path, "\n"), path);
		limit = read_limit(file);
	}
	return limit;
}

static uint64_t memory_limit(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;
	uint64_t cgroup = cgroup_limit();
	return cgroup != 0 ? OPS_MIN(cgroup, machine) : machine;
}

int det_memory_max(const char *text, uint64_t *ret_bytes, struct ops_error *err)
{
	size_t len = strlen(text);
	uint64_t n;
	if (len > 1 && text[len - 1] == '%') {
		if (ops_parse_u64(text, len - 1, &n) != 0 || n == 0 || n > 100) {
			return ops_error_set(
				err, -EINVAL, "memory_max: '%s' is not 1%% to 100%%", text);
		}
		*ret_bytes = memory_limit() / 100 * n;
		return 0;
	}
	if (ops_parse_size(text, len, &n) != 0) {
		ops_error_set(err, -EINVAL, "memory_max: '%s' is neither a size nor a share", text);
		ops_error_hint(err, "4GiB, or 80%%");
		return -EINVAL;
	}
	*ret_bytes = n;
	return 0;
}

static struct det_store_options options_of(const struct det_config *c)
{
	uint64_t memory = 0;
	int rc = det_memory_max(c->memory_max, &memory, NULL);
	(void)rc; /* checked when it was loaded */
	return (struct det_store_options){.retention_ms = c->retention_ms,
		.memory_max = (size_t)memory,
		.wal_fsync_ms = c->wal_fsync_ms,
		.retention_bytes = c->retention_bytes,
		.out_of_order_ms = c->out_of_order_ms,
		.block_ms = c->block_ms,
		.series_per_target = (uint32_t)c->series_per_target,
		.series_per_job = (uint32_t)c->series_per_job};
}

void det_storage_configure(struct det_storage *g, const struct det_config *config)
{
	const struct det_store_options options = options_of(config);
	det_store_configure(g->store, &options);
}

/* ---- what is told ---- */

static void log_recovery(const struct det_store_recovery *r)
{
	uint64_t lost = r->lost_records + r->lost_rows + r->lost_segments + r->lost_blocks;
	log_info("opened the store", F_UINT("series", r->series), F_UINT("segments", r->segments),
		F_UINT("rows", r->rows), F_UINT("blocks", r->blocks), F_INT("took_ms", r->took_ms));
	if (lost != 0) {
		log_error("parts of the store could not be read and are left out",
			F_UINT("records", r->lost_records), F_UINT("bytes", r->lost_bytes),
			F_UINT("rows", r->lost_rows), F_UINT("segments", r->lost_segments),
			F_UINT("blocks", r->lost_blocks));
	}
}

static void publish(void *arg)
{
	struct det_storage *g = arg;
	struct det_store_recovery r;
	struct det_store_disk disk;
	if (!g->open) {
		return;
	}
	det_store_recovery(g->store, &r);
	det_store_disk(g->store, &disk);
	ops_metric_set(&recovery_lost, (double)r.lost_records, "records");
	ops_metric_set(&recovery_lost, (double)r.lost_rows, "rows");
	ops_metric_set(&recovery_lost, (double)r.lost_segments, "segments");
	ops_metric_set(&recovery_lost, (double)r.lost_blocks, "blocks");
	ops_metric_set(&recovery_seconds, (double)r.took_ms / 1000);
	ops_metric_set(&disk_failing, disk.error != 0);
	ops_metric_set(&disk_lost, (double)disk.lost_bytes);
	ops_metric_set(&disk_bytes, (double)disk.wal_bytes, "wal");
	ops_metric_set(&disk_bytes, (double)disk.head_bytes, "head");
	ops_metric_set(&disk_bytes, (double)disk.block_bytes, "blocks");
	ops_metric_set(&blocks_gauge, (double)disk.blocks);
	ops_metric_set(&block_work, (double)disk.cuts, "cut");
	ops_metric_set(&block_work, (double)disk.compactions, "compacted");
	ops_metric_set(&block_work, (double)disk.failures, "failed");
	ops_metric_set(&bad_segments, (double)disk.bad_segments);
}

static enum ops_health health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	struct det_storage *g = arg;
	struct det_store_disk disk;
	*ret_response_ms = 0;
	if (!g->open) {
		snprintf(buf, size, "the store is being opened");
		return OPS_DEGRADED;
	}
	det_store_disk(g->store, &disk);
	if (disk.error == 0) {
		snprintf(buf, size, "%zu blocks", disk.blocks);
		return OPS_HEALTHY;
	}
	snprintf(buf, size, "cannot write: %s; samples are in memory only", strerror(disk.error));
	return OPS_DEGRADED;
}

static void watch_disk(struct det_storage *g)
{
	struct det_store_disk disk;
	det_store_disk(g->store, &disk);
	if (disk.error != 0) {
		det_store_retry(g->store);
	}
	if (disk.error != 0 && g->told_error == 0) {
		log_error("the store cannot write to its disk, samples are kept in memory",
			F_STR("dir", g->dir), F_STR("error", strerror(disk.error)));
	} else if (disk.error == 0 && g->told_error != 0) {
		log_info("the store's disk works again", F_STR("dir", g->dir));
	}
	g->told_error = disk.error;
}

/* ---- opening ---- */

static void *work(void *arg)
{
	struct det_storage *g = arg;
	g->rc = det_store_open(g->store, &g->err);
	__atomic_store_n(&g->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void opened(struct det_storage *g)
{
	struct det_store_recovery r;
	pthread_join(g->thread, NULL);
	g->running = false;
	g->open = g->rc == 0;
	if (g->open) {
		det_store_recovery(g->store, &r);
		log_recovery(&r);
	}
	g->cfg.on_open(g->cfg.arg, g->rc, &g->err);
}

static void on_timer(void *arg)
{
	struct det_storage *g = arg;
	if (g->open) {
		watch_disk(g);
		ops_timer_start_beat(g->timer, WATCH_MS);
	} else if (__atomic_load_n(&g->done, __ATOMIC_ACQUIRE) != 0) {
		ops_timer_start_beat(g->timer, WATCH_MS);
		opened(g);
	} else {
		char why[64];
		snprintf(why, sizeof(why), "opening the store, %d %% read",
			(int)(100 * det_store_open_progress(g->store)));
		ops_daemon_set_ready(g->cfg.daemon, false, why);
		ops_timer_start(g->timer, LOOK_MS);
	}
}

int det_storage_open(
	const struct det_storage_config *cfg, struct det_storage **ret, struct ops_error *err)
{
	struct det_storage *g = ops_xcalloc(1, sizeof(*g));
	g->cfg = *cfg;
	g->dir = ops_path_join(ops_daemon_state_dir(cfg->daemon), "tsdb");
	struct det_store_options options = options_of(cfg->config);
	options.dir = g->dir;
	g->store = det_store_new(&options);
	g->timer = ops_timer_new(ops_daemon_loop(cfg->daemon), on_timer, g);
	int rc = pthread_create(&g->thread, NULL, work, g);
	if (rc != 0) {
		det_storage_close(g);
		return ops_error_set(
			err, -rc, "could not start a thread to open the store: %s", strerror(rc));
	}
	g->running = true;
	ops_timer_start(g->timer, 0);
	ops_daemon_health(cfg->daemon, "store", health, g);
	ops_metrics_on_collect(publish, g);
	*ret = g;
	return 0;
}

void det_storage_close(struct det_storage *g)
{
	if (g == NULL) {
		return;
	}
	if (g->running) {
		pthread_join(g->thread, NULL);
	}
	ops_timer_free(g->timer);
	det_store_free(g->store);
	free(g->dir);
	free(g);
}

struct det_store *det_storage_store(struct det_storage *g)
{
	return g->store;
}
