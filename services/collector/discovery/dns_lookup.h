/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A question to the name servers of /etc/resolv.conf (or of the file that OPS_RESOLV_CONF names),
 * with its search list, without blocking. Loop thread only.
 */
#include "common/loop/loop.h"
#include "services/collector/discovery/dns_message.h"

struct col_dns_lookup; /* opaque; one question under way */

/*
 * fn is called once, not before this returns, unless cancelled: with an answer (which may have no
 * records: the name does not exist, or has none of this type), or NULL and why not.
 */
struct col_dns_lookup *col_dns_lookup_start(struct ops_loop *loop, const char *name, uint16_t type,
	void (*fn)(void *arg, const struct col_dns_answer *answer, const char *error), void *arg);
void col_dns_lookup_cancel(struct col_dns_lookup *l); /* NULL is fine */
