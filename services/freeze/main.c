/* SPDX-License-Identifier: Apache-2.0 */
#include "services/freeze/service.h"

int main(int argc, char **argv)
{
	return ops_daemon_main(&frz_service_table, argc, argv);
}
