/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "services/detector/rulecheck/rulecheck.h"
#include "services/detector/ruletest/ruletest.h"
#include "services/detector/service.h"
#include "services/detector/tsdb/tsdb.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--check-rules") == 0) {
		return det_rulecheck_main(argc - 1, argv + 1);
	}
	if (argc > 1 && strcmp(argv[1], "--test-rules") == 0) {
		return det_ruletest_main(argc - 1, argv + 1);
	}
	if (argc > 1 && strcmp(argv[1], "--tsdb") == 0) {
		return det_tsdb_main(argc - 1, argv + 1);
	}
	return ops_daemon_main(&det_service_table, argc, argv);
}
