/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families in the order in which they were first heard, series of a family likewise; both keep
 * their place, so two documents differ in numbers only until a series comes or goes. A series is
 * found by the text of its labels, which is also what is written: `{a="b"}`, sorted by name.
 *
 * A gauge that is told "+1" before it was ever set starts from 0, as in StatsD. A set shows how
 * many different members were seen since the document before; past the limit it says the limit.
 */
#include "services/collector/receive/statsd_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"

enum kind {
	KIND_COUNTER,
	KIND_GAUGE,
	KIND_HISTOGRAM,
	KIND_SET
};

struct series {
	char *labels; /* `a="b",c="d"` */
	struct series *next;
	int64_t heard_ms, ttl_ms;
	double value;	  /* counter, gauge; sum of a histogram */
	uint64_t *counts; /* nbuckets + 1, each bucket alone; the last is above all bounds */
	struct ops_map *members;
};

struct family {
	char *name, *help;
	enum kind kind;
	double *buckets;
	size_t nbuckets;
	struct ops_map *by_labels;
	struct series *first, **last;
	struct family *next;
};

struct col_statsd_table {
	struct col_statsd_limits limits;
	struct ops_map *by_name;
	struct family *first, **last;
	size_t nseries;
	struct ops_strbuf labels, names;
};

static char present; /* the value of every member in a set's map */

struct col_statsd_table *col_statsd_table_new(const struct col_statsd_limits *limits)
{
	struct col_statsd_table *t = ops_xcalloc(1, sizeof(*t));
	t->limits = *limits;
	t->by_name = ops_map_new();
	t->last = &t->first;
	return t;
}

static void series_free(struct series *s)
{
	ops_map_free(s->members, NULL);
	free(s->counts);
	free(s->labels);
	free(s);
}

static void family_free(struct family *f)
{
	for (struct series *s = f->first, *next; s != NULL; s = next) {
		next = s->next;
		series_free(s);
	}
	ops_map_free(f->by_labels, NULL);
	free(f->buckets);
	free(f->name);
	free(f->help);
	free(f);
}

void col_statsd_table_free(struct col_statsd_table *t)
{
	if (t == NULL) {
		return;
	}
	for (struct family *f = t->first, *next; f != NULL; f = next) {
		next = f->next;
		family_free(f);
	}
	ops_map_free(t->by_name, NULL);
	ops_strbuf_done(&t->labels);
	ops_strbuf_done(&t->names);
	free(t);
}

size_t col_statsd_table_series(const struct col_statsd_table *t)
{
	return t->nseries;
}

/* How many time series one of this family is: buckets, +Inf, sum and count. */
static size_t weight(const struct family *f)
{
	return f->kind == KIND_HISTOGRAM ? f->nbuckets + 3 : 1;
}

/* ---- labels ---- */

struct pair {
	const char *name, *value;
	size_t name_len, value_len;
	size_t rank; /* of two with one name the lower stays */
};

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = memcmp(x->name, y->name, OPS_MIN(x->name_len, y->name_len));
	if (c != 0) {
		return c;
	}
	if (x->name_len != y->name_len) {
		return x->name_len < y->name_len ? -1 : 1;
	}
	return x->rank < y->rank ? -1 : 1;
}

static void print_labels(struct ops_strbuf *out, struct pair *pairs, size_t n)
{
	qsort(pairs, n, sizeof(*pairs), compare_pairs);
	const struct pair *before = NULL;
	ops_strbuf_reset(out);
	for (size_t i = 0; i < n; i++) {
		struct pair *p = &pairs[i];
		bool again = before != NULL && before->name_len == p->name_len &&
			     memcmp(before->name, p->name, p->name_len) == 0;
		if (again || p->value_len == 0) {
			continue;
		}
		before = p;
		if (out->len > 0) {
			ops_strbuf_addc(out, ',');
		}
		ops_strbuf_add(out, p->name, p->name_len);
		ops_strbuf_addc(out, '=');
		ops_strbuf_add_quoted(out, p->value, p->value_len);
	}
}

static enum kind kind_of(enum col_statsd_type type)
{
	switch (type) {
	case COL_STATSD_COUNTER:
		return KIND_COUNTER;
	case COL_STATSD_GAUGE:
		return KIND_GAUGE;
	case COL_STATSD_SET:
		return KIND_SET;
	case COL_STATSD_TIMER:
	case COL_STATSD_HISTOGRAM:
		break;
	}
	return KIND_HISTOGRAM;
}

/* Names that differ may be the same when they are clean; le is the histogram's own. */
static void clean_names(struct ops_strbuf *to, struct pair *pairs, size_t n, bool histogram)
{
	ops_strbuf_reset(to);
	for (size_t i = 0; i < n; i++) {
		size_t from = to->len;
		col_statsd_clean_name(to, pairs[i].name, pairs[i].name_len, true);
		if (histogram && to->len - from == 2 && memcmp(to->data + from, "le", 2) == 0) {
			to->len = from;
			ops_strbuf_adds(to, "exported_le");
		}
		pairs[i].name_len = to->len - from;
	}
	const char *at = ops_strbuf_text(to);
	for (size_t i = 0; i < n; i++) {
		pairs[i].name = at;
		at += pairs[i].name_len;
	}
}

static const char *labels_of(struct col_statsd_table *t, const struct col_statsd_mapped *m,
	const struct col_statsd_event *e)
{
	struct pair pairs[2 * COL_STATSD_MAX_TAGS];
	size_t n = 0;
	for (size_t i = 0; i < m->nlabels; i++) {
		pairs[n++] = (struct pair){m->label_names[i], m->label_values[i],
			strlen(m->label_names[i]), strlen(m->label_values[i]),
			m->honor_labels ? i + COL_STATSD_MAX_TAGS : i};
	}
	for (size_t i = 0; i < e->ntags; i++) {
		pairs[n++] = (struct pair){e->tag_names[i].s, e->tag_values[i].s,
			e->tag_names[i].len, e->tag_values[i].len,
			m->honor_labels ? i : i + COL_STATSD_MAX_TAGS};
	}
	clean_names(&t->names, pairs, n, kind_of(e->type) == KIND_HISTOGRAM);
	print_labels(&t->labels, pairs, n);
	return ops_strbuf_text(&t->labels);
}

/* ---- adding ---- */

static struct family *family_new(
	struct col_statsd_table *t, const struct col_statsd_mapped *m, enum kind kind)
{
	struct family *f = ops_xcalloc(1, sizeof(*f));
	f->name = ops_xstrdup(m->name);
	f->help = ops_xstrdup(m->help);
	f->kind = kind;
	f->by_labels = ops_map_new();
	f->last = &f->first;
	if (kind == KIND_HISTOGRAM) {
		f->nbuckets = m->nbuckets;
		f->buckets = ops_xcalloc(f->nbuckets + 1, sizeof(double));
		memcpy(f->buckets, m->buckets, f->nbuckets * sizeof(double));
	}
	(void)ops_map_puts(t->by_name, f->name, f);
	*t->last = f;
	t->last = &f->next;
	return f;
}

static struct series *series_new(struct family *f, const char *labels)
{
	struct series *s = ops_xcalloc(1, sizeof(*s));
	s->labels = ops_xstrdup(labels);
	if (f->kind == KIND_HISTOGRAM) {
		s->counts = ops_xcalloc(f->nbuckets + 1, sizeof(uint64_t));
	} else if (f->kind == KIND_SET) {
		s->members = ops_map_new();
	}
	(void)ops_map_puts(f->by_labels, s->labels, s);
	*f->last = s;
	f->last = &s->next;
	return s;
}

static void observe(const struct family *f, struct series *s, double v, double times)
{
	size_t low = 0, high = f->nbuckets; /* the first bound that is not below v */
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (f->buckets[mid] < v) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	s->counts[low] += (uint64_t)times;
	s->value += v * times;
}

static void add_values(const struct col_statsd_table *t, const struct family *f, struct series *s,
	const struct col_statsd_event *e, double scale)
{
	double unit = e->type == COL_STATSD_TIMER ? scale / 1000 : scale;
	for (size_t i = 0; i < e->nvalues; i++) {
		double v = e->values[i] * unit;
		switch (f->kind) {
		case KIND_COUNTER:
			s->value += v / e->rate;
			break;
		case KIND_GAUGE:
			s->value = e->relative[i] ? s->value + v : v;
			break;
		case KIND_HISTOGRAM:
			observe(f, s, v, (double)(uint64_t)(1 / e->rate + 0.5));
			break;
		case KIND_SET:
			if (ops_map_count(s->members) < t->limits.set_members) {
				(void)ops_map_put(
					s->members, e->members[i].s, e->members[i].len, &present);
			}
			break;
		}
	}
}

int col_statsd_table_add(struct col_statsd_table *t, struct col_statsd_mapping *mapping,
	const struct col_statsd_event *e, int64_t now_ms, const char **ret_why)
{
	struct col_statsd_mapped m;
	col_statsd_map(mapping, e, &m);
	if (m.drop) {
		return 1;
	}
	enum kind kind = kind_of(e->type);
	struct family *f = ops_map_gets(t->by_name, m.name);
	if (f != NULL && f->kind != kind) {
		*ret_why = "conflict";
		return -EINVAL;
	}
	const char *labels = labels_of(t, &m, e);
	struct series *s = f != NULL ? ops_map_gets(f->by_labels, labels) : NULL;
	if (s == NULL) {
		size_t more = kind == KIND_HISTOGRAM ? m.nbuckets + 3 : 1;
		if (t->nseries + more > t->limits.series) {
			*ret_why = "limit";
			return -EINVAL;
		}
		f = f != NULL ? f : family_new(t, &m, kind);
		s = series_new(f, labels);
		t->nseries += weight(f);
	}
	s->heard_ms = now_ms;
	s->ttl_ms = m.ttl_ms > 0 ? m.ttl_ms : t->limits.ttl_ms;
	add_values(t, f, s, e, m.scale);
	return 0;
}

/* ---- exposing ---- */

static void sample(struct ops_strbuf *out, const struct family *f, const char *suffix,
	const struct series *s, const char *le)
{
	ops_strbuf_adds(out, f->name);
	ops_strbuf_adds(out, suffix);
	if (s->labels[0] != '\0' || le != NULL) {
		ops_strbuf_addc(out, '{');
		ops_strbuf_adds(out, s->labels);
		if (le != NULL) {
			ops_strbuf_printf(out, "%sle=\"%s\"", s->labels[0] != '\0' ? "," : "", le);
		}
		ops_strbuf_addc(out, '}');
	}
	ops_strbuf_addc(out, ' ');
}

static void value_line(struct ops_strbuf *out, double v)
{
	ops_strbuf_add_double(out, v);
	ops_strbuf_addc(out, '\n');
}

static void expose_histogram(const struct family *f, const struct series *s, struct ops_strbuf *out)
{
	struct ops_strbuf le = OPS_STRBUF_INIT;
	uint64_t below = 0;
	for (size_t i = 0; i <= f->nbuckets; i++) {
		below += s->counts[i];
		ops_strbuf_reset(&le);
		if (i < f->nbuckets) {
			ops_strbuf_add_double(&le, f->buckets[i]);
		} else {
			ops_strbuf_adds(&le, "+Inf");
		}
		sample(out, f, "_bucket", s, le.data);
		value_line(out, (double)below);
	}
	ops_strbuf_done(&le);
	sample(out, f, "_sum", s, NULL);
	value_line(out, s->value);
	sample(out, f, "_count", s, NULL);
	value_line(out, (double)below);
}

static void expose_series(const struct family *f, struct series *s, struct ops_strbuf *out)
{
	if (f->kind == KIND_HISTOGRAM) {
		expose_histogram(f, s, out);
		return;
	}
	if (f->kind == KIND_SET) {
		s->value = (double)ops_map_count(s->members);
		ops_map_free(s->members, NULL);
		s->members = ops_map_new();
	}
	sample(out, f, "", s, NULL);
	value_line(out, s->value);
}

static void expire(struct col_statsd_table *t, struct family *f, int64_t now_ms)
{
	struct series **at = &f->first;
	while (*at != NULL) {
		struct series *s = *at;
		if (s->ttl_ms <= 0 || now_ms - s->heard_ms <= s->ttl_ms) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		(void)ops_map_removes(f->by_labels, s->labels);
		series_free(s);
		t->nseries -= weight(f);
	}
	f->last = at;
}

static void expose_family(const struct family *f, struct ops_strbuf *out)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "gauge"};
	if (f->help[0] != '\0') {
		ops_strbuf_printf(out, "# HELP %s ", f->name);
		ops_strbuf_add_escaped(out, f->help, strlen(f->help), false);
		ops_strbuf_addc(out, '\n');
	}
	ops_strbuf_printf(out, "# TYPE %s %s\n", f->name, types[f->kind]);
	for (struct series *s = f->first; s != NULL; s = s->next) {
		expose_series(f, s, out);
	}
}

void col_statsd_table_expose(struct col_statsd_table *t, int64_t now_ms, struct ops_strbuf *out)
{
	struct family **at = &t->first;
	while (*at != NULL) {
		struct family *f = *at;
		expire(t, f, now_ms);
		if (f->first == NULL) {
			*at = f->next;
			(void)ops_map_removes(t->by_name, f->name);
			family_free(f);
			continue;
		}
		expose_family(f, out);
		at = &f->next;
	}
	t->last = at;
}
