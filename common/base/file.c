/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durability in one place: data is synced before the rename makes it visible, and the directory is
 * synced after it, because POSIX promises neither order. A temporary file left by a crash is
 * overwritten by the next write. Opened non-blocking so that a FIFO in a configuration directory
 * cannot hang the loop.
 */
#include "common/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/strbuf.h"

enum {
	READ_BYTES = 64 * 1024,
	SECRET_LIMIT_BYTES = 64 * 1024
};

void ops_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int read_limited(int fd, size_t limit_bytes, struct ops_strbuf *out)
{
	size_t start = out->len;

	for (;;) {
		/* One byte more than allowed tells "exactly full" from "too big". */
		size_t left = limit_bytes - (out->len - start);
		size_t want = left < READ_BYTES ? left + 1 : READ_BYTES;
		ops_strbuf_reserve(out, want);
		ssize_t n = read(fd, out->data + out->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if ((size_t)n > left)
			return -EFBIG;
		out->len += (size_t)n;
	}
}

int ops_file_read(const char *path, size_t limit_bytes, struct ops_strbuf *out)
{
	OPS_CLEANUP(ops_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	size_t before = out->len;
	int r = read_limited(fd, limit_bytes, out);
	if (r != 0)
		out->len = before;
	if (out->data != NULL)
		out->data[out->len] = '\0';
	return r;
}

int ops_file_read_secret(const char *path, char **ret)
{
	struct ops_strbuf text = OPS_STRBUF_INIT;
	int r = ops_file_read(path, SECRET_LIMIT_BYTES, &text);

	while (r == 0 && text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
		text.data[--text.len] = '\0';
	/* A NUL inside would silently shorten the secret for every C caller. */
	if (r == 0 && (text.len == 0 || strlen(text.data) != text.len))
		r = -EINVAL;
	if (r == 0)
		*ret = ops_strbuf_take(&text);
	if (text.data != NULL)
		explicit_bzero(text.data, text.cap);
	ops_strbuf_done(&text);
	return r;
}

int ops_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_synced(const char *path, const void *data, size_t len, unsigned mode)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
	OPS_CLEANUP(ops_closep) int fd = open(path, flags, (mode_t)mode);

	if (fd < 0)
		return -errno;
	/* A temporary file from before a crash may have another mode, and umask is not ours to
	 * know. */
	if (fchmod(fd, (mode_t)mode) != 0)
		return -errno;
	int r = ops_write_all(fd, data, len);
	if (r == 0 && fdatasync(fd) != 0)
		r = -errno;
	return r;
}

int ops_file_write_atomic(const char *path, const void *data, size_t len, unsigned mode)
{
	OPS_CLEANUP(ops_freep) char *temporary = ops_xasprintf("%s.tmp", path);
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(path);
	int r = write_synced(temporary, data, len, mode);

	if (r == 0 && rename(temporary, path) != 0)
		r = -errno;
	if (r != 0) {
		unlink(temporary);
		return r;
	}
	return ops_dir_sync(dir);
}

static int make_dir(const char *path, unsigned mode)
{
	struct stat st;

	if (mkdir(path, (mode_t)mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	if (stat(path, &st) != 0)
		return -errno;
	return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int ops_mkdir_p(const char *path, unsigned mode)
{
	OPS_CLEANUP(ops_freep) char *part = ops_xstrdup(path);

	if (path[0] == '\0')
		return -EINVAL;
	for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		int r = make_dir(part, mode);
		if (r != 0)
			return r;
		*slash = '/';
	}
	return make_dir(part, mode);
}

int ops_dir_sync(const char *path)
{
	OPS_CLEANUP(ops_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) != 0 ? -errno : 0;
}

char *ops_path_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);

	if (name[0] == '/' || len == 0)
		return ops_xstrdup(name);
	return ops_xasprintf("%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", name);
}

char *ops_path_dir(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return ops_xstrdup(".");
	return ops_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}
