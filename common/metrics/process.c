/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard process_* metrics under the names that every Prometheus client uses, read from
 * /proc/self at exposition. What cannot be read keeps its last value: a scrape must not fail
 * because a container hides /proc.
 */
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/log/log.h"
#include "common/metrics/registry.h"
#include "ops_version.h"

static struct ops_metric cpu = OPS_COUNTER(
	"process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
static struct ops_metric resident =
	OPS_GAUGE("process_resident_memory_bytes", "Resident memory size in bytes.");
static struct ops_metric virtual_memory =
	OPS_GAUGE("process_virtual_memory_bytes", "Virtual memory size in bytes.");
static struct ops_metric open_fds =
	OPS_GAUGE("process_open_fds", "Number of open file descriptors.");
static struct ops_metric max_fds =
	OPS_GAUGE("process_max_fds", "Maximum number of open file descriptors.");
static struct ops_metric start_time = OPS_GAUGE(
	"process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
static struct ops_metric build_info = OPS_GAUGE(
	"ops_build_info", "Always 1; the labels say what is running.", "version", "revision");
static struct ops_metric log_lines =
	OPS_COUNTER("ops_log_lines_total", "Log lines written, by level.", "level");
static struct ops_metric log_suppressed =
	OPS_COUNTER("ops_log_suppressed_total", "Log lines held back by the per-site limit.");

/* Fields of /proc/self/stat by their number in proc(5). */
enum {
	STAT_STATE = 3,
	STAT_STARTTIME = 22,
	STAT_VSIZE = 23,
	STAT_RSS = 24
};

static bool stat_field(const struct ops_strbuf *stat, int number, uint64_t *ret)
{
	/* The command may hold spaces and parentheses: count from the last one. */
	const char *p = strrchr(ops_strbuf_text(stat), ')');

	if (p == NULL || p[1] != ' ')
		return false;
	p += 2;
	for (int i = STAT_STATE; i < number; i++) {
		p = strchr(p, ' ');
		if (p == NULL)
			return false;
		p++;
	}
	return ops_parse_u64(p, strcspn(p, " \n"), ret) == 0;
}

static void collect_start_time(uint64_t ticks_after_boot)
{
	struct timespec since_boot;

	/* Once: the wall clock may be set later, the start does not move. */
	if (ops_metric_value(&start_time) != 0 || clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0)
		return;
	double boot = (double)ops_now_ms() / 1000 - (double)since_boot.tv_sec -
		      (double)since_boot.tv_nsec / 1e9;
	double start = boot + (double)ticks_after_boot / (double)sysconf(_SC_CLK_TCK);
	ops_metric_set(&start_time, (double)(int64_t)(start * 100) / 100);
}

static void collect_stat(void)
{
	struct ops_strbuf stat = OPS_STRBUF_INIT;
	uint64_t v = 0;

	if (ops_file_read("/proc/self/stat", 4096, &stat) == 0) {
		if (stat_field(&stat, STAT_VSIZE, &v))
			ops_metric_set(&virtual_memory, (double)v);
		if (stat_field(&stat, STAT_RSS, &v))
			ops_metric_set(&resident, (double)v * (double)sysconf(_SC_PAGESIZE));
		if (stat_field(&stat, STAT_STARTTIME, &v))
			collect_start_time(v);
	}
	ops_strbuf_done(&stat);
}

static void collect_fds(void)
{
	struct rlimit limit;
	DIR *dir = opendir("/proc/self/fd");

	if (dir != NULL) {
		double n = -3; /* ".", ".." and the directory itself */
		while (readdir(dir) != NULL)
			n++;
		closedir(dir);
		ops_metric_set(&open_fds, n);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ops_metric_set(&max_fds, (double)limit.rlim_cur);
}

static double seconds(const struct timeval *tv)
{
	return (double)tv->tv_sec + (double)tv->tv_usec / 1e6;
}

void ops_metrics_collect_process(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ops_metric_set(&cpu, seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
	collect_stat();
	collect_fds();
	ops_metric_set(&build_info, 1, OPS_VERSION, OPS_REVISION);
	ops_metric_set(&log_lines, (double)ops_log_count(OPS_LOG_DEBUG), "debug");
	ops_metric_set(&log_lines, (double)ops_log_count(OPS_LOG_INFO), "info");
	ops_metric_set(&log_lines, (double)ops_log_count(OPS_LOG_WARN), "warn");
	ops_metric_set(&log_lines, (double)ops_log_count(OPS_LOG_ERROR), "error");
	ops_metric_set(&log_suppressed, (double)ops_log_suppressed());
}
