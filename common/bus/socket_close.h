/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * nng_close() with a limit. In nng before 1.7.3 it waits for ever in rare races of its pipes (nng's
 * issue #1543; seen with 1.5.2 in one of some hundred closes on a busy machine): on the loop's
 * thread that would be a service that neither works nor ends.
 */
#include <nng/nng.h>

#include "common/base/def.h"

/*
 * Waits limit_ms at most; the close runs on a thread of its own. False: it is not over. The socket
 * is abandoned then: nng may still call its callbacks, so what they use must stay where it is until
 * the process ends.
 */
bool ops_nng_close_within(nng_socket s, int limit_ms) OPS_MUST_CHECK;
