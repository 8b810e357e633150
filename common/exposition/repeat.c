/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples of a family stand together and differ in the values of their labels, seldom in the names.
 * A line that was read label by label is therefore kept as a pattern: the bytes between its label
 * values, and where each label has its place after sorting. The next line fits when it has the same
 * bytes there, and values that need no second look: ASCII without escapes and control characters.
 * The bytes between were validated with the pattern, so nothing is taken that the whole way would
 * refuse; what does not fit goes that way.
 *
 * Values are scanned in steps of a vector where the processor has them (SSE2 is part of x86-64).
 */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "common/base/bytes.h"
#include "common/exposition/parser_internal.h"

#ifdef __SSE2__
enum {
	STEP = 16
};

/* A bit for each byte that ends a plain value: quote, escape, control characters, no ASCII. */
static inline uint64_t stops(const char *c)
{
	__m128i v;
	memcpy(&v, c, sizeof(v));
	__m128i found = _mm_or_si128(
		_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
	found = _mm_or_si128(found, _mm_cmplt_epi8(v, _mm_set1_epi8(' '))); /* signed */
	return (unsigned)_mm_movemask_epi8(found);
}
#define STOP_PLACE(found) ((unsigned)__builtin_ctzll(found))
#else
enum {
	STEP = 8
};

/* The top bit of each such byte; what stands behind the first one may be wrong. */
static inline uint64_t stops(const char *c)
{
	const uint64_t ones = 0x0101010101010101ULL;
	uint64_t v = ops_get_u64(c), quote = v ^ ones * '"', escape = v ^ ones * '\\';
	uint64_t found = ((quote - ones) & ~quote) | ((escape - ones) & ~escape) |
			 ((v - ones * ' ') & ~v) | v;
	return found & ones * 0x80;
}
#define STOP_PLACE(found) ((unsigned)__builtin_ctzll(found) / 8)
#endif

enum {
	MARGIN = 16 /* what the compared steps may read behind what they compare */
};

/* Both have MARGIN readable bytes behind len. */
static inline bool same(const char *a, const char *b, size_t len)
{
	for (; len > 8; a += 8, b += 8, len -= 8) {
		if (ops_get_u64(a) != ops_get_u64(b)) {
			return false;
		}
	}
	return len == 0 || (ops_get_u64(a) ^ ops_get_u64(b)) << (64 - 8 * len) == 0;
}

/* Behind the value, on its quote; NULL: it needs a closer look. */
static inline const char *value_end(const char *c, const char *end)
{
	for (; end - c >= STEP; c += STEP) {
		uint64_t found = stops(c);
		if (found != 0) {
			c += STOP_PLACE(found);
			return *c == '"' ? c : NULL;
		}
	}
	return NULL;
}

bool ops_exposition_repeats(struct ops_exposition *p)
{
	const struct ops_exposition_pattern *t = &p->pattern;
	const char *c = p->at, *from = t->from;
	if (t->n == 0) {
		return false;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct ops_exposition_place *place = &t->places[i];
		if (p->end - c < place->before + MARGIN || !same(c, from, place->before)) {
			return false;
		}
		c += place->before;
		const char *end = value_end(c, p->end);
		if (end == NULL || end - c > UINT32_MAX / 2) {
			return false;
		}
		struct ops_label *label = &p->labels[place->label];
		label->name = c - place->name;
		label->value = c;
		label->value_len = (uint32_t)(end - c);
		c = end;
		from += place->before + place->value_len;
	}
	if (p->end - c < t->behind + MARGIN || !same(c, from, t->behind)) {
		return false;
	}
	p->at = p->series_end = c + t->behind;
	return true;
}

/* The label whose value stands next behind `at`: labels are sorted, but few. */
static uint32_t next_label(const struct ops_exposition *p, const char *at)
{
	uint32_t found = UINT32_MAX;
	for (uint32_t i = 0; i < p->nlabels; i++) {
		if (p->labels[i].value > at &&
			(found == UINT32_MAX || p->labels[i].value < p->labels[found].value)) {
			found = i;
		}
	}
	return found;
}

void ops_exposition_learn(struct ops_exposition *p, const char *from, bool plain)
{
	struct ops_exposition_pattern *t = &p->pattern;
	const char *at = from;
	t->n = 0;
	p->names_serial++;
	if (!plain || p->nlabels == 0 || p->nlabels > OPS_LENGTH(t->places) ||
		p->end - p->series_end < MARGIN || p->series_end - from > UINT16_MAX) {
		return;
	}
	for (uint32_t i = 0; i < p->nlabels; i++) {
		uint32_t label = next_label(p, at);
		const struct ops_label *l = &p->labels[label];
		t->places[i] = (struct ops_exposition_place){.before = (uint16_t)(l->value - at),
			.value_len = (uint16_t)l->value_len,
			.name = (uint16_t)(l->value - l->name),
			.label = (uint16_t)label};
		at = l->value + l->value_len;
	}
	t->from = from;
	t->behind = (uint16_t)(p->series_end - at);
	t->n = p->nlabels;
}
