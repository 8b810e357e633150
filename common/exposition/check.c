/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One walk through the document with the scraper's parser; what a profile wants beyond it is asked
 * by a judge that sees each entry. So there is one reader of the syntax, and the scraper stays free
 * of checks that would cost it on every scrape.
 */
#include "common/exposition/check.h"

#include "common/exposition/check_internal.h"

static enum ops_exposition_format format_of(enum ops_exposition_profile profile)
{
	switch (profile) {
	case OPS_PROFILE_PROMETHEUS:
		return OPS_EXPOSITION_TEXT;
	case OPS_PROFILE_OPENMETRICS:
		return OPS_EXPOSITION_OPENMETRICS;
	case OPS_PROFILE_EXPFMT:
		return OPS_EXPOSITION_EXPFMT;
	}
	return OPS_EXPOSITION_TEXT;
}

/* The strict parser reads line by line: a last line without its end is one that was cut off. */
static int check_end(const struct ops_exposition *p, const char *data, struct ops_error *err)
{
	const char *end = p->end;
	while (end > data && (end[-1] == ' ' || end[-1] == '\t')) {
		end--;
	}
	if (end > data && end[-1] != '\n') {
		return ops_check_refuse(
			p, p->end, err, "the last line does not end with a line break");
	}
	return 0;
}

int ops_exposition_check(
	struct ops_exposition_check *c, const char *data, size_t len, struct ops_error *err)
{
	struct ops_exposition p;
	struct ops_om_judge om;
	struct ops_family_judge families;
	int r;
	bool openmetrics = c->profile == OPS_PROFILE_OPENMETRICS;
	ops_exposition_init(&p);
	ops_om_judge_init(&om);
	ops_family_judge_init(&families);
	families.strict = c->profile == OPS_PROFILE_EXPFMT;
	families.legacy_names = c->legacy_names;
	ops_exposition_start(&p, format_of(c->profile), data, len);
	c->samples = 0;
	while ((r = ops_exposition_next(&p, err)) > 0) {
		enum ops_exposition_entry kind = (enum ops_exposition_entry)r;
		c->samples += kind == OPS_ENTRY_SAMPLE;
		r = openmetrics ? ops_om_judge_entry(&om, &p, kind, err) : 0;
		r = r != 0 ? r : ops_family_judge_entry(&families, &p, kind, err);
		if (r != 0) {
			break;
		}
	}
	if (r == 0 && openmetrics) {
		r = ops_om_judge_end(&om, &p, err);
	} else if (r == 0 && families.strict) {
		r = check_end(&p, data, err);
	}
	if (r == 0 && c->on_lint != NULL) {
		ops_exposition_lint(c, &families);
	}
	ops_family_judge_done(&families);
	ops_om_judge_done(&om);
	ops_exposition_done(&p);
	return r;
}
