/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sample's family is the one of its name, or of its name without a suffix that the family's type
 * gives to its samples. Lookups are rare: samples of a family stand together, so the name of the
 * sample before usually decides.
 */
#include "services/collector/families.h"

#include <math.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/number.h"

enum {
	MAX_FAMILIES = 100000,
	MAX_NAME = 64 * 1024,
	MAX_TEXT = 4096
};

void col_families_init(struct col_families *f, struct ops_arena *arena)
{
	*f = (struct col_families){.arena = arena, .by_name = ops_map_new(), .last = UINT32_MAX};
}

void col_families_done(struct col_families *f)
{
	free(f->items);
	ops_map_free(f->by_name, NULL);
}

static uint32_t find(const struct col_families *f, const char *name, size_t len)
{
	uintptr_t at = (uintptr_t)ops_map_get(f->by_name, name, len);
	return at != 0 ? (uint32_t)(at - 1) : UINT32_MAX;
}

static struct ops_layout_family *find_or_add(
	struct col_families *f, struct ops_exposition_text name)
{
	uint32_t at = find(f, name.data, name.len);
	if (at != UINT32_MAX) {
		return &f->items[at];
	}
	if (f->n == MAX_FAMILIES || name.len > MAX_NAME) {
		return NULL;
	}
	OPS_GROW(f->items, f->n, f->cap);
	f->items[f->n] = (struct ops_layout_family){
		ops_arena_strndup(f->arena, name.data, name.len), "", "", OPS_T_UNKNOWN};
	(void)ops_map_put(f->by_name, name.data, name.len, (void *)(uintptr_t)(f->n + 1));
	return &f->items[f->n++];
}

/* Cuts at MAX_TEXT, not inside a UTF-8 sequence. */
static const char *bounded(struct col_families *f, struct ops_exposition_text text)
{
	size_t len = OPS_MIN(text.len, (size_t)MAX_TEXT);
	while (len < text.len && len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80) {
		len--;
	}
	return ops_arena_strndup(f->arena, text.data, len);
}

void col_families_learn(
	struct col_families *f, enum ops_exposition_entry kind, const struct ops_exposition *p)
{
	f->last_name = (struct ops_exposition_text){NULL, 0};
	if (kind == OPS_ENTRY_COMMENT) {
		return;
	}
	struct ops_layout_family *family = find_or_add(f, p->name);
	if (family == NULL) {
		return;
	}
	if (kind == OPS_ENTRY_HELP) {
		family->help = bounded(f, p->text);
	} else if (kind == OPS_ENTRY_UNIT) {
		family->unit = bounded(f, p->text);
	} else if (kind == OPS_ENTRY_TYPE) {
		family->type = p->type;
	}
}

static bool suffix_fits(enum ops_series_type type, const char *suffix)
{
	static const struct {
		enum ops_series_type type;
		const char *suffix;
	} table[] = {
		{OPS_T_COUNTER, "_total"},
		{OPS_T_COUNTER, "_created"},
		{OPS_T_HISTOGRAM, "_bucket"},
		{OPS_T_HISTOGRAM, "_sum"},
		{OPS_T_HISTOGRAM, "_count"},
		{OPS_T_HISTOGRAM, "_created"},
		{OPS_T_SUMMARY, "_sum"},
		{OPS_T_SUMMARY, "_count"},
		{OPS_T_SUMMARY, "_created"},
		{OPS_T_GAUGEHISTOGRAM, "_bucket"},
		{OPS_T_GAUGEHISTOGRAM, "_gsum"},
		{OPS_T_GAUGEHISTOGRAM, "_gcount"},
		{OPS_T_INFO, "_info"},
	};
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		if (table[i].type == type && strcmp(table[i].suffix, suffix) == 0) {
			return true;
		}
	}
	return false;
}

static uint32_t look_up(const struct col_families *f, struct ops_exposition_text sample)
{
	uint32_t at = find(f, sample.data, sample.len);
	if (at != UINT32_MAX) {
		return at;
	}
	size_t base = sample.len;
	while (base > 0 && sample.data[base - 1] != '_') {
		base--;
	}
	char suffix[16];
	size_t len = sample.len - base + 1;
	if (base < 2 || len >= sizeof(suffix)) {
		return UINT32_MAX;
	}
	memcpy(suffix, sample.data + base - 1, len);
	suffix[len] = '\0';
	at = find(f, sample.data, base - 1);
	return at != UINT32_MAX && suffix_fits(f->items[at].type, suffix) ? at : UINT32_MAX;
}

uint32_t col_families_of(struct col_families *f, struct ops_exposition_text sample)
{
	const struct ops_exposition_text *last = &f->last_name;
	if (last->data == NULL || last->len != sample.len ||
		memcmp(last->data, sample.data, sample.len) != 0) {
		f->last = look_up(f, sample);
		f->last_name = sample;
	}
	return f->last;
}

void col_families_normalize(struct col_families *f, uint32_t family, struct ops_exposition *p)
{
	/* a quoted name lies in the parser's buffer, which the next line overwrites */
	bool in_document = p->name.data >= p->begin && p->name.data < p->end;
	if (!in_document) {
		f->last_name = (struct ops_exposition_text){NULL, 0};
	}
	if (family == UINT32_MAX) {
		return;
	}
	enum ops_series_type type = f->items[family].type;
	bool buckets = type == OPS_T_HISTOGRAM || type == OPS_T_GAUGEHISTOGRAM;
	const char *name = buckets ? "le" : "quantile";
	if (!buckets && type != OPS_T_SUMMARY) {
		return;
	}
	for (size_t i = 0; i < p->nlabels; i++) {
		struct ops_label *l = &p->labels[i];
		double v;
		if (l->name_len != strlen(name) || memcmp(l->name, name, l->name_len) != 0 ||
			ops_parse_double(l->value, l->value_len, &v) != 0) {
			continue;
		}
		size_t len = ops_format_double(v, f->bound);
		if (strpbrk(f->bound, ".eIN") == NULL) {
			memcpy(f->bound + len, ".0", 3);
			len += 2;
		}
		l->value = f->bound;
		l->value_len = (uint32_t)len;
	}
}

void col_families_take(struct col_families *f, struct ops_layout *wire)
{
	wire->families = ops_arena_array(f->arena, struct ops_layout_family, f->n);
	if (f->n > 0) {
		memcpy(wire->families, f->items, f->n * sizeof(*f->items));
	}
	wire->nfamilies = f->n;
}
