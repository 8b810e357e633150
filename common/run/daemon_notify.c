/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sd_notify(3) by hand: one datagram to the socket named by NOTIFY_SOCKET ('@' first means the
 * abstract name space). Not worth a library. Failure to notify is ignored: the manager will notice
 * by its own time-out.
 */
#include "common/run/daemon.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/text.h"

void ops_daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};

	if (path == NULL || (path[0] != '/' && path[0] != '@') ||
		strlen(path) >= sizeof(to.sun_path))
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	OPS_CLEANUP(ops_closep) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
			       len) < 0)
		return;
}
