/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an OTLP request in both encodings; what is decoded keeps its bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "services/collector/receive/otlp_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct col_otlp_request *q)
{
	size_t points = 0;
	for (size_t i = 0; i < q->nresources; i++) {
		for (size_t k = 0; k < q->resources[i].nmetrics; k++) {
			points += q->resources[i].metrics[k].npoints;
			if (q->resources[i].metrics[k].name == NULL) {
				abort();
			}
		}
	}
	if (points != q->npoints) {
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int json = 0; json < 2; json++) {
		struct ops_arena arena;
		struct ops_error err;
		struct col_otlp_request request = {.arena = &arena};
		ops_arena_init(&arena);
		int r = json ? col_otlp_from_json(&request, (const char *)data, size, &err)
			     : col_otlp_from_proto(&request, data, size, &err);
		if (r == 0) {
			check(&request);
		}
		ops_arena_done(&arena);
	}
	return 0;
}
