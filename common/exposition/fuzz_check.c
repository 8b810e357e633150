/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte chooses the profile. Whatever the document, the verdict has a place or a count. */
#include <stdint.h>
#include <string.h>

#include "common/exposition/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_lint(void *arg, const char *metric, const char *problem)
{
	size_t *n = arg;
	*n += strlen(metric) + strlen(problem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum ops_exposition_profile profiles[] = {
		OPS_PROFILE_PROMETHEUS, OPS_PROFILE_OPENMETRICS, OPS_PROFILE_EXPFMT};
	size_t told = 0;
	if (size == 0) {
		return 0;
	}
	struct ops_exposition_check c = {.profile = profiles[data[0] % OPS_LENGTH(profiles)],
		.legacy_names = data[0] > 127,
		.on_lint = on_lint,
		.arg = &told};
	struct ops_error err = {.line = 0};
	/* an exact copy: reading one byte too far must be seen */
	char *text = ops_xmalloc(size);
	memcpy(text, data + 1, size - 1);
	text = ops_xrealloc(text, size > 1 ? size - 1 : 1, 1);
	if (ops_exposition_check(&c, text, size - 1, &err) != 0) {
		ops_assert(err.line > 0 && err.column > 0 && err.message[0] != '\0');
	}
	free(text);
	return 0;
}
