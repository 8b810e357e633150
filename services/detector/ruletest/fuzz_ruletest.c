/* SPDX-License-Identifier: Apache-2.0 */
/* A test file is outside input: it is read, or refused with a message. */
#include "services/detector/ruletest/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct det_ruletest_report report = {.file = "f.yml"};
	struct det_ruletest_file file;
	struct ops_error err = {.line = 0};
	ops_arena_init(&report.arena);
	if (det_ruletest_load_text(&report, "f.yml", (const char *)data, size, &file, &err) == 0) {
		det_ruletest_file_done(&file);
	} else {
		ops_assert(err.message[0] != '\0');
	}
	det_ruletest_report_done(&report);
	return 0;
}
