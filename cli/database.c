/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which database, as whom. The password goes to libpq by PGPASSWORD of this process: a secret that
 * is mounted into a container is readable by its group, which libpq's own passfile refuses.
 */
#include "cli/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/pg/pg_sync.h"

static const char *flag_or_env(const struct ctl *c, const char *flag, const char *variable)
{
	const char *value = ctl_flag(c, flag) != NULL ? ctl_flag(c, flag) : getenv(variable);
	return value != NULL && value[0] != '\0' ? value : NULL;
}

int ctl_database(const struct ctl *c, const char **ret_conninfo)
{
	*ret_conninfo = flag_or_env(c, "database", "OPS_DATABASE");
	if (*ret_conninfo == NULL) {
		return ctl_usage(c, "which database? --database 'host=... dbname=... user=...' or "
				    "OPS_DATABASE");
	}
	const char *file = flag_or_env(c, "password-file", "OPS_DATABASE_PASSWORD_FILE");
	if (file == NULL) {
		return CTL_OK;
	}
	OPS_CLEANUP(ops_freep) char *password = NULL;
	int rc = ops_file_read_secret(file, &password);
	if (rc != 0) {
		return ctl_fail(
			CTL_CONFIG, "could not read password file %s: %s", file, strerror(-rc));
	}
	setenv("PGPASSWORD", password, 1);
	explicit_bzero(password, strlen(password));
	return CTL_OK;
}

int ctl_database_open(const struct ctl *c, struct ops_pg_sync **ret)
{
	const char *conninfo = NULL;
	struct ops_error err;
	int code = ctl_database(c, &conninfo);
	if (code == CTL_OK && ops_pg_sync_open(conninfo, ret, &err) != 0) {
		return ctl_fail_error(CTL_UNREACHABLE, &err);
	}
	return code;
}
