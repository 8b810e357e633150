/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a fuzz target the files of a corpus folder, each whole and cut at every length up to 64
 * and at random places, so that the ordinary test run covers what the fuzzer once found.
 */
#include "common/base/def.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(const char *data, size_t size)
{
	/* An exact-size copy, so that the sanitizer sees a read past the end. */
	uint8_t *copy = ops_xmalloc(size != 0 ? size : 1);
	if (size != 0) {
		memcpy(copy, data, size);
	}
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
}

static void feed_cuts(const struct ops_strbuf *file)
{
	size_t step = file->len > 256 ? file->len / 128 : 1;
	for (size_t cut = 0; cut < file->len; cut += cut < 64 ? 1 : step) {
		feed(file->data, cut);
	}
	feed(file->data, file->len);
}

int main(int argc, char **argv)
{
	feed("", 0);
	DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
	if (dir == NULL) {
		fprintf(stderr, "no corpus folder %s\n", argc > 1 ? argv[1] : "given");
		return 1;
	}
	int files = 0;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
		char *path = ops_path_join(argv[1], e->d_name);
		struct ops_strbuf file = OPS_STRBUF_INIT;
		if (e->d_name[0] != '.' && ops_file_read(path, (size_t)4 << 20, &file) == 0) {
			feed_cuts(&file);
			files++;
		}
		ops_strbuf_done(&file);
		free(path);
	}
	closedir(dir);
	printf("%d corpus files\n", files);
	return files > 0 ? 0 : 1;
}
