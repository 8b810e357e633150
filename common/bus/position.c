/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two slots of 32 bytes, written in turn; each has a generation and a checksum, the newer good one
 * counts. A crash in the middle of a write costs that slot, never both, so the position is replaced
 * atomically for the price of one pwrite.
 *
 * It is not synced: a position that falls back after a power cut repeats messages, which handlers
 * bear, and what they did with a message is theirs to make durable before they return. The page
 * cache survives SIGKILL.
 */
#include "common/bus/position.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/hash.h"
#include "common/base/text.h"

enum {
	SLOT_BYTES = 32
}; /* magic "OPSP", crc32c, generation, epoch, next */

struct ops_position {
	int fd;
	bool known;
	uint64_t generation, epoch, next;
};

static char *file_name(const char *consumer, const char *stream)
{
	char *name = ops_xasprintf("%s@%s.position", consumer, stream);

	for (char *slash = strchr(name, '/'); slash != NULL; slash = strchr(slash, '/'))
		*slash = '%';
	return name;
}

static bool decode_slot(const unsigned char *p, uint64_t ret[3])
{
	if (memcmp(p, "OPSP", 4) != 0 || ops_get_u32(p + 4) != ops_crc32c(0, p + 8, 24))
		return false;
	for (int i = 0; i < 3; i++)
		ret[i] = ops_get_u64(p + 8 + 8 * i);
	return ret[2] > 0 && ret[2] <= INT64_MAX;
}

bool ops_position_decode(const void *file, size_t len, uint64_t *ret_generation,
	uint64_t *ret_epoch, uint64_t *ret_next)
{
	const unsigned char *p = file;
	bool found = false;

	for (size_t at = 0; at + SLOT_BYTES <= OPS_MIN(len, OPS_POSITION_FILE_BYTES);
		at += SLOT_BYTES) {
		uint64_t slot[3];
		if (!decode_slot(p + at, slot) || (found && slot[0] <= *ret_generation))
			continue;
		*ret_generation = slot[0];
		*ret_epoch = slot[1];
		*ret_next = slot[2];
		found = true;
	}
	return found;
}

int ops_position_open(
	const char *dir, const char *consumer, const char *stream, struct ops_position **ret)
{
	OPS_CLEANUP(ops_freep) char *name = file_name(consumer, stream);
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, name);
	unsigned char file[OPS_POSITION_FILE_BYTES];
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	ssize_t n = pread(fd, file, sizeof(file), 0);
	if (n < 0) {
		int r = -errno;
		close(fd);
		return r;
	}
	struct ops_position *p = ops_xcalloc(1, sizeof(*p));
	p->fd = fd;
	p->known = ops_position_decode(file, (size_t)n, &p->generation, &p->epoch, &p->next);
	*ret = p;
	return 0;
}

void ops_position_close(struct ops_position *p)
{
	if (p == NULL)
		return;
	close(p->fd);
	free(p);
}

bool ops_position_get(const struct ops_position *p, uint64_t *ret_epoch, uint64_t *ret_next)
{
	if (!p->known)
		return false;
	*ret_epoch = p->epoch;
	*ret_next = p->next;
	return true;
}

int ops_position_put(struct ops_position *p, uint64_t epoch, uint64_t next)
{
	unsigned char slot[SLOT_BYTES];
	uint64_t generation = p->generation + 1;

	if (p->known && p->epoch == epoch && p->next == next)
		return 0;
	memcpy(slot, "OPSP", 4);
	ops_put_u64(slot + 8, generation);
	ops_put_u64(slot + 16, epoch);
	ops_put_u64(slot + 24, next);
	ops_put_u32(slot + 4, ops_crc32c(0, slot + 8, 24));
	ssize_t n = pwrite(p->fd, slot, sizeof(slot), (off_t)(generation % 2) * SLOT_BYTES);
	if (n != (ssize_t)sizeof(slot))
		return n < 0 ? -errno : -EIO;
	p->generation = generation;
	p->epoch = epoch;
	p->next = next;
	p->known = true;
	return 0;
}

void ops_position_prune(const char *dir, const char *consumer, int64_t max_age_ms)
{
	OPS_CLEANUP(ops_freep) char *prefix = ops_xasprintf("%s@", consumer);
	int64_t now_ms = ops_now_ms();
	DIR *d = opendir(dir);

	if (d == NULL)
		return;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
		struct stat st;
		if (!ops_str_starts(e->d_name, prefix) || !ops_str_ends(e->d_name, ".position") ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			continue;
		if (now_ms - (int64_t)st.st_mtim.tv_sec * 1000 > max_age_ms)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}
