/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of the exposition formats: documents that a scraper takes or refuses, single lines and
 * whole documents with what is in them, and big payloads, where only the number of samples is
 * known.
 *
 * The OpenMetrics documents are for strict parsers, and the strict profile of the checker is asked;
 * the cases of the family-building parser are judged by its own.
 */
#include "tests/conformance/conformance.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/exposition/check.h"
#include "common/exposition/exposition.h"

static struct {
	size_t good, bad, bad_refused;
} score;

/* ---- what we read, as text ---- */

/* Values of these two labels are compared as numbers. */
static void add_label(struct ops_strbuf *out, const char *name, const char *value, size_t len)
{
	double bound;
	bool numeric = strcmp(name, "le") == 0 || strcmp(name, "quantile") == 0;
	ops_strbuf_addc(out, ' ');
	ops_strbuf_adds(out, name);
	ops_strbuf_addc(out, '=');
	if (numeric && ops_parse_double(value, len, &bound) == 0) {
		ops_strbuf_add_double(out, bound);
		return;
	}
	for (size_t i = 0; i < len; i++) { /* our label sets hold no NUL */
		ops_strbuf_add(out, value[i] != '\0' ? &value[i] : "\xef\xbf\xbd",
			value[i] != '\0' ? 1 : 3);
	}
}

static void add_number(struct ops_strbuf *out, double value, bool has_time, long long time_ms)
{
	ops_strbuf_addc(out, ' ');
	ops_strbuf_add_double(out, value);
	if (has_time) {
		ops_strbuf_printf(out, " @%lld", time_ms);
	}
	ops_strbuf_addc(out, '\n');
}

static void describe_sample(const struct ops_exposition *p, struct ops_strbuf *out)
{
	bool named = false;
	for (size_t i = 0; i < p->nlabels; i++) {
		const struct ops_label *l = &p->labels[i];
		OPS_CLEANUP(ops_freep) char *name = ops_xstrndup(l->name, l->name_len);
		if (!named && strcmp(name, OPS_LABEL_NAME) > 0) {
			add_label(out, OPS_LABEL_NAME, p->name.data, p->name.len);
			named = true;
		}
		add_label(out, name, l->value, l->value_len);
	}
	if (!named) {
		add_label(out, OPS_LABEL_NAME, p->name.data, p->name.len);
	}
	add_number(out, p->tail.value, p->tail.has_time, p->tail.time_ms);
}

static void describe(
	const struct ops_exposition *p, enum ops_exposition_entry kind, struct ops_strbuf *out)
{
	if (kind == OPS_ENTRY_SAMPLE) {
		describe_sample(p, out);
	} else if (kind == OPS_ENTRY_COMMENT) {
		ops_strbuf_adds(out, "comment\n");
	} else if (kind == OPS_ENTRY_TYPE) {
		ops_strbuf_printf(out, "type %.*s %s\n", (int)p->name.len, p->name.data,
			ops_series_type_text(p->type));
	} else {
		ops_strbuf_printf(out, "%s %.*s ", kind == OPS_ENTRY_HELP ? "help" : "unit",
			(int)p->name.len, p->name.data);
		ops_strbuf_add(out, p->text.data, p->text.len);
		ops_strbuf_addc(out, '\n');
	}
}

/* ---- what was wanted, as the same text ---- */

static void wanted_text(const json_t *e, const char *key, struct ops_strbuf *out)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	if (!conformance_text(e, key, &text)) {
		ops_strbuf_adds(&text, "?");
	}
	for (size_t i = 0; i < text.len; i++) {
		ops_strbuf_add(out, text.data[i] != '\0' ? &text.data[i] : "\xef\xbf\xbd",
			text.data[i] != '\0' ? 1 : 3);
	}
	ops_strbuf_done(&text);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void wanted_series(const json_t *e, struct ops_strbuf *out)
{
	const json_t *labels = json_object_get(e, "labels");
	const char *keys[64];
	size_t n = 0;
	void *it = json_object_iter(json_object_get(e, "labels"));
	for (; it != NULL && n < OPS_LENGTH(keys);
		it = json_object_iter_next(json_object_get(e, "labels"), it)) {
		keys[n++] = json_object_iter_key(it);
	}
	qsort(keys, n, sizeof(keys[0]), compare_keys);
	for (size_t i = 0; i < n; i++) {
		struct ops_strbuf value = OPS_STRBUF_INIT;
		wanted_text(labels, keys[i], &value);
		add_label(out, keys[i], ops_strbuf_text(&value), value.len);
		ops_strbuf_done(&value);
	}
	double value = 0;
	const json_t *time = json_object_get(e, "timestamp_ms");
	bool known = conformance_number(json_object_get(e, "value"), &value);
	add_number(out, known ? value : -1, time != NULL, json_integer_value(time));
}

static void wanted_entry(const json_t *e, struct ops_strbuf *out)
{
	const char *kind = json_string_value(json_object_get(e, "kind"));
	if (kind == NULL || strcmp(kind, "series") == 0) {
		wanted_series(e, out);
	} else if (strcmp(kind, "comment") == 0) {
		ops_strbuf_adds(out, "comment\n");
	} else {
		ops_strbuf_printf(out, "%s ", kind);
		wanted_text(e, "name", out);
		ops_strbuf_addc(out, ' ');
		wanted_text(e, kind, out);
		ops_strbuf_addc(out, '\n');
	}
}

/* ---- cases ---- */

static enum ops_exposition_format format_of(const json_t *c)
{
	const char *parser = json_string_value(json_object_get(c, "parser"));
	return parser != NULL && strcmp(parser, "openmetrics") == 0 ? OPS_EXPOSITION_OPENMETRICS
								    : OPS_EXPOSITION_TEXT;
}

/* Number of samples, or -1 with the refusal in err. out may be NULL. */
static long read_document(enum ops_exposition_format format, const struct ops_strbuf *body,
	struct ops_strbuf *out, struct ops_error *err)
{
	struct ops_exposition p;
	long samples = 0;
	int r;
	ops_exposition_init(&p);
	ops_exposition_start(&p, format, ops_strbuf_text(body), body->len);
	while ((r = ops_exposition_next(&p, err)) > 0) {
		samples += r == OPS_ENTRY_SAMPLE;
		if (out != NULL) {
			describe(&p, (enum ops_exposition_entry)r, out);
		}
	}
	ops_exposition_done(&p);
	return r < 0 ? -1 : samples;
}

static void run_verdict(struct conformance_run *run, const json_t *c, const struct ops_strbuf *body)
{
	struct ops_error err;
	char got[1200] = "accepted", text[1100];
	bool accepted = read_document(format_of(c), body, NULL, &err) >= 0;
	if (!accepted) {
		snprintf(got, sizeof(got), "refused: %s", ops_error_text(&err, text, sizeof(text)));
	}
	if (accepted == json_is_true(json_object_get(c, "accepted"))) {
		conformance_pass(run);
	} else {
		conformance_fail(run, c, got, accepted ? "refused" : "accepted");
	}
}

/* Lines of got that name ..._created belong to another series upstream: they are not listed. */
static bool next_line(const char **at, const char *wanted, struct ops_strbuf *ret)
{
	while (**at != '\0') {
		size_t len = strcspn(*at, "\n");
		ops_strbuf_reset(ret);
		ops_strbuf_add(ret, *at, len);
		*at += len + ((*at)[len] != '\0');
		if (strstr(ops_strbuf_text(ret), "_created ") == NULL ||
			strcmp(ops_strbuf_text(ret), wanted) == 0) {
			return true;
		}
	}
	return false;
}

static void run_document(
	struct conformance_run *run, const json_t *c, const struct ops_strbuf *body)
{
	struct ops_strbuf got = OPS_STRBUF_INIT, line = OPS_STRBUF_INIT, wanted = OPS_STRBUF_INIT;
	const json_t *entries = json_object_get(c, "entries");
	struct ops_error err;
	bool same = read_document(format_of(c), body, &got, &err) >= 0;
	const char *at = ops_strbuf_text(&got);
	for (size_t i = 0; same && i < json_array_size(entries); i++) {
		ops_strbuf_reset(&wanted);
		wanted_entry(json_array_get(entries, i), &wanted);
		const char *from = ops_strbuf_text(&wanted), *to = strrchr(from, '\n');
		OPS_CLEANUP(ops_freep) char *one = ops_xstrndup(from, (size_t)(to - from));
		for (const char *s = one; same; s++) { /* a help text may hold line breaks */
			size_t len = strcspn(s, "\n");
			OPS_CLEANUP(ops_freep) char *part = ops_xstrndup(s, len);
			same = next_line(&at, part, &line) &&
			       strcmp(ops_strbuf_text(&line), part) == 0;
			s += len;
			if (*s == '\0') {
				break;
			}
		}
	}
	if (same && *at == '\0') {
		conformance_pass(run);
	} else {
		conformance_fail(run, c, ops_strbuf_text(&line), ops_strbuf_text(&wanted));
	}
	ops_strbuf_done(&got);
	ops_strbuf_done(&line);
	ops_strbuf_done(&wanted);
}

static void run_line(struct conformance_run *run, const json_t *c)
{
	struct ops_strbuf body = OPS_STRBUF_INIT, got = OPS_STRBUF_INIT, wanted = OPS_STRBUF_INIT;
	struct ops_error err;
	bool read = conformance_text(c, "line", &body) &&
		    read_document(OPS_EXPOSITION_TEXT, &body, &got, &err) == 1;
	wanted_series(c, &wanted);
	conformance_equal(
		run, c, read ? ops_strbuf_text(&got) : "refused", ops_strbuf_text(&wanted));
	ops_strbuf_done(&body);
	ops_strbuf_done(&got);
	ops_strbuf_done(&wanted);
}

static bool read_beside(const char *path, const char *name, struct ops_strbuf *out)
{
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
	OPS_CLEANUP(ops_freep) char *whole = ops_path_join(dir, name);
	return ops_file_read(whole, (size_t)1 << 20, out) == 0;
}

static void run_strict(struct conformance_run *run, const json_t *c, bool good)
{
	struct ops_strbuf body = OPS_STRBUF_INIT;
	struct ops_error err;
	const char *file = json_string_value(json_object_get(c, "file"));
	if (file == NULL || !read_beside(run->path, file, &body)) {
		conformance_fail(run, c, "no such file", file != NULL ? file : "a file");
		return;
	}
	struct ops_exposition_check check = {.profile = OPS_PROFILE_OPENMETRICS};
	bool accepted = ops_exposition_check(&check, ops_strbuf_text(&body), body.len, &err) == 0;
	score.good += good;
	score.bad += !good;
	score.bad_refused += !good && !accepted;
	if (good == accepted) {
		conformance_pass(run);
	} else {
		conformance_fail(
			run, c, accepted ? "accepted" : err.message, good ? "accepted" : "refused");
	}
	ops_strbuf_done(&body);
}

/* ---- the family-building parser ---- */

static void run_strict_verdict(
	struct conformance_run *run, const json_t *c, const struct ops_strbuf *body)
{
	static const struct {
		const char *key;
		bool legacy_names;
	} rows[] = {{"accepted", false}, {"accepted_legacy_names", true}};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		const json_t *wanted = json_object_get(c, rows[i].key);
		struct ops_exposition_check check = {
			.profile = OPS_PROFILE_EXPFMT, .legacy_names = rows[i].legacy_names};
		struct ops_error err = {.line = 0};
		bool accepted =
			ops_exposition_check(&check, ops_strbuf_text(body), body->len, &err) == 0;
		if (wanted != NULL && accepted != json_is_true(wanted)) {
			conformance_fail(run, c, accepted ? "accepted" : err.message,
				accepted ? "refused" : "accepted");
			return;
		}
	}
	conformance_pass(run);
}

static void run_case(struct conformance_run *run, const json_t *file, const json_t *c)
{
	struct ops_strbuf body = OPS_STRBUF_INIT;
	(void)file;
	if (json_object_get(c, "should_parse") != NULL) {
		run_strict(run, c, json_is_true(json_object_get(c, "should_parse")));
	} else if (json_object_get(c, "line") != NULL) {
		run_line(run, c);
	} else if (!conformance_text(c, "input", &body)) {
		conformance_fail(run, c, "unknown form", "input");
	} else if (json_object_get(c, "accepted_legacy_names") != NULL ||
		   json_object_get(c, "families") != NULL) {
		run_strict_verdict(run, c, &body);
	} else if (json_object_get(c, "entries") != NULL) {
		run_document(run, c, &body);
	} else if (json_object_get(c, "accepted") != NULL) {
		run_verdict(run, c, &body);
	} else {
		conformance_fail(run, c, "unknown form", "accepted or entries");
	}
	ops_strbuf_done(&body);
}

static void summary(void)
{
	printf("strict OpenMetrics: %zu good, %zu bad of which %zu refused\n", score.good,
		score.bad, score.bad_refused);
}

const struct conformance_kind conformance_exposition = {
	.name = "exposition", .run_case = run_case, .summary = summary};

/* ---- payloads ---- */

static int run_payload(struct conformance_run *run)
{
	struct ops_strbuf body = OPS_STRBUF_INIT;
	struct ops_error err = {.line = 0};
	if (ops_file_read(run->path, (size_t)64 << 20, &body) != 0) {
		fprintf(stderr, "%s: could not read it\n", run->path);
		return -1;
	}
	enum ops_exposition_format format = strstr(run->path, ".om.") != NULL
						    ? OPS_EXPOSITION_OPENMETRICS
						    : OPS_EXPOSITION_TEXT;
	long wanted = 0, got = read_document(format, &body, NULL, &err);
	const char *s = ops_strbuf_text(&body);
	while (*s != '\0') {
		size_t len = strcspn(s, "\n"), blanks = strspn(s, " \t");
		wanted += blanks < len && s[blanks] != '#';
		s += len + (s[len] != '\0');
	}
	if (got == wanted) {
		run->passed++;
	} else {
		printf("%s: %ld samples of %ld; line %d: %s\n", run->path, got, wanted, err.line,
			got < 0 ? err.message : "");
		run->failed++;
	}
	ops_strbuf_done(&body);
	return 0;
}

const struct conformance_kind conformance_exposition_payload = {
	.name = "exposition_payload", .run_file = run_payload};
