/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Files and directories with the durability rules in one place. All return 0 or -errno. */
#include "common/base/def.h"

struct ops_strbuf;

void ops_closep(int *fd); /* for OPS_CLEANUP; ignores -1 */
/* Reads a regular file of at most limit_bytes: -EFBIG above. */
int ops_file_read(const char *path, size_t limit_bytes, struct ops_strbuf *out) OPS_MUST_CHECK;
/* Secret or token file: trailing white space removed, -EINVAL when empty. */
int ops_file_read_secret(const char *path, char **ret) OPS_MUST_CHECK;
/* Writes path.tmp, fdatasync, rename, fsync of the directory: readers see the old or the new
 * content, never a mix. */
int ops_file_write_atomic(
	const char *path, const void *data, size_t len, unsigned mode) OPS_MUST_CHECK;
int ops_write_all(int fd, const void *data, size_t len) OPS_MUST_CHECK;
int ops_mkdir_p(const char *path, unsigned mode) OPS_MUST_CHECK;
int ops_dir_sync(const char *path) OPS_MUST_CHECK;
/* dir + "/" + name unless name is absolute. Release with free(). */
char *ops_path_join(const char *dir, const char *name) OPS_MUST_CHECK;
/* Directory of path ("." when it has none). Release with free(). */
char *ops_path_dir(const char *path) OPS_MUST_CHECK;
