/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quoted texts without escapes are borrowed from the document; others are unescaped into one buffer
 * per line, and the pointers to them are set when the line's last label has been read, since the
 * buffer moves while it grows.
 */
#include <errno.h>
#include <string.h>

#include "common/base/text.h"
#include "common/exposition/parser_internal.h"

#define FAIL OPS_EXPOSITION_FAIL

__extension__ const unsigned char ops_exposition_classes[256] = {
	['a' ... 'z'] = IN_LABEL | IN_METRIC,
	['A' ... 'Z'] = IN_LABEL | IN_METRIC,
	['0' ... '9'] = IN_LABEL | IN_METRIC | DIGIT,
	['_'] = IN_LABEL | IN_METRIC,
	[':'] = IN_METRIC,
	['"'] = ENDS_QUOTED,
	['\\'] = ENDS_QUOTED,
	['\n'] = ENDS_QUOTED,
	['\0'] = ENDS_QUOTED,
};

/* Unescapes [from, to) behind what is in out. NUL becomes U+FFFD. */
void ops_quoted_unescape(struct ops_strbuf *out, const char *from, const char *to, bool quotes)
{
	for (; from < to; from++) {
		if (*from == '\0') {
			ops_strbuf_adds(out, "\xef\xbf\xbd");
			continue;
		}
		if (*from == '\\' && from + 1 < to) {
			char next = from[1];
			if (next == 'n' || next == '\\' || (quotes && next == '"')) {
				ops_strbuf_addc(out, next == 'n' ? '\n' : next);
				from++;
				continue;
			}
		}
		ops_strbuf_addc(out, *from);
	}
}

/* Escapes that mean nothing stay as they are, except for the strict reader. */
bool ops_quoted_escapes_known(const char *from, const char *to, bool quotes)
{
	for (; from < to; from++) {
		if (*from != '\\') {
			continue;
		}
		from++;
		bool known =
			from < to && (*from == 'n' || *from == '\\' || (quotes && *from == '"'));
		if (!known) {
			return false;
		}
	}
	return true;
}

#define EVERY_BYTE(c) (0x0101010101010101ULL * (c))

/* Whether the next eight bytes are ASCII and none of them ends a scan. */
static inline bool ordinary(const char *s)
{
	uint64_t v;
	memcpy(&v, s, sizeof(v));
	uint64_t quote = v ^ EVERY_BYTE('"'), escape = v ^ EVERY_BYTE('\\');
	uint64_t line = v ^ EVERY_BYTE('\n');
	/* a byte that is zero borrows into its top bit; bytes below 0x80 have none of their own */
	uint64_t found = (quote - EVERY_BYTE(1)) | (escape - EVERY_BYTE(1)) |
			 (line - EVERY_BYTE(1)) | (v - EVERY_BYTE(1)) | v;
	return (found & EVERY_BYTE(0x80)) == 0;
}

/* at stands on the opening quote and is moved behind the closing one. */
int ops_quoted_scan(
	struct ops_exposition *p, struct ops_quoted *ret, const char *wanted, struct ops_error *err)
{
	const char *c = p->at + 1, *end = p->end;
	unsigned char high = 0;
	bool plain = true;
	for (;; c++) {
		while (end - c >= 8 && ordinary(c)) {
			c += 8;
		}
		while (c < end && (ops_exposition_classes[(unsigned char)*c] & ENDS_QUOTED) == 0) {
			high |= (unsigned char)*c++;
		}
		if (c >= end || *c == '"' || *c == '\n') {
			break;
		}
		plain = false;
		c += *c == '\\' && c + 1 < end && c[1] != '\n';
	}
	if (c >= end || *c != '"') {
		return FAIL(p, p->at, "%s has no closing quote", wanted);
	}
	ret->from = p->at + 1;
	ret->to = c;
	ret->plain = plain;
	bool ascii = plain && high < 0x80;
	if (!ascii && !ops_utf8_valid(ret->from, (size_t)(ret->to - ret->from))) {
		return FAIL(p, p->at, "%s is not valid UTF-8", wanted);
	}
	if (p->format == OPS_EXPOSITION_EXPFMT && !plain &&
		!ops_quoted_escapes_known(ret->from, ret->to, true)) {
		return FAIL(p, p->at, "%s has an unknown escape", wanted);
	}
	p->at = c + 1;
	return 0;
}

/* Sets *slot and *len; a text that needs unescaping is set later, by ops_quoted_settle(). */
void ops_quoted_keep(
	struct ops_exposition *p, const struct ops_quoted *q, const char **slot, size_t *len)
{
	*slot = q->from;
	*len = (size_t)(q->to - q->from);
	if (q->plain) {
		return;
	}
	size_t offset = p->scratch.len;
	ops_quoted_unescape(&p->scratch, q->from, q->to, true);
	OPS_GROW(p->fixups, p->nfixups, p->cap_fixups);
	p->fixups[p->nfixups++] = (struct ops_exposition_fixup){slot, offset};
	*len = p->scratch.len - offset;
}

void ops_quoted_settle(struct ops_exposition *p)
{
	for (size_t i = 0; i < p->nfixups; i++) {
		*p->fixups[i].slot = p->scratch.data + p->fixups[i].offset;
	}
	p->nfixups = 0;
}
