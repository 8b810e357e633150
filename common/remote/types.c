/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Label sets as a peer sends them: the specification wants them sorted, unique, with a name, valid
 * UTF-8. Wrong order is mended, as Prometheus does it; the rest is a flaw of that series and does
 * not spoil the request.
 */
#include "common/remote/types.h"

#include <errno.h>
#include <string.h>

#include "common/base/text.h"

void ops_remote_lists_init(struct ops_remote_lists *l)
{
	memset(l, 0, sizeof(*l));
	ops_arena_init(&l->arena);
}

void ops_remote_lists_done(struct ops_remote_lists *l)
{
	free(l->labels);
	free(l->samples);
	free(l->histograms);
	free(l->exemplars);
	ops_arena_done(&l->arena);
}

void ops_remote_lists_reset(struct ops_remote_lists *l)
{
	l->nlabels = l->nsamples = l->nhistograms = l->nexemplars = 0;
	ops_arena_reset(&l->arena);
}

void ops_remote_series_of(struct ops_remote_lists *l, struct ops_remote_series *ret)
{
	*ret = (struct ops_remote_series){
		.flaw = ops_remote_order_labels(l->labels, &l->nlabels, true),
		.samples = l->samples,
		.nsamples = l->nsamples,
		.histograms = l->histograms,
		.nhistograms = l->nhistograms,
		.exemplars = l->exemplars,
		.nexemplars = l->nexemplars,
	};
	ret->labels = l->labels;
	ret->nlabels = l->nlabels;
}

int ops_remote_add_label(
	struct ops_label **items, size_t *n, size_t *cap, const struct ops_remote_text pair[2])
{
	if (*n == OPS_REMOTE_MAX_LABELS || pair[0].len > OPS_REMOTE_MAX_TEXT ||
		pair[1].len > OPS_REMOTE_MAX_TEXT)
		return -EBADMSG;
	OPS_GROW(*items, *n, *cap);
	(*items)[(*n)++] = (struct ops_label){
		.name = pair[0].s,
		.name_len = (uint32_t)pair[0].len,
		.value = pair[1].s,
		.value_len = (uint32_t)pair[1].len,
	};
	return 0;
}

static int compare_names(const void *x, const void *y)
{
	const struct ops_label *a = x, *b = y;
	int order = memcmp(a->name, b->name, OPS_MIN(a->name_len, b->name_len));

	return order != 0 ? order : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

static bool is_text(const char *s, size_t len)
{
	return memchr(s, '\0', len) == NULL && ops_utf8_valid(s, len);
}

static bool is_name(const struct ops_label *l, const char *name)
{
	return l->name_len == strlen(name) && memcmp(l->name, name, l->name_len) == 0;
}

const char *ops_remote_order_labels(struct ops_label *labels, size_t *n, bool of_series)
{
	bool sorted = true, named = false;
	size_t kept = 0;

	for (size_t i = 1; i < *n && sorted; i++)
		sorted = compare_names(&labels[i - 1], &labels[i]) < 0;
	if (!sorted)
		qsort(labels, *n, sizeof(labels[0]), compare_names);
	for (size_t i = 0; i < *n; i++) {
		const struct ops_label *l = &labels[i];
		if (l->name_len == 0)
			return "a label without a name";
		if (!is_text(l->name, l->name_len) || !is_text(l->value, l->value_len))
			return "a label that is not UTF-8 text";
		if (i > 0 && compare_names(&labels[i - 1], l) == 0)
			return "two labels of one name";
		named = named || (l->value_len > 0 && is_name(l, OPS_LABEL_NAME));
	}
	for (size_t i = 0; i < *n; i++)
		if (labels[i].value_len > 0)
			labels[kept++] = labels[i];
	*n = kept;
	return named || !of_series ? NULL : "no metric name";
}

static int sample_part(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_sample *s = arg;

	if (part->number > 3)
		return 0;
	if (part->wire != (part->number == 1 ? OPS_PROTO_FIXED64 : OPS_PROTO_VARINT))
		return -EBADMSG;
	if (part->number == 1)
		s->value = ops_proto_double(part);
	else if (part->number == 2)
		s->time_ms = (int64_t)part->value;
	else
		s->start_ms = (int64_t)part->value;
	return 0;
}

int ops_remote_add_sample(struct ops_remote_lists *l, const struct ops_proto_field *f)
{
	OPS_GROW(l->samples, l->nsamples, l->samples_cap);
	l->samples[l->nsamples] = (struct ops_remote_sample){0};
	return ops_proto_each(f, sample_part, &l->samples[l->nsamples++]);
}

static int histogram_part(void *arg, const struct ops_proto_field *part)
{
	struct ops_remote_histogram *h = arg;

	if (part->number != 15 && part->number != 17)
		return 0;
	if (part->wire != OPS_PROTO_VARINT)
		return -EBADMSG;
	if (part->number == 15)
		h->time_ms = (int64_t)part->value;
	else
		h->start_ms = (int64_t)part->value;
	return 0;
}

int ops_remote_add_histogram(struct ops_remote_lists *l, const struct ops_proto_field *f)
{
	OPS_GROW(l->histograms, l->nhistograms, l->histograms_cap);
	l->histograms[l->nhistograms] =
		(struct ops_remote_histogram){.data = f->data, .len = f->len};
	return ops_proto_each(f, histogram_part, &l->histograms[l->nhistograms++]);
}

static const enum ops_series_type types[] = {OPS_T_UNKNOWN, OPS_T_COUNTER, OPS_T_GAUGE,
	OPS_T_HISTOGRAM, OPS_T_GAUGEHISTOGRAM, OPS_T_SUMMARY, OPS_T_INFO, OPS_T_STATESET};

enum ops_series_type ops_remote_type_from(uint64_t wire)
{
	return wire < OPS_LENGTH(types) ? types[wire] : OPS_T_UNKNOWN;
}

uint64_t ops_remote_type_to(enum ops_series_type t)
{
	for (uint64_t i = 0; i < OPS_LENGTH(types); i++)
		if (types[i] == t)
			return i;
	return 0;
}
