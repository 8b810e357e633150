/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is cut at its bars; the part before the first one is name and values, cut at the first
 * colon, the others are recognised by their first byte in any order, as senders differ. A part that
 * is not known is skipped (timestamps, container ids), so that newer senders work; a part that is
 * known and malformed refuses the line, because guessing would store a wrong number.
 */
#include "services/collector/receive/statsd_line.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "common/base/number.h"
#include "common/base/text.h"

static bool cut(struct col_statsd_text *rest, char at, struct col_statsd_text *ret)
{
	const char *p = rest->len > 0 ? memchr(rest->s, at, rest->len) : NULL;
	if (p == NULL) {
		*ret = *rest;
		*rest = (struct col_statsd_text){rest->s + rest->len, 0};
		return false;
	}
	size_t n = (size_t)(p - rest->s);
	*ret = (struct col_statsd_text){rest->s, n};
	*rest = (struct col_statsd_text){p + 1, rest->len - n - 1};
	return true;
}

static int refuse(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* Tags separated by commas; between name and value stands `by`. A tag without it is a flag. */
static int read_tags(struct col_statsd_text text, char by, struct col_statsd_event *e)
{
	while (text.len > 0) {
		struct col_statsd_text tag, name;
		(void)cut(&text, ',', &tag);
		if (tag.len == 0) {
			continue;
		}
		bool valued = cut(&tag, by, &name);
		if (name.len == 0 || e->ntags == COL_STATSD_MAX_TAGS) {
			return -EINVAL;
		}
		e->tag_names[e->ntags] = name;
		e->tag_values[e->ntags++] = valued ? tag : (struct col_statsd_text){"true", 4};
	}
	return 0;
}

static int read_name(struct col_statsd_text text, struct col_statsd_event *e)
{
	size_t n = 0;
	while (n < text.len && text.s[n] != ',' && text.s[n] != '#') {
		n++;
	}
	e->name = (struct col_statsd_text){text.s, n};
	if (n == 0 || !ops_utf8_valid(text.s, text.len) || memchr(text.s, '\0', text.len) != NULL) {
		return -EINVAL;
	}
	if (n == text.len) {
		return 0;
	}
	return read_tags((struct col_statsd_text){text.s + n + 1, text.len - n - 1}, '=', e);
}

static int read_type(struct col_statsd_text text, enum col_statsd_type *ret)
{
	static const struct {
		const char *text;
		enum col_statsd_type type;
	} types[] = {{"c", COL_STATSD_COUNTER}, {"g", COL_STATSD_GAUGE}, {"ms", COL_STATSD_TIMER},
		{"h", COL_STATSD_HISTOGRAM}, {"d", COL_STATSD_HISTOGRAM}, {"s", COL_STATSD_SET}};
	for (size_t i = 0; i < OPS_LENGTH(types); i++) {
		if (strlen(types[i].text) == text.len &&
			memcmp(types[i].text, text.s, text.len) == 0) {
			*ret = types[i].type;
			return 0;
		}
	}
	return -EINVAL;
}

static int read_value(struct col_statsd_text text, struct col_statsd_event *e)
{
	if (text.len == 0 || e->nvalues == COL_STATSD_MAX_VALUES) {
		return -EINVAL;
	}
	e->members[e->nvalues] = text;
	e->relative[e->nvalues] = text.s[0] == '+' || text.s[0] == '-';
	double v = 0;
	if (e->type != COL_STATSD_SET &&
		(ops_parse_double(text.s, text.len, &v) != 0 || !isfinite(v))) {
		return -EINVAL;
	}
	if (v < 0 && (e->type == COL_STATSD_COUNTER || e->type == COL_STATSD_TIMER)) {
		return -EINVAL; /* a counter never falls, time never runs back */
	}
	e->values[e->nvalues++] = v;
	return 0;
}

static int read_values(struct col_statsd_text text, struct col_statsd_event *e)
{
	if (e->type == COL_STATSD_SET) {
		return read_value(text, e); /* a member may hold colons */
	}
	struct col_statsd_text value;
	bool more = true;
	while (more) {
		more = cut(&text, ':', &value);
		if (read_value(value, e) != 0) {
			return -EINVAL;
		}
	}
	return 0;
}

static int read_part(struct col_statsd_text part, struct col_statsd_event *e, const char **ret_why)
{
	if (part.len > 0 && part.s[0] == '@') {
		int r = ops_parse_double(part.s + 1, part.len - 1, &e->rate);
		return r == 0 && e->rate > 0 && e->rate <= 1 ? 0 : refuse(ret_why, "rate");
	}
	if (part.len > 0 && part.s[0] == '#') {
		int r = ops_utf8_valid(part.s, part.len) && memchr(part.s, '\0', part.len) == NULL
				? read_tags((struct col_statsd_text){part.s + 1, part.len - 1}, ':',
					  e)
				: -EINVAL;
		return r == 0 ? 0 : refuse(ret_why, "tags");
	}
	return 0;
}

int col_statsd_parse(
	const char *line, size_t len, struct col_statsd_event *ret, const char **ret_why)
{
	struct col_statsd_text rest = {line, len}, head, name, type;

	ret->ntags = ret->nvalues = 0;
	ret->rate = 1;
	if (len >= 3 && line[0] == '_' && (line[1] == 'e' || line[1] == 's') &&
		(line[2] == '{' || line[2] == 'c')) {
		return 1;
	}
	if (!cut(&rest, '|', &head) || !cut(&head, ':', &name)) {
		return refuse(ret_why, "line");
	}
	bool more = cut(&rest, '|', &type);
	if (read_name(name, ret) != 0) {
		return refuse(ret_why, "name");
	}
	if (read_type(type, &ret->type) != 0) {
		return refuse(ret_why, "type");
	}
	if (read_values(head, ret) != 0) {
		return refuse(ret_why, "value");
	}
	while (more) {
		struct col_statsd_text part;
		more = cut(&rest, '|', &part);
		if (read_part(part, ret, ret_why) != 0) {
			return -EINVAL;
		}
	}
	return 0;
}
