/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* DNS messages (RFC 1035, 2782, 3596, 6891): one question out, records in. Pure functions. */
#include "common/base/def.h"

enum {
	COL_DNS_A = 1,
	COL_DNS_NS = 2,
	COL_DNS_MX = 15,
	COL_DNS_AAAA = 28,
	COL_DNS_SRV = 33,

	COL_DNS_NXDOMAIN = 3,

	COL_DNS_QUERY_MAX = 512,
	COL_DNS_NAME_MAX = 256, /* as text, with its NUL */
	COL_DNS_RECORDS_MAX = 4096
};

struct col_dns_record {
	char host[COL_DNS_NAME_MAX]; /* a name without its last dot, or an address */
	uint16_t port;		     /* SRV */
};

struct col_dns_answer {
	int rcode;
	bool truncated;
	struct col_dns_record *records; /* of the type that was asked for; owned */
	size_t n, cap;
};
void col_dns_answer_done(struct col_dns_answer *a);

/* -EINVAL: no name that DNS can ask for. */
int col_dns_query(const char *name, uint16_t type, uint16_t id, uint8_t ret[COL_DNS_QUERY_MAX],
	size_t *ret_len) OPS_MUST_CHECK;
/*
 * 0; -ENOMSG: it answers another question (or none of ours) and is to be ignored; -EBADMSG: it is
 * broken. *ret needs col_dns_answer_done() after 0 only.
 */
int col_dns_parse(const uint8_t *data, size_t len, const uint8_t *query, size_t query_len,
	struct col_dns_answer *ret) OPS_MUST_CHECK;
