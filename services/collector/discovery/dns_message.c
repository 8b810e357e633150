/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer belongs to a query when it carries its id and repeats its question byte for byte (the
 * case of letters apart). Names may point back into the message: each jump must go to an earlier
 * place, so that a ring cannot be built. Records of other types (CNAME on the way, signatures) are
 * skipped.
 */
#include "services/collector/discovery/dns_message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
	HEADER = 12,
	LABEL_MAX = 63,
	UDP_SIZE = 1232, /* fits every path without fragments */
	OPT = 41,
	CLASS_IN = 1
};

void col_dns_answer_done(struct col_dns_answer *a)
{
	free(a->records);
	*a = (struct col_dns_answer){.n = 0};
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* ---- out ---- */

static int put_name(const char *name, uint8_t *out, size_t room, size_t *ret_len)
{
	size_t n = 0;
	for (const char *s = name; *s != '\0';) {
		size_t len = strcspn(s, ".");
		if (len == 0 || len > LABEL_MAX || n + len + 2 > room) {
			return -EINVAL;
		}
		out[n++] = (uint8_t)len;
		memcpy(out + n, s, len);
		n += len;
		s += len;
		s += *s == '.';
	}
	out[n++] = 0;
	*ret_len = n;
	return n <= 255 ? 0 : -EINVAL;
}

int col_dns_query(const char *name, uint16_t type, uint16_t id, uint8_t ret[COL_DNS_QUERY_MAX],
	size_t *ret_len)
{
	static const uint8_t opt[] = {0, 0, OPT, UDP_SIZE >> 8, UDP_SIZE & 0xff, 0, 0, 0, 0, 0, 0};
	size_t len = 0;
	memset(ret, 0, HEADER);
	put16(ret, id);
	ret[2] = 1;  /* recursion desired */
	ret[5] = 1;  /* one question */
	ret[11] = 1; /* one additional record: how much we can take */
	int r = put_name(name, ret + HEADER, 300, &len);
	if (r != 0 || len == 1) {
		return -EINVAL;
	}
	len += HEADER;
	put16(ret + len, type);
	put16(ret + len + 2, CLASS_IN);
	len += 4;
	memcpy(ret + len, opt, sizeof(opt));
	*ret_len = len + sizeof(opt);
	return 0;
}

/* ---- in ---- */

struct reader {
	const uint8_t *data;
	size_t len, at;
};

/* The name at r->at as text ("" for the root); r->at is behind it. */
static int get_name(struct reader *r, char ret[COL_DNS_NAME_MAX])
{
	size_t at = r->at, n = 0;
	bool jumped = false;
	for (;;) {
		if (at >= r->len) {
			return -EBADMSG;
		}
		unsigned len = r->data[at];
		if (len >= 0xc0) {
			if (at + 1 >= r->len) {
				return -EBADMSG;
			}
			size_t to = get16(r->data + at) & 0x3fff;
			r->at = jumped ? r->at : at + 2;
			jumped = true;
			if (to >= at) {
				return -EBADMSG;
			}
			at = to;
			continue;
		}
		if (len > LABEL_MAX || at + 1 + len > r->len || n + len + 2 > COL_DNS_NAME_MAX) {
			return -EBADMSG;
		}
		if (len == 0) {
			break;
		}
		if (n > 0) {
			ret[n++] = '.';
		}
		memcpy(ret + n, r->data + at + 1, len);
		n += len;
		at += 1 + len;
	}
	ret[n] = '\0';
	r->at = jumped ? r->at : at + 1;
	return strlen(ret) == n ? 0 : -EBADMSG;
}

static bool printable(const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s <= ' ' || *s >= 0x7f || strchr("/?#@[]:", *s) != NULL) {
			return false;
		}
	}
	return true;
}

/* The data of one record of the wanted type; false: nothing to keep. */
static bool get_record(struct reader r, unsigned type, size_t size, struct col_dns_record *ret)
{
	size_t skip = type == COL_DNS_SRV ? 6 : 2;
	*ret = (struct col_dns_record){.port = 0};
	switch (type) {
	case COL_DNS_A:
		return size == 4 &&
		       inet_ntop(AF_INET, r.data + r.at, ret->host, sizeof(ret->host)) != NULL;
	case COL_DNS_AAAA:
		return size == 16 &&
		       inet_ntop(AF_INET6, r.data + r.at, ret->host, sizeof(ret->host)) != NULL;
	case COL_DNS_NS:
		skip = 0;
		break;
	default:
		break;
	}
	if (size <= skip) {
		return false;
	}
	if (type == COL_DNS_SRV) {
		ret->port = (uint16_t)get16(r.data + r.at + 4);
	}
	r.at += skip;
	return get_name(&r, ret->host) == 0 && ret->host[0] != '\0' && printable(ret->host);
}

static int get_records(struct reader *r, unsigned count, unsigned type, struct col_dns_answer *to)
{
	char name[COL_DNS_NAME_MAX];
	for (unsigned i = 0; i < count; i++) {
		if (get_name(r, name) != 0 || r->len - r->at < 10) {
			return to->truncated ? 0 : -EBADMSG;
		}
		unsigned this_type = get16(r->data + r->at);
		size_t size = get16(r->data + r->at + 8);
		r->at += 10;
		if (size > r->len - r->at) {
			return to->truncated ? 0 : -EBADMSG;
		}
		struct col_dns_record record;
		if (this_type == type && to->n < COL_DNS_RECORDS_MAX &&
			get_record(*r, type, size, &record)) {
			OPS_GROW(to->records, to->n, to->cap);
			to->records[to->n++] = record;
		}
		r->at += size;
	}
	return 0;
}

static bool same_question(const uint8_t *a, const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		uint8_t x = a[i], y = b[i];
		x = x >= 'A' && x <= 'Z' ? (uint8_t)(x + 32) : x;
		y = y >= 'A' && y <= 'Z' ? (uint8_t)(y + 32) : y;
		if (x != y) {
			return false;
		}
	}
	return true;
}

int col_dns_parse(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len,
	struct col_dns_answer *ret)
{
	size_t question = query_len - HEADER - 11;
	if (len < HEADER + question || memcmp(data, query, 2) != 0 || (data[2] & 0x80) == 0 ||
		get16(data + 4) != 1 || !same_question(data + HEADER, query + HEADER, question)) {
		return -ENOMSG;
	}
	struct reader r = {data, len, HEADER + question};
	struct col_dns_answer answer = {
		.rcode = data[3] & 0x0f, .truncated = (data[2] & 0x02) != 0};
	unsigned type = get16(query + HEADER + question - 4);
	int rc = get_records(&r, get16(data + 6), type, &answer);
	if (rc != 0) {
		col_dns_answer_done(&answer);
		return rc;
	}
	*ret = answer;
	return 0;
}
