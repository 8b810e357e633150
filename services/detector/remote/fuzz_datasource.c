/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes as an answer of a datasource. */
#include "services/detector/remote/datasource.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_arena a;
	struct det_result r;
	struct ops_error err = {0};

	ops_arena_init(&a);
	if (det_datasource_decode((const char *)data, size, &a, &r, &err) == 0)
		for (size_t i = 0; i < r.n; i++) {
			ops_assert(r.series[i].npoints == 1);
			for (uint32_t k = 1; k < r.series[i].nlabels; k++)
				ops_assert(strcmp(r.series[i].labels[k - 1].name,
						   r.series[i].labels[k].name) < 0);
		}
	else
		ops_assert(err.message[0] != '\0');
	ops_arena_done(&a);
	return 0;
}
