/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A head file is as long as its mapping from the start: the bytes behind the last segment are a
 * hole, which reads as zeros and ends a scan. Bytes are written with pwrite() and read through the
 * mapping, which is coherent on Linux; a full disk is an error of pwrite(), never a signal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/number.h"
#include "services/detector/store/disk.h"

#define HEAD_BYTES ((size_t)64 << 20)
#define PAGE ((size_t)4096)

void det_head_close(struct det_head_file *f)
{
	if (f == NULL) {
		return;
	}
	if (f->fd >= 0) {
		(void)close(f->fd);
	}
	free(f->path);
	free(f);
}

static int map(struct det_head_file *f)
{
	void *p = mmap(NULL, f->cap, PROT_READ, MAP_SHARED, f->fd, 0);
	if (p == MAP_FAILED) {
		return -errno;
	}
	f->map = p;
	return 0;
}

struct det_head_file *det_head_create(const char *dir, uint64_t number, size_t room, int *ret_rc)
{
	struct det_head_file *f = ops_xcalloc(1, sizeof(*f));
	f->number = number;
	f->path = det_disk_path(dir, "head", number);
	f->cap = OPS_MAX(HEAD_BYTES, (room + PAGE) / PAGE * PAGE);
	f->last_ms = INT64_MIN;
	f->fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	*ret_rc = f->fd < 0 ? -errno : 0;
	if (*ret_rc == 0 && ftruncate(f->fd, (off_t)f->cap) != 0) {
		*ret_rc = -errno;
	}
	if (*ret_rc == 0) {
		*ret_rc = map(f);
	}
	if (*ret_rc != 0) {
		if (f->fd >= 0) {
			(void)unlink(f->path);
		}
		det_head_close(f);
		return NULL;
	}
	return f;
}

struct det_head_file *det_head_map(const char *path, uint64_t number, int *ret_rc)
{
	struct det_head_file *f = ops_xcalloc(1, sizeof(*f));
	struct stat st = {0};
	f->number = number;
	f->path = ops_xstrdup(path);
	f->last_ms = INT64_MIN;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	*ret_rc = f->fd < 0 || fstat(f->fd, &st) != 0 ? -errno : 0;
	if (*ret_rc == 0 && st.st_size == 0) {
		*ret_rc = -ENODATA;
	}
	if (*ret_rc == 0) {
		f->cap = (size_t)st.st_size;
		f->used = f->cap; /* nothing is appended to it */
		*ret_rc = map(f);
	}
	if (*ret_rc != 0) {
		det_head_close(f);
		return NULL;
	}
	return f;
}

const uint8_t *det_head_append(struct det_head_file *f, const void *data, size_t len, int *ret_rc)
{
	*ret_rc = 0;
	if (len > f->cap - f->used) {
		return NULL;
	}
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(
			f->fd, (const char *)data + done, len - done, (off_t)(f->used + done));
		if (n < 0 && errno == EINTR) {
			continue;
		}
		if (n <= 0) {
			*ret_rc = n < 0 ? -errno : -ENOSPC;
			return NULL;
		}
		done += (size_t)n;
	}
	const uint8_t *at = f->map + f->used;
	f->used += len;
	return at;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

int det_disk_list(const char *dir, const char *kind, uint64_t **ret, size_t *ret_n)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/%s", dir, kind);
	DIR *d = opendir(path);
	size_t cap = 0;
	*ret = NULL;
	*ret_n = 0;
	if (d == NULL) {
		return errno == ENOENT ? 0 : -errno;
	}
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		uint64_t number;
		if (strlen(e->d_name) == 8 && ops_parse_u64(e->d_name, 8, &number) == 0) {
			OPS_GROW(*ret, *ret_n, cap);
			(*ret)[(*ret_n)++] = number;
		}
	}
	closedir(d);
	if (*ret_n != 0) {
		qsort(*ret, *ret_n, sizeof(**ret), compare_numbers);
	}
	return 0;
}
