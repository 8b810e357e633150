/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sockets that wait for others: "127.0.0.1:9093", ":9093" (both families), "[::1]:9093". Blocking
 * only where a host name has to be resolved: at start. */
#include "common/base/def.h"
#include "common/base/error.h"

/*
 * type: SOCK_STREAM (listening already) or SOCK_DGRAM. The descriptor is non-blocking and the
 * caller's. -EINVAL: the text is no address, -EADDRINUSE ...
 */
int ops_listen(const char *at, int type, int *ret_fd, struct ops_error *err) OPS_MUST_CHECK;
/* The port it has; the real one when 0 was asked for. */
unsigned ops_listen_port(int fd);
