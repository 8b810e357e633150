/* SPDX-License-Identifier: Apache-2.0 */
#include "services/auditlog/auditlog.h"

int main(int argc, char **argv)
{
	return ops_daemon_main(&aud_service_table, argc, argv);
}
