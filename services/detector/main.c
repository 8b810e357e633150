/* SPDX-License-Identifier: Apache-2.0 */
#include "services/detector/service.h"

int main(int argc, char **argv)
{
	return ops_daemon_main(&det_service_table, argc, argv);
}
