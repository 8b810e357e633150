/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Series as the receiver of a queue sees them: each is relabelled once, a layout's all together,
 * and those that come alone in a bounded cache, keyed by the bytes that the record has.
 */
#include "common/base/map.h"
#include "services/detector/remote/queue_internal.h"

enum {
	SINGLES_MAX = 200000
};

static char dropped[1]; /* stands for "relabelling drops it" in singles */

/* External labels first, then relabelling, as Prometheus has it; NULL = dropped. */
static struct ops_labels *outgoing(const struct det_queue *q, struct ops_labels *labels)
{
	const struct ops_labels *external = q->config->external;
	struct ops_labels_builder b;
	struct ops_labels *out = NULL;

	if (external == NULL && q->target->relabel.n == 0)
		return ops_labels_ref(labels);
	ops_labels_builder_from(&b, labels);
	for (uint32_t i = 0; external != NULL && i < external->n; i++)
		if (ops_labels_get(labels, external->items[i].name) == NULL)
			ops_labels_builder_set(
				&b, external->items[i].name, external->items[i].value);
	if (ops_relabel_apply(&q->target->relabel, &b))
		out = ops_labels_builder_build(&b);
	ops_labels_builder_done(&b);
	if (out != NULL && ops_labels_equal(out, labels)) {
		ops_labels_unref(out); /* nothing changed: share one */
		out = ops_labels_ref(labels);
	} else if (out != NULL && out->n == 0) {
		ops_labels_unref(out);
		out = NULL;
	}
	return out;
}

static void out_layout_free(void *layout)
{
	struct det_out_layout *l = layout;

	for (size_t i = 0; i < l->n; i++)
		ops_labels_unref(l->labels[i]);
	free(l->labels);
	free(l);
}

static void single_free(void *labels)
{
	if (labels != dropped)
		ops_labels_unref(labels);
}

const struct det_out_layout *det_outgoing_layout(struct det_queue *q, uint64_t id)
{
	const struct det_layout *from = det_layouts_get(q->owner.layouts, id);
	struct det_out_layout *l = ops_map_get(q->layouts, &id, sizeof(id));

	if (from == NULL)
		return NULL;
	if (l != NULL && l->generation == from->generation && l->n == from->n)
		return l;
	if (l != NULL)
		out_layout_free(l);
	l = ops_xcalloc(1, sizeof(*l));
	l->generation = from->generation;
	l->n = from->n;
	l->labels = ops_xcalloc(OPS_MAX(l->n, 1u), sizeof(struct ops_labels *));
	for (size_t i = 0; i < l->n; i++)
		if (from->series[i] != NULL)
			l->labels[i] = outgoing(q, from->series[i]);
	(void)ops_map_put(q->layouts, &id, sizeof(id), l);
	return l;
}

struct ops_labels *det_outgoing_single(struct det_queue *q, const uint8_t *data, size_t len)
{
	void *known = ops_map_get(q->singles, data, len);

	if (known == NULL) {
		struct ops_labels *labels = det_journal_labels(data, len);
		known = labels != NULL ? outgoing(q, labels) : NULL;
		ops_labels_unref(labels);
		if (known == NULL)
			known = dropped;
		if (ops_map_count(q->singles) >= SINGLES_MAX) {
			ops_map_free(q->singles, single_free);
			q->singles = ops_map_new();
		}
		(void)ops_map_put(q->singles, data, len, known);
	}
	return known == dropped ? NULL : known;
}

void det_outgoing_drop(struct det_queue *q)
{
	ops_map_free(q->layouts, out_layout_free);
	ops_map_free(q->singles, single_free);
}

void det_outgoing_forget(struct det_queue *q)
{
	det_outgoing_drop(q);
	q->layouts = ops_map_new();
	q->singles = ops_map_new();
}
