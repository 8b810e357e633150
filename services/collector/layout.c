/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between two scrapes of a target almost nothing changes but the numbers, so everything that
 * depends on the rest is done once: escapes, label merging, relabelling, limits, metadata. What is
 * kept of the document is its text without the values, each line without what it has in common with
 * the line before, once for all targets that have the same text (shape.c); of the series, the
 * message that announced them. The next body fits when each of
 * its lines starts with the same bytes; what follows is read by the same reader that the full
 * parser uses, so both ways give the same values. Anything unexpected goes the full way, which also
 * has the better error messages.
 *
 * A series that is named twice in one document keeps its first sample; the others are counted.
 * Bounds of the wire (256 labels, 64 KiB a text) are refused here as limits of the target, and help
 * texts are cut: no target can make the encoder's assertions fail.
 */
#include "services/collector/layout.h"

#include <errno.h>
#include <string.h>

#include "common/msg/exemplars.h"
#include "services/collector/classics.h"
#include "services/collector/label_merge.h"
#include "common/exposition/plain_number.h"
#include "common/relabel/relabel.h"
#include "services/collector/config.h"
#include "services/collector/families.h"
#include "services/collector/series_set.h"
#include "services/collector/shape.h"

enum {
	WIRE_LABELS = 256,
	WIRE_TEXT = 64 * 1024
};
#define WIRE_SERIES ((size_t)OPS_LAYOUT_MAX_SERIES - COL_REPORTS)

static void note_exemplar(struct col_values *v, uint32_t column, struct ops_exposition_text text)
{
	if (v->nexemplars < OPS_EXEMPLARS_MAX) {
		OPS_GROW(v->exemplars, v->nexemplars, v->cap_exemplars);
		v->exemplars[v->nexemplars++] = (struct col_exemplar_text){column, text};
	}
}

static inline void put_value(struct col_values *v, uint32_t column,
	const struct ops_sample_tail *tail, bool honor_timestamps)
{
	v->values[column] = tail->value;
	if (tail->has_time && honor_timestamps) {
		col_values_set_time(v, column, tail->time_ms);
	} else if (v->has_times) {
		col_values_set_time(v, column, 0);
	}
	if (tail->exemplar.len > 0) {
		note_exemplar(v, column, tail->exemplar);
	}
}

/* ---- building ---- */

struct builder {
	const struct col_series_rules *rules;
	struct col_layout *l;
	struct col_values *values;
	struct ops_exposition p;
	struct col_merge merge;
	struct col_families families;
	struct col_series_set known;
	struct ops_sample_tail *hidden; /* of hidden columns */
	size_t cap_lines, cap_series, cap_family, cap_hidden;
	const char *line_from; /* end of the line before */
	const char *before;    /* prefix of the line before */
	size_t before_len;
	struct ops_error *err;
};

#define REFUSE(b, code, ...) ops_error_set_at((b)->err, (code), "", (b)->p.line, 1, __VA_ARGS__)

static int check_limits(struct builder *b, const struct ops_labels *ls)
{
	const struct col_limits *lim = b->rules->limits;
	if (ls->n > WIRE_LABELS || (lim->labels > 0 && (int64_t)ls->n > lim->labels)) {
		return REFUSE(b, -E2BIG, "label_limit exceeded: the series has %u labels", ls->n);
	}
	size_t name_max = WIRE_TEXT, value_max = WIRE_TEXT;
	if (lim->label_name_length > 0) {
		name_max = OPS_MIN(name_max, (size_t)lim->label_name_length);
	}
	if (lim->label_value_length > 0) {
		value_max = OPS_MIN(value_max, (size_t)lim->label_value_length);
	}
	for (uint32_t i = 0; i < ls->n; i++) {
		const struct ops_label *x = &ls->items[i];
		if (x->name_len <= name_max && x->value_len <= value_max) {
			continue;
		}
		if (x->name_len > name_max) {
			return REFUSE(b, -E2BIG, "label_name_length_limit exceeded by \"%.40s\"",
				x->name);
		}
		return REFUSE(b, -E2BIG,
			"label_value_length_limit exceeded by the value of \"%.100s\"", x->name);
	}
	return 0;
}

static int check_names(struct builder *b, const struct ops_labels *ls)
{
	const char *name = ops_labels_get(ls, OPS_LABEL_NAME);
	if (name == NULL) {
		return REFUSE(b, -EINVAL, "relabelling removed the metric name");
	}
	if (!b->rules->legacy_names) {
		return 0;
	}
	if (!ops_metric_name_classic(name, strlen(name))) {
		return REFUSE(
			b, -EINVAL, "\"%.100s\" is not a metric name of the legacy scheme", name);
	}
	for (uint32_t i = 0; i < ls->n; i++) {
		if (!ops_label_name_classic(ls->items[i].name, ls->items[i].name_len)) {
			return REFUSE(b, -EINVAL,
				"\"%.100s\" is not a label name of the legacy scheme",
				ls->items[i].name);
		}
	}
	return 0;
}

/* The series of the current line, or NULL in *ret when relabelling drops it. */
static int make_series(struct builder *b, struct ops_labels **ret)
{
	struct ops_labels *ls = col_merge_build(&b->merge, &b->p, b->rules);
	const struct ops_relabel *relabel = b->rules->relabel;
	bool relabelled = relabel != NULL && relabel->n > 0;
	if (relabelled) {
		struct ops_labels_builder lb;
		ops_labels_builder_from(&lb, ls);
		ops_labels_unref(ls);
		bool keep = ops_relabel_apply(relabel, &lb);
		ls = keep ? ops_labels_builder_build(&lb) : NULL;
		ops_labels_builder_done(&lb);
	}
	*ret = NULL;
	int r = ls != NULL ? check_limits(b, ls) : 0;
	if (r == 0 && ls != NULL && (relabelled || b->rules->legacy_names)) {
		r = check_names(b, ls);
	}
	if (r != 0) {
		ops_labels_unref(ls);
		return r;
	}
	*ret = ls;
	return 0;
}

/* Takes ls. The column, or UINT32_MAX when the series is there already. */
static uint32_t add_series(struct builder *b, struct ops_labels *ls, uint32_t family)
{
	struct ops_layout *w = &b->l->wire;
	OPS_GROW(w->series, w->n, b->cap_series);
	w->series[w->n] = ls;
	if (!col_series_set_add(&b->known, w->series, (uint32_t)w->n)) {
		ops_labels_unref(ls);
		b->l->nduplicates++;
		return UINT32_MAX;
	}
	OPS_GROW(w->family, w->n, b->cap_family);
	w->family[w->n] = family;
	return (uint32_t)w->n++;
}

static size_t common_len(const char *a, const char *b, size_t max)
{
	size_t n = 0;
	for (; max - n >= sizeof(uint64_t); n += sizeof(uint64_t)) {
		uint64_t x, y;
		memcpy(&x, a + n, sizeof(x));
		memcpy(&y, b + n, sizeof(y));
		if (x != y) {
			break;
		}
	}
	while (n < max && a[n] == b[n]) {
		n++;
	}
	return n;
}

static void add_line(struct builder *b, uint32_t column)
{
	struct col_layout *l = b->l;
	size_t len = (size_t)(b->p.series_end - b->line_from);
	size_t shared = common_len(b->line_from, b->before, OPS_MIN(len, b->before_len));
	ops_strbuf_add(&l->prefixes, b->line_from + shared, len - shared);
	OPS_GROW(l->lines, l->nlines, b->cap_lines);
	l->lines[l->nlines++] =
		(struct col_line){(uint32_t)(len - shared), (uint32_t)shared, column};
	b->before = b->line_from;
	b->before_len = len;
	b->line_from = b->p.at;
}

/* A part of a histogram: what of it is no column of the row is read beside it. */
static uint32_t take_classic(struct builder *b, uint32_t family, double le, uint32_t column)
{
	struct col_layout *l = b->l;
	if (l->classics == NULL) {
		l->classics = col_classics_new();
	}
	uint32_t at = col_classics_take(l->classics, &b->p, &b->families.items[family], le, column);
	if (at != column) {
		size_t n = l->classics->nhidden - 1;
		OPS_GROW(b->hidden, n, b->cap_hidden);
		b->hidden[n] = b->p.tail;
		l->nconverted += !b->rules->keep_classic;
	}
	return at;
}

static int on_sample(struct builder *b)
{
	uint32_t family = col_families_of(&b->families, b->p.name), column = UINT32_MAX;
	col_families_normalize(&b->families, family, &b->p);
	struct ops_labels *ls = NULL;
	double le = 0;
	bool classic = b->rules->convert_classic && family != UINT32_MAX &&
		       col_classics_has(&b->p, &b->families.items[family], &le);
	int r = classic && !b->rules->keep_classic ? 0 : make_series(b, &ls);
	if (r != 0) {
		return r;
	}
	if (ls != NULL) {
		int64_t limit = b->rules->limits->samples;
		bool over = limit > 0 && (int64_t)b->l->wire.n >= limit;
		if (over || b->l->wire.n >= WIRE_SERIES) {
			ops_labels_unref(ls);
			return REFUSE(b, -E2BIG, "sample_limit exceeded: more than %zu samples",
				b->l->wire.n);
		}
		column = add_series(b, ls, family);
	}
	if (column != UINT32_MAX) {
		col_values_reserve(b->values, b->l->wire.n);
		put_value(b->values, column, &b->p.tail, b->rules->honor_timestamps);
	}
	add_line(b, classic ? take_classic(b, family, le, column) : column);
	return 0;
}

static int read_document(struct builder *b, struct ops_exposition_text body)
{
	ops_strbuf_reserve(&b->l->prefixes, body.len / 2);
	for (;;) {
		int r = ops_exposition_next(&b->p, b->err);
		if (r <= 0) {
			if (r == 0) {
				ops_strbuf_add(&b->l->prefixes, b->line_from,
					(size_t)(body.data + body.len - b->line_from));
			}
			return r;
		}
		if (r != OPS_ENTRY_SAMPLE) {
			col_families_learn(&b->families, (enum ops_exposition_entry)r, &b->p);
			continue;
		}
		r = on_sample(b);
		if (r != 0) {
			return r;
		}
	}
}

static void add_reports(struct builder *b)
{
	b->l->nseries = b->l->wire.n;
	for (size_t i = 0; i < COL_REPORTS && b->rules->reports[i] != NULL; i++) {
		struct ops_layout *w = &b->l->wire;
		OPS_GROW(w->series, w->n, b->cap_series);
		OPS_GROW(w->family, w->n, b->cap_family);
		w->series[w->n] = ops_labels_ref(b->rules->reports[i]);
		w->family[w->n++] = UINT32_MAX;
	}
}

/* What is left of the series when they are packed. */
static void keep_hashes(struct col_layout *l)
{
	l->hashes = ops_xmalloc(OPS_MAX(l->wire.n, (size_t)1) * sizeof(*l->hashes));
	for (size_t i = 0; i < l->wire.n; i++) {
		l->hashes[i] = l->wire.series[i]->hash;
	}
}

size_t col_layout_columns(const struct col_layout *l)
{
	return l->wire.n + (l->classics != NULL ? l->classics->nhidden : 0);
}

/* The row's own columns are known, so the hidden ones get their places behind them. */
static void place_hidden(struct builder *b)
{
	struct col_layout *l = b->l;
	uint32_t first = (uint32_t)l->wire.n;
	if (l->classics == NULL) {
		return;
	}
	col_classics_finish(l->classics, first);
	for (size_t i = 0; i < l->nlines; i++) {
		l->lines[i].column = col_classic_column(l->lines[i].column, first);
	}
	for (size_t i = 0; i < l->classics->nhidden; i++) {
		put_value(
			b->values, first + (uint32_t)i, &b->hidden[i], b->rules->honor_timestamps);
	}
}

static struct col_layout *layout_new(
	const struct col_series_rules *rules, enum ops_exposition_format format)
{
	struct col_layout *l = ops_xcalloc(1, sizeof(*l));
	const char *job = ops_labels_get(rules->labels, "job");
	ops_arena_init(&l->arena);
	l->format = format;
	l->wire.job = ops_arena_strdup(&l->arena, job != NULL ? job : "");
	l->wire.instance = ops_arena_strdup(&l->arena, rules->instance);
	return l;
}

static void builder_init(struct builder *b, struct col_layout *l)
{
	b->l = l;
	ops_exposition_init(&b->p);
	col_merge_init(&b->merge, b->rules);
	col_families_init(&b->families, &l->arena);
	col_series_set_init(&b->known);
}

static void builder_done(struct builder *b)
{
	ops_exposition_done(&b->p);
	col_merge_done(&b->merge);
	col_series_set_done(&b->known);
	col_families_done(&b->families);
	free(b->hidden);
}

int col_layout_parse(const struct col_series_rules *rules, enum ops_exposition_format format,
	struct ops_exposition_text body, struct col_values *values, struct col_layout **ret,
	struct ops_error *err)
{
	struct builder b = {.rules = rules, .values = values, .line_from = body.data, .err = err};
	builder_init(&b, layout_new(rules, format));
	values->has_times = false;
	values->nexemplars = 0;
	ops_exposition_start(&b.p, format, body.data, body.len);
	int r = read_document(&b, body);
	if (r == 0) {
		add_reports(&b);
		keep_hashes(b.l);
		col_families_take(&b.families, &b.l->wire);
		col_values_reserve(values, col_layout_columns(b.l));
		values->n = b.l->wire.n;
		place_hidden(&b);
	}
	builder_done(&b);
	if (r != 0) {
		col_layout_free(b.l);
		return r;
	}
	*ret = b.l;
	return 0;
}

struct col_layout *col_layout_reports(const struct col_series_rules *rules)
{
	struct builder b = {.rules = rules, .l = layout_new(rules, OPS_EXPOSITION_TEXT)};
	add_reports(&b);
	keep_hashes(b.l);
	return b.l;
}

/* ---- packing ---- */

static void drop_series(struct col_layout *l)
{
	if (l->unpacked != NULL) {
		ops_layout_free(l->unpacked);
		l->unpacked = NULL;
	} else {
		for (size_t i = 0; l->wire.series != NULL && i < l->wire.n; i++) {
			ops_labels_unref(l->wire.series[i]);
		}
		free(l->wire.series);
		free(l->wire.family);
	}
	l->wire.series = NULL;
	l->wire.family = NULL;
}

void col_layout_keep_message(struct col_layout *l, const void *message, size_t len)
{
	ops_assert(l->packed == NULL);
	l->packed = ops_xmalloc(len);
	memcpy(l->packed, message, len);
	l->packed_len = len;
}

void col_layout_pack(struct col_layout *l)
{
	if (l->packed == NULL || l->wire.series == NULL) {
		return;
	}
	drop_series(l);
	l->wire.families = NULL;
	l->wire.nfamilies = 0;
	l->wire.job = l->wire.instance = "";
	ops_arena_done(&l->arena);
	ops_arena_init(&l->arena);
	if (l->shape == NULL) {
		l->shape = col_shape_share(&l->lines, l->nlines, &l->prefixes);
	}
}

void col_layout_unpack(struct col_layout *l)
{
	struct ops_error err;
	if (l->wire.series != NULL) {
		return;
	}
	int r = ops_layout_decode(l->packed, l->packed_len, &l->unpacked, &err);
	ops_assert(r == 0); /* it is our own message */
	l->wire.series = l->unpacked->series;
	l->wire.family = l->unpacked->family;
}

void col_layout_free(struct col_layout *l)
{
	if (l == NULL) {
		return;
	}
	drop_series(l);
	free(l->packed);
	free(l->hashes);
	col_classics_free(l->classics);
	if (l->shape != NULL) {
		col_shape_unref(l->shape);
	} else {
		free(l->lines);
		ops_strbuf_done(&l->prefixes);
	}
	ops_arena_done(&l->arena);
	free(l);
}

/* ---- the short way ---- */

bool col_layout_read(const struct col_layout *l, const struct col_series_rules *rules,
	enum ops_exposition_format format, struct ops_exposition_text body,
	struct col_values *values)
{
	if (format != l->format) {
		return false;
	}
	const char *at = body.data, *end = body.data + body.len;
	const char *prefix = ops_strbuf_text(&l->prefixes);
	col_values_reserve(values, col_layout_columns(l));
	values->has_times = false;
	values->nexemplars = 0;
	const char *before = at;
	for (size_t i = 0; i < l->nlines; i++) {
		const struct col_line *line = &l->lines[i];
		struct ops_sample_tail tail;
		const char *what, *from = at;
		size_t len = (size_t)line->shared_len + line->own_len;
		if ((size_t)(end - at) < len ||
			memcmp(at + line->shared_len, prefix, line->own_len) != 0 ||
			memcmp(at, before, line->shared_len) != 0) {
			return false;
		}
		before = from;
		prefix += line->own_len;
		if (ops_plain_number(at + len, end, &tail.value, &at) && *at == '\n') {
			at++;
			if (line->column != UINT32_MAX) {
				values->values[line->column] = tail.value;
			}
			continue;
		}
		if (ops_exposition_tail(format, from + len, end, &tail, &at, &what) != 0) {
			return false;
		}
		if (line->column != UINT32_MAX) {
			put_value(values, line->column, &tail, rules->honor_timestamps);
		}
	}
	size_t rest = (size_t)(ops_strbuf_text(&l->prefixes) + l->prefixes.len - prefix);
	if ((size_t)(end - at) != rest || memcmp(at, prefix, rest) != 0) {
		return false;
	}
	values->n = l->wire.n;
	return true;
}

void col_reports_build(struct ops_labels *target, bool extra, struct ops_labels *ret[COL_REPORTS])
{
	static const char *const names[COL_REPORTS] = {
		[COL_REPORT_UP] = "up",
		[COL_REPORT_DURATION] = "scrape_duration_seconds",
		[COL_REPORT_SCRAPED] = "scrape_samples_scraped",
		[COL_REPORT_POST_RELABEL] = "scrape_samples_post_metric_relabeling",
		[COL_REPORT_ADDED] = "scrape_series_added",
		[COL_REPORT_TIMEOUT] = "scrape_timeout_seconds",
		[COL_REPORT_SAMPLE_LIMIT] = "scrape_sample_limit",
		[COL_REPORT_BODY_BYTES] = "scrape_body_size_bytes",
	};
	struct ops_labels_builder b;
	size_t n = extra ? COL_REPORTS : COL_REPORT_TIMEOUT;
	memset(ret, 0, COL_REPORTS * sizeof(*ret));
	ops_labels_builder_from(&b, target);
	for (size_t i = 0; i < n; i++) {
		ops_labels_builder_set(&b, OPS_LABEL_NAME, names[i]);
		ret[i] = ops_labels_builder_build(&b);
	}
	ops_labels_builder_done(&b);
}
