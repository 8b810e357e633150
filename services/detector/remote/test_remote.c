/* SPDX-License-Identifier: Apache-2.0 */
/* Records and layouts come back; a queue that overflows counts what fell out, across a restart. */
#include "services/detector/remote/remote.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/test_tempdir.h"
#include "services/detector/remote/queue_internal.h"
#include "services/detector/store/group.h"

static const int64_t T0 = 1795208400000LL;

struct fixture { /* a layout with n series, in a store */
	struct det_store *store;
	struct ops_labels **labels;
	struct ops_layout layout;
	double *values;
	size_t n;
};

static void fixture_open(struct fixture *f, size_t n)
{
	*f = (struct fixture){.n = n};
	f->store = det_store_new(&(struct det_store_options){.retention_ms = 3600000});
	f->labels = ops_xcalloc(n, sizeof(f->labels[0]));
	f->values = ops_xcalloc(n, sizeof(double));
	uint32_t *family = ops_xcalloc(n, sizeof(uint32_t));
	for (size_t i = 0; i < n; i++) {
		char text[16];
		snprintf(text, sizeof(text), "%zu", i);
		f->labels[i] = ops_labels_of("__name__", "m", "i", text, NULL);
		family[i] = UINT32_MAX;
	}
	f->layout = (struct ops_layout){.id = 99,
		.job = "j",
		.instance = "x",
		.series = f->labels,
		.family = family,
		.n = n};
}

static void fixture_close(struct fixture *f)
{
	det_store_free(f->store);
	for (size_t i = 0; i < f->n; i++)
		ops_labels_unref(f->labels[i]);
	free(f->labels);
	free(f->layout.family);
	free(f->values);
}

static void append_row(struct fixture *f, int64_t row)
{
	const struct ops_batch batch = {
		.layout_id = 99, .time_ms = T0 + row * 10, .values = f->values, .n = f->n};

	for (size_t i = 0; i < f->n; i++)
		f->values[i] = (double)row;
	assert_int_equal(det_store_append_batch(f->store, &batch), 0);
}

/* ---- records -------------------------------------------------------------------------------- */

static void describe(void *arg, const struct det_journal_entry *e)
{
	struct ops_strbuf *b = arg;

	if (e->layout_id != 0) {
		ops_strbuf_printf(b, "row %llu@%lld x%zu;", (unsigned long long)e->layout_id,
			(long long)e->time_ms, e->blob_len / 8);
		return;
	}
	struct ops_labels *labels = det_journal_labels(e->labels, e->labels_len);
	ops_labels_print(labels, b);
	ops_strbuf_printf(b, " %g@%lld%s", e->value, (long long)e->time_ms,
		e->blob != NULL ? " histogram" : "");
	ops_labels_unref(labels);
	labels = det_journal_labels(e->exemplar_labels, e->exemplar_labels_len);
	ops_strbuf_adds(b, e->exemplar ? " # " : "");
	if (labels != NULL)
		ops_labels_print(labels, b);
	ops_strbuf_addc(b, ';');
	ops_labels_unref(labels);
}

static void records_come_back(void **state)
{
	struct det_journal j = {0};
	struct ops_labels *labels = ops_labels_of("__name__", "m", "a", "", "b", "x", NULL);
	const double values[] = {1, det_absent(), 3};
	const struct ops_histogram h = {.count = 1, .zero_count = 1};
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct det_journal_header header;
	size_t len = 0;

	(void)state;
	det_journal_row(&j, &(struct det_store_row){7, values, 3, 1000, NULL, NULL}, 2);
	det_journal_sample(&j, labels, -5, 2.5);
	det_journal_histogram(&j, labels, 6, &h);
	const char *record = det_journal_record(&j, &(struct det_journal_counts){40, 7}, &len);
	assert_int_equal(det_journal_header(record, len, &header), 0);
	assert_int_equal(header.before.samples, 40);
	assert_int_equal(header.before.exemplars, 7);
	assert_int_equal(header.nsamples, 4);
	assert_int_equal(header.nexemplars, 0);
	assert_int_equal(det_journal_read(record, len, describe, &text), 0);
	assert_string_equal(ops_strbuf_text(&text),
		"row 7@1000 x3;m{b=\"x\"} 2.5@-5;m{b=\"x\"} 0@6 histogram;");
	for (size_t cut = 0; cut < len; cut++) {
		ops_strbuf_reset(&text);
		int rc = det_journal_read(record, cut, describe, &text);
		assert_true(rc == -EBADMSG || rc == 0);
	}
	ops_strbuf_done(&text);
	ops_labels_unref(labels);
	det_journal_done(&j);
}

static void exemplars_come_back(void **state)
{
	struct det_journal j = {0};
	struct ops_labels *series = ops_labels_of("__name__", "m", "b", "x", NULL);
	struct ops_labels *trace = ops_labels_of("trace_id", "t1", NULL);
	struct ops_labels *none = ops_labels_from_sorted(NULL, 0);
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct det_journal_header header;
	size_t len = 0;

	(void)state;
	det_journal_exemplar(&j, &(struct ops_exemplar){series, trace, 0.5, 1000});
	det_journal_exemplar(&j, &(struct ops_exemplar){series, none, 2, -3});
	const char *record = det_journal_record(&j, &(struct det_journal_counts){40, 7}, &len);
	assert_int_equal(det_journal_header(record, len, &header), 0);
	assert_int_equal(header.before.samples, 40);
	assert_int_equal(header.nsamples, 0);
	assert_int_equal(header.before.exemplars, 7);
	assert_int_equal(header.nexemplars, 2);
	assert_int_equal(det_journal_read(record, len, describe, &text), 0);
	assert_string_equal(ops_strbuf_text(&text),
		"m{b=\"x\"} 0.5@1000 # {trace_id=\"t1\"};m{b=\"x\"} 2@-3 # ;");
	for (size_t cut = 0; cut < len; cut++) {
		ops_strbuf_reset(&text);
		int rc = det_journal_read(record, cut, describe, &text);
		assert_true(rc == -EBADMSG || rc == 0);
	}
	ops_strbuf_done(&text);
	ops_labels_unref(series);
	ops_labels_unref(trace);
	ops_labels_unref(none);
	det_journal_done(&j);
}

/* As it was written before there were exemplars: a shorter head. */
static void old_records_are_read(void **state)
{
	static const uint8_t record[] = {40, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,
		/* sample */ 0x12, 0x1a, /* labels */ 0x0a, 13, 0x0a, 8, '_', '_', 'n', 'a', 'm',
		'e', '_', '_', 0x12, 1, 'm', /* time */ 0x10, 5,
		/* value */ 0x21, 0, 0, 0, 0, 0, 0, 0x04, 0x40};
	struct ops_strbuf text = OPS_STRBUF_INIT;
	struct det_journal_header header;

	(void)state;
	assert_int_equal(det_journal_header(record, sizeof(record), &header), 0);
	assert_int_equal(header.before.samples, 40);
	assert_int_equal(header.nsamples, 1);
	assert_int_equal(header.before.exemplars + header.nexemplars, 0);
	assert_int_equal(det_journal_read(record, sizeof(record), describe, &text), 0);
	assert_string_equal(ops_strbuf_text(&text), "m 2.5@5;");
	ops_strbuf_done(&text);
}

/* ---- layouts -------------------------------------------------------------------------------- */

static void on_row(void *arg, const struct det_store_row *row)
{
	assert_non_null(det_layouts_of_row(arg, row));
}

static void layouts_survive(void **state)
{
	char *dir = tempdir_make();
	struct det_layouts *ls = NULL;
	struct ops_error err;
	struct fixture f;

	(void)state;
	fixture_open(&f, 3);
	assert_int_equal(det_layouts_open(dir, &ls, &err), 0);
	det_store_set_tap(f.store, &(struct det_store_tap){.on_row = on_row, .arg = ls});
	assert_int_equal(det_store_layout(f.store, &f.layout), 0);
	append_row(&f, 1);
	append_row(&f, 2);
	det_layouts_queued(ls);
	assert_true(det_layouts_sync(ls));
	det_layouts_close(ls);

	assert_int_equal(det_layouts_open(dir, &ls, &err), 0);
	const struct det_layout *l = det_layouts_get(ls, 99);
	assert_non_null(l);
	assert_int_equal(l->n, 3);
	assert_true(ops_labels_equal(l->series[2], f.labels[2]));
	assert_int_equal(l->queued_until_ms, T0 + 20);
	assert_null(det_layouts_get(ls, 98));
	det_layouts_collect(ls, ops_mono_ms() + 1);
	assert_null(det_layouts_get(ls, 99));
	det_layouts_close(ls);
	assert_int_equal(det_layouts_open(dir, &ls, &err), 0);
	assert_null(det_layouts_get(ls, 99)); /* its file is gone too */
	det_layouts_close(ls);
	fixture_close(&f);
	tempdir_remove(dir);
}

/* ---- a queue -------------------------------------------------------------------------------- */

enum {
	PER_RECORD = 20000,
	EXEMPLARS = 10,
	RECORDS = 30
};

static const char config_text[] = "remote_write:\n"
				  "- url: http://127.0.0.1:1/write\n" /* nobody listens there */
				  "  name: far\n"
				  "  send_exemplars: true\n"
				  "  queue_config: {capacity: 1000, max_backoff: 50ms}\n";

static void append_record(struct det_queue *q, struct ops_labels *labels)
{
	struct det_journal j = {0};

	for (int i = 0; i < PER_RECORD; i++)
		det_journal_sample(&j, labels, T0 + i, i);
	for (int i = 0; i < EXEMPLARS; i++)
		det_journal_exemplar(&j, &(struct ops_exemplar){labels, labels, i, T0 + i});
	det_queue_append(q, &j);
	det_journal_done(&j);
}

static void stop(void *arg)
{
	ops_loop_stop(arg);
}

struct wait { /* until something fell out, or it takes too long */
	struct ops_loop *loop;
	struct ops_timer *timer;
	int turns;
	double dropped;
};

static double dropped_samples(void)
{
	return ops_metric_value(
		&det_remote_dropped, "far", "http://127.0.0.1:1/write", "queue_full");
}

static double dropped_exemplars(void)
{
	return ops_metric_value(
		&det_remote_exemplars_dropped, "far", "http://127.0.0.1:1/write", "queue_full");
}

static void look(void *arg)
{
	struct wait *w = arg;

	w->dropped = dropped_samples();
	if (w->dropped > 0 || w->turns++ > 1000)
		ops_loop_stop(w->loop);
	else
		ops_timer_start(w->timer, 10);
}

static uint64_t first_record(const char *dir)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "far");
	struct ops_spool_report report;
	struct ops_spool *spool = NULL;
	struct ops_error err;

	assert_int_equal(
		ops_spool_open(&(struct ops_spool_config){.dir = path}, &spool, &report, &err), 0);
	uint64_t first = ops_spool_first(spool);
	assert_int_equal(ops_spool_next(spool), RECORDS + 1);
	ops_spool_close(spool);
	return first;
}

/* As it was before it had the number of exemplars. */
static void make_position_old(const char *dir)
{
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "far/position");
	struct ops_strbuf b = OPS_STRBUF_INIT;

	assert_int_equal(ops_file_read(path, 64, &b), 0);
	assert_int_equal(b.len, 40);
	ops_put_u32(b.data + 24, ops_crc32c(0, b.data, 24));
	ops_put_u32(b.data + 28, 0);
	assert_int_equal(ops_file_write_atomic(path, b.data, 32, 0600), 0);
	ops_strbuf_done(&b);
}

static void overflow_is_counted(void **state)
{
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *file = ops_path_join(dir, "prometheus.yml");
	struct ops_labels *labels = ops_labels_of("__name__", "m", "job", "some job", NULL);
	struct det_remote_config *config = NULL;
	struct det_queue *q = NULL;
	struct ops_error err;
	struct ops_loop *loop = ops_loop_new();
	struct det_queue_owner owner = {.loop = loop,
		.client = ops_http_client_new(loop, &(struct ops_http_client_config){0}),
		.store = det_store_new(&(struct det_store_options){.retention_ms = 3600000}),
		.dir = dir,
		.max_bytes = 9 << 20};

	(void)state;
	assert_int_equal(
		ops_file_write_atomic(file, config_text, sizeof(config_text) - 1, 0600), 0);
	assert_int_equal(det_remote_config_load(file, NULL, NULL, &config, &err), 0);
	assert_int_equal(det_layouts_open(dir, &owner.layouts, &err), 0);
	assert_int_equal(det_queue_open(&owner, config, &config->targets[0], &q, &err), 0);
	for (int i = 0; i < RECORDS; i++)
		append_record(q, labels);
	struct wait w = {.loop = loop};
	w.timer = ops_timer_new(loop, look, &w);
	ops_timer_start(w.timer, 0);
	ops_loop_run(loop); /* the oldest record that is left is read */
	det_queue_close(q);
	uint64_t first = first_record(dir);
	assert_true(first > 2 && first < RECORDS);
	assert_true(w.dropped == (double)((first - 1) * PER_RECORD));
	assert_true(dropped_exemplars() == (double)((first - 1) * EXEMPLARS));

	assert_int_equal(det_queue_open(&owner, config, &config->targets[0], &q, &err), 0);
	assert_int_equal(det_queue_newest(q), RECORDS);
	assert_int_equal(det_queue_delivered(q), first - 1); /* nothing below is to come */
	struct ops_timer *end = ops_timer_new(loop, stop, loop);
	ops_timer_start(end, 50);
	ops_loop_run(loop);
	assert_true(dropped_samples() == w.dropped); /* and nothing is counted twice */
	assert_true(dropped_exemplars() == (double)((first - 1) * EXEMPLARS));

	det_queue_close(q);
	make_position_old(dir);
	assert_int_equal(det_queue_open(&owner, config, &config->targets[0], &q, &err), 0);
	ops_timer_start(end, 50);
	ops_loop_run(loop);
	assert_true(dropped_samples() == w.dropped);

	det_queue_close(q);
	ops_timer_free(w.timer);
	ops_timer_free(end);
	ops_http_client_free(owner.client);
	ops_loop_free(loop);
	det_store_free(owner.store);
	det_layouts_close(owner.layouts);
	det_remote_config_unref(config);
	ops_labels_unref(labels);
	tempdir_remove(dir);
}

/* ---- configuration -------------------------------------------------------------------------- */

static void what_has_no_effect_is_said(void **state)
{
	static const char text[] = "remote_write:\n"
				   "- url: https://u:secret@h/write?token=x\n"
				   "  oauth2: {client_id: a, token_url: http://t}\n"
				   "  sigv4: {region: x}\n"
				   "  send_exemplars: true\n"
				   "  round_robin_dns: true\n"
				   "- {url: http://h/2, name: ../up}\n";
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *file = ops_path_join(dir, "p.yml");
	struct ops_arena arena;
	struct ops_conf_warnings warnings = {.arena = &arena};
	struct det_remote_config *c = NULL;
	struct ops_error err;

	(void)state;
	ops_arena_init(&arena);
	assert_int_equal(ops_file_write_atomic(file, text, sizeof(text) - 1, 0600), 0);
	assert_int_equal(det_remote_config_load(file, NULL, &warnings, &c, &err), 0);
	assert_int_equal(c->n, 2);
	assert_string_equal(c->targets[0].shown_url, "https://h/write");
	assert_int_equal(strlen(c->targets[0].name), 6);
	assert_int_equal(c->targets[1].folder[0], '+'); /* no path out of our folder */
	assert_int_equal(c->targets[0].queue.max_samples_per_send, 2000);
	assert_int_equal(warnings.n, 2);
	assert_true(c->targets[0].send_exemplars && !c->targets[1].send_exemplars);
	det_remote_config_unref(c);
	ops_arena_done(&arena);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back),
		cmocka_unit_test(exemplars_come_back),
		cmocka_unit_test(old_records_are_read),
		cmocka_unit_test(layouts_survive),
		cmocka_unit_test(overflow_is_counted),
		cmocka_unit_test(what_has_no_effect_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
