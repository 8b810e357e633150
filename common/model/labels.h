/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Label sets: sorted by name (byte order), names unique, empty values never stored (an empty value
 * and an absent label are the same thing). Immutable and shared by reference count once built; the
 * count is atomic, so that a set may be shared between threads.
 */
#include "common/base/def.h"

struct ops_strbuf;

struct ops_label {
	const char *name, *value; /* NUL-terminated; UTF-8 without NUL */
	uint32_t name_len, value_len;
};

struct ops_labels { /* one allocation, texts behind the array */
	uint32_t refs;
	uint32_t n;
	uint64_t hash; /* over names and values; for maps, stable across processes */
	struct ops_label items[];
};

#define OPS_LABEL_NAME "__name__"

struct ops_labels *ops_labels_ref(struct ops_labels *ls);
void ops_labels_unref(struct ops_labels *ls); /* NULL is fine */
void ops_labels_unrefp(struct ops_labels **ls);
const char *ops_labels_get(const struct ops_labels *ls, const char *name); /* value, or NULL */
bool ops_labels_equal(const struct ops_labels *a, const struct ops_labels *b);
int ops_labels_compare(const struct ops_labels *a,
	const struct ops_labels *b); /* Prometheus' labels.Compare order */
/* Prometheus' model.LabelSet.Fingerprint: FNV-1a 64 over name 0xff value 0xff, sorted by name. */
uint64_t ops_labels_fingerprint(const struct ops_labels *ls);
/* The name of a label as it is, or quoted where it is not classic (UTF-8 rule). */
void ops_label_print_name(const char *name, size_t len, struct ops_strbuf *out);
/* a="b" */
void ops_label_print(const struct ops_label *l, struct ops_strbuf *out);
/* name{a="b",c="d"}; just {..} without __name__; names that are not classic are quoted (UTF-8
 * rule). */
void ops_labels_print(const struct ops_labels *ls, struct ops_strbuf *out);
/* {"a":"b",...} as JSON. */
void ops_labels_json(const struct ops_labels *ls, struct ops_strbuf *out);

/* Builder: set and delete in any order, then build. Embedded by value. */
struct ops_labels_builder {
	struct ops_builder_item {
		char *name, *value;
	} * items;
	size_t n, cap;
};
void ops_labels_builder_init(struct ops_labels_builder *b);
void ops_labels_builder_from(
	struct ops_labels_builder *b, const struct ops_labels *base); /* init + copy */
void ops_labels_builder_done(struct ops_labels_builder *b);
void ops_labels_builder_set(
	struct ops_labels_builder *b, const char *name, const char *value); /* "" or NULL deletes */
void ops_labels_builder_setn(struct ops_labels_builder *b, const char *name, size_t name_len,
	const char *value, size_t value_len);
void ops_labels_builder_del(struct ops_labels_builder *b, const char *name);
const char *ops_labels_builder_get(const struct ops_labels_builder *b, const char *name);
struct ops_labels *ops_labels_builder_build(
	struct ops_labels_builder *b) OPS_MUST_CHECK; /* builder stays usable */

/* From n labels that are sorted and unique already; texts need no NUL; empty values are left out.
 */
struct ops_labels *ops_labels_from_sorted(const struct ops_label *items, size_t n) OPS_MUST_CHECK;
/* From alternating name, value, ..., NULL: for tests and constants. */
struct ops_labels *ops_labels_of(const char *name, ...) OPS_MUST_CHECK __attribute__((sentinel));

bool ops_metric_name_classic(const char *s, size_t len); /* [a-zA-Z_:][a-zA-Z0-9_:]* */
bool ops_label_name_classic(const char *s, size_t len);	 /* [a-zA-Z_][a-zA-Z0-9_]* */
bool ops_label_name_valid(const char *s, size_t len);	 /* UTF-8 scheme: not empty, valid UTF-8 */
