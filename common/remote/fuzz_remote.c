/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first byte says as what the rest is read: a request of remote write 1.0 or 2.0, one of remote
 * read, a snappy block, or a Content-Type. What a write request delivers is encoded in the other
 * version and must be accepted there.
 */
#include "common/remote/write.h"

#include <string.h>

#include "common/remote/histogram.h"
#include "common/remote/read.h"
#include "common/remote/snappy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes and is valid must come back from its own message. */
static void decode_histogram(const struct ops_remote_histogram *message)
{
	struct ops_arena a;
	struct ops_histogram h, again;
	struct ops_strbuf b = OPS_STRBUF_INIT;

	ops_arena_init(&a);
	if (ops_remote_histogram_decode(message, &a, &h) == 0 &&
		ops_histogram_validate(&h, NULL) == 0) {
		ops_remote_histogram_encode(&h, message->time_ms, &b);
		ops_assert(ops_remote_histogram_decode(
				   &(struct ops_remote_histogram){
					   .data = (const uint8_t *)b.data, .len = b.len},
				   &a, &again) == 0);
		ops_assert(ops_histogram_equal(&h, &again));
	}
	ops_strbuf_done(&b);
	ops_arena_done(&a);
}

static int write_again(void *arg, const struct ops_remote_series *s)
{
	for (size_t i = 1; i < s->nlabels && s->flaw == NULL; i++)
		ops_assert(s->labels[i].value_len > 0);
	for (size_t i = 0; i < s->nhistograms; i++)
		decode_histogram(&s->histograms[i]);
	if (s->flaw == NULL)
		ops_remote_writer_series(arg, s);
	return 0;
}

static int count(void *arg, const struct ops_remote_series *s)
{
	ops_assert(s->flaw == NULL);
	++*(size_t *)arg;
	return 0;
}

static void read_write(const uint8_t *data, size_t size, enum ops_remote_version version)
{
	struct ops_remote_writer w;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err = {0};
	size_t n = 0;
	const struct ops_remote_sink first = {.on_series = write_again, .arg = &w};
	const struct ops_remote_sink second = {.on_series = count, .arg = &n};

	ops_remote_writer_init(&w, version == OPS_REMOTE_1 ? OPS_REMOTE_2 : OPS_REMOTE_1);
	if (ops_remote_write_decode(version, data, size, &first, &err) == 0) {
		ops_remote_writer_finish(&w, &out);
		ops_assert(
			ops_remote_write_decode(w.version, out.data, out.len, &second, &err) == 0);
		ops_assert(n == w.nseries);
	} else {
		ops_assert(err.message[0] != '\0');
	}
	ops_remote_writer_done(&w);
	ops_strbuf_done(&out);
}

static void read_read(const uint8_t *data, size_t size)
{
	struct ops_arena a;
	struct ops_remote_read r;
	struct ops_error err = {0};

	ops_arena_init(&a);
	if (ops_remote_read_decode(data, size, &a, &r, &err) == 0)
		ops_remote_read_done(&r);
	else
		ops_assert(err.message[0] != '\0');
	ops_arena_done(&a);
}

static void read_block(const uint8_t *data, size_t size)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err;

	if (ops_snappy_decode(data, size, 1 << 20, &out, &err) == 0)
		ops_assert(out.len <= 1 << 20);
	ops_strbuf_done(&out);
}

static void read_type(const uint8_t *data, size_t size)
{
	char *text = ops_xstrndup((const char *)data, size);
	enum ops_remote_version v = OPS_REMOTE_1;

	if (ops_remote_content_type(text, &v) == 0)
		ops_assert(v == OPS_REMOTE_1 || v == OPS_REMOTE_2);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0] % 5) {
	case 0:
		read_write(data + 1, size - 1, OPS_REMOTE_1);
		break;
	case 1:
		read_write(data + 1, size - 1, OPS_REMOTE_2);
		break;
	case 2:
		read_read(data + 1, size - 1);
		break;
	case 3:
		read_block(data + 1, size - 1);
		break;
	default:
		read_type(data + 1, size - 1);
		break;
	}
	return 0;
}
