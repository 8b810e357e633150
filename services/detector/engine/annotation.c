/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Warnings and infos that travel with a result: each text once, at most DET_ANNOTATIONS_MAX of a
 * kind, with the place in the expression where its text is known.
 */
#include "services/detector/engine/eval.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DET_ANNOTATIONS_MAX 64u

static void place_text(
	const struct det_eval *ev, const struct ops_promql_expr *at, char ret[static 40])
{
	const char *text = ev->sh->query->text;
	ret[0] = '\0';
	if (text == NULL || at == NULL || at->start > strlen(text)) {
		return;
	}
	unsigned line = 1, column = 1;
	for (uint32_t i = 0; i < at->start; i++) {
		line += text[i] == '\n';
		column = text[i] == '\n' ? 1 : column + 1;
	}
	(void)snprintf(ret, 40, " (%u:%u)", line, column);
}

static bool known(const char *const *list, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(list[i], text) == 0) {
			return true;
		}
	}
	return false;
}

/* Most are said again at every step: only what is new takes memory. */
static void add(struct det_eval *ev, bool warning, const char *text)
{
	struct det_annotations *a = &ev->sh->annotations;
	const char ***list = warning ? &a->warnings : &a->infos;
	size_t *n = warning ? &a->nwarnings : &a->ninfos;
	if (*n >= DET_ANNOTATIONS_MAX || known(*list, *n, text)) {
		return;
	}
	if (*list == NULL) {
		*list = ops_arena_array(ev->sh->arena, const char *, DET_ANNOTATIONS_MAX);
	}
	(*list)[(*n)++] = ops_arena_strdup(ev->sh->arena, text);
}

static void render(struct det_eval *ev, const struct ops_promql_expr *at, bool warning,
	const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

static void render(struct det_eval *ev, const struct ops_promql_expr *at, bool warning,
	const char *fmt, va_list ap)
{
	char text[1024], whole[1152], place[40];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	place_text(ev, at, place);
	(void)snprintf(
		whole, sizeof(whole), "PromQL %s: %s%s", warning ? "warning" : "info", text, place);
	add(ev, warning, whole);
}

void det_warn(struct det_eval *ev, const struct ops_promql_expr *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	render(ev, at, true, fmt, ap);
	va_end(ap);
}

void det_info(struct det_eval *ev, const struct ops_promql_expr *at, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	render(ev, at, false, fmt, ap);
	va_end(ap);
}
