/* SPDX-License-Identifier: Apache-2.0 */
#include "services/collector/service.h"

int main(int argc, char **argv)
{
	return ops_daemon_main(&col_service_table, argc, argv);
}
