/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshot = one JSON text a line, first {"upto": N}: the spool's records up to N are contained in
 * it. It is replaced atomically before the spool is acknowledged up to N, so a crash between the
 * two repeats records that are already in the snapshot, never loses one. Compaction runs on the
 * loop: the stores are thousands of records, not millions.
 */
#include "services/alertmanager/journal.h"

#include <errno.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/metrics/metrics.h"
#include "common/spool/spool.h"

enum {
	SNAPSHOT_MAX = 512 << 20,
	RECORD_MAX = 1 << 20
};

static struct ops_metric records_bad = OPS_COUNTER("ops_alertmanager_journal_bad_records_total",
	"Records of the state directory that could not be read back.");
static struct ops_metric records_lost = OPS_COUNTER("ops_alertmanager_journal_lost_records_total",
	"Records of the state directory lost to a damaged disk or a torn write.");

struct alm_journal {
	struct alm_journal_config cfg;
	char *snapshot; /* path */
	struct ops_spool *spool;
	uint64_t upto;
};

static void apply_text(struct alm_journal *j, const char *text, size_t len)
{
	OPS_JSON_AUTO *record = NULL;
	struct ops_error err;

	if (ops_json_parse(text, len, RECORD_MAX, &record, &err) != 0) {
		ops_metric_add(&records_bad, 1);
		return;
	}
	j->cfg.apply(j->cfg.arg, record);
}

static int load_snapshot(struct alm_journal *j)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	OPS_JSON_AUTO *head = NULL;
	struct ops_error err;
	int64_t upto = 0;

	int rc = ops_file_read(j->snapshot, SNAPSHOT_MAX, &text);
	if (rc != 0)
		return rc == -ENOENT ? 0 : rc;
	const char *line = ops_strbuf_text(&text), *end = line + text.len;
	size_t len = strcspn(line, "\n");
	if (ops_json_parse(line, len, RECORD_MAX, &head, &err) != 0 ||
		ops_json_get_i64(head, "upto", &upto, &err) != 0 || upto < 0)
		return -EBADMSG;
	j->upto = (uint64_t)upto;
	for (line += len; line < end; line += len) {
		line += *line == '\n';
		len = strcspn(line, "\n");
		if (len > 0)
			apply_text(j, line, len);
	}
	return 0;
}

static int on_record(uint64_t number, const void *data, size_t len, void *arg)
{
	struct alm_journal *j = arg;
	if (number > j->upto)
		apply_text(j, data, len);
	return 0;
}

int alm_journal_open(
	const struct alm_journal_config *cfg, struct alm_journal **ret, struct ops_error *err)
{
	struct ops_spool_config spool = {
		.dir = cfg->dir, .segment_bytes = 1 << 20, .max_record_bytes = RECORD_MAX};
	struct ops_spool_report report = {0};
	struct alm_journal *j = ops_xcalloc(1, sizeof *j);

	j->cfg = *cfg;
	if (j->cfg.compact_after == 0)
		j->cfg.compact_after = 5000;
	j->snapshot = ops_path_join(cfg->dir, "snapshot.jsonl");
	ops_metric_register(&records_bad);
	ops_metric_register(&records_lost);
	int rc = ops_spool_open(&spool, &j->spool, &report, err);
	if (rc == 0) {
		ops_metric_add(&records_lost, (double)report.lost_records);
		rc = load_snapshot(j);
		if (rc != 0)
			ops_error_set(err, rc, "could not read %s: %s", j->snapshot, strerror(-rc));
	}
	if (rc == 0)
		rc = ops_spool_read(j->spool, 0, SIZE_MAX, on_record, j);
	if (rc != 0) {
		alm_journal_close(j);
		return rc;
	}
	j->cfg.dir = NULL; /* the caller's text may go now */
	*ret = j;
	return 0;
}

void alm_journal_close(struct alm_journal *j)
{
	if (j == NULL)
		return;
	ops_spool_close(j->spool);
	free(j->snapshot);
	free(j);
}

int alm_journal_append(struct alm_journal *j, json_t *record)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	uint64_t number = 0;

	ops_json_dump(record, &text);
	json_decref(record);
	return ops_spool_append(j->spool, ops_strbuf_text(&text), text.len, &number);
}

static void emit_line(void *to, json_t *record)
{
	ops_json_dump(record, to);
	ops_strbuf_addc(to, '\n');
	json_decref(record);
}

static int compact(struct alm_journal *j)
{
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	uint64_t upto = ops_spool_next(j->spool) - 1;

	ops_strbuf_printf(&text, "{\"upto\":%llu}\n", (unsigned long long)upto);
	j->cfg.dump(j->cfg.arg, emit_line, &text);
	int rc = ops_file_write_atomic(j->snapshot, ops_strbuf_text(&text), text.len, 0600);
	if (rc != 0)
		return rc;
	j->upto = upto;
	return ops_spool_ack(j->spool, upto);
}

int alm_journal_sync(struct alm_journal *j)
{
	int rc = ops_spool_sync(j->spool);
	if (rc == 0 && ops_spool_next(j->spool) - 1 - j->upto >= j->cfg.compact_after)
		rc = compact(j);
	return rc;
}
