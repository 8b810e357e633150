/* SPDX-License-Identifier: Apache-2.0 */
#include "services/alertmanager/alm.h"

int main(int argc, char **argv)
{
	return ops_daemon_main(&alm_service, argc, argv);
}
