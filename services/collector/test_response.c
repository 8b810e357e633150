/* SPDX-License-Identifier: Apache-2.0 */
/* Heads, chunks and gzip bodies as targets send them: whole, in pieces, and wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "services/collector/gunzip.h"
#include "services/collector/http_response.h"

#define OK "HTTP/1.1 200 OK\r\n"

static void test_heads(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int result; /* of the parser */
		enum col_framing framing;
		uint64_t length;
		bool keep_alive, gzip;
	} rows[] = {
		{OK "Content-Length: 12\r\n\r\n", 0, COL_FRAMING_LENGTH, 12, true, false},
		{"HTTP/1.1 200\nContent-Length:12\n\n", 0, COL_FRAMING_LENGTH, 12, true, false},
		{OK "content-length: 3\r\nContent-Length: 3\r\nConnection: Close\r\n\r\n", 0,
			COL_FRAMING_LENGTH, 3, false, false},
		{OK "\r\n", 0, COL_FRAMING_CLOSE, 0, false, false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 0, COL_FRAMING_LENGTH, 1, false,
			false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: x, Keep-Alive\r\n\r\n", 0,
			COL_FRAMING_LENGTH, 1, true, false},
		{OK "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n", 0,
			COL_FRAMING_CHUNKED, 0, true, true},
		{OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0,
			COL_FRAMING_CHUNKED, 5, false, false},
		{"HTTP/1.1 204 No\r\nContent-Length: 9\r\n\r\n", 0, COL_FRAMING_NONE, 9, true,
			false},
		{"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 0\r\n\r\n", 0,
			COL_FRAMING_LENGTH, 0, true, false},
		{"", -EAGAIN, 0, 0, false, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n", -EAGAIN, 0, 0, false, false},
		{"HTTP/1.1 100 Continue\r\n\r\n", -EAGAIN, 0, 0, false, false},
		{"HTTP/1.1 101 Switching\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{"HTTP/2 200\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{"HTTP/1.1 2000 OK\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{"HTTP/1.1 020 OK\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "Content-Length: +1\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "Content-Length: 9999999999999999999\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "Transfer-Encoding: xchunked\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", -EBADMSG, 0,
			0, false, false},
		{OK "Content-Encoding: br\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK "no field\r\n\r\n", -EBADMSG, 0, 0, false, false},
		{OK " folded: x\r\n\r\n", -EBADMSG, 0, 0, false, false},
	};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct col_head h;
		const char *what = NULL;
		int r = col_head_parse(rows[i].text, strlen(rows[i].text), &h, &what);
		assert_int_equal(r, rows[i].result);
		assert_int_equal(what != NULL, r == -EBADMSG);
		if (r == 0) {
			assert_int_equal(h.framing, rows[i].framing);
			assert_true(h.content_length == rows[i].length);
			assert_int_equal(h.keep_alive, rows[i].keep_alive);
			assert_int_equal(h.gzip, rows[i].gzip);
			assert_int_equal(h.len, strlen(rows[i].text));
		}
	}
}

static void test_content_type(void **state)
{
	(void)state;
	struct col_head h;
	const char *what = NULL, *text = OK "Content-Type: \t text/plain; version=0.0.4 \r\n\r\n";
	assert_int_equal(col_head_parse(text, strlen(text), &h, &what), 0);
	assert_string_equal(h.content_type, "text/plain; version=0.0.4");
}

/* Fed in pieces of every length, with what is decoded moved down as the reader does. */
static void test_chunks(void **state)
{
	(void)state;
	static const char wire[] =
		"4\r\nabcd\r\nA;ext=\"1\"\r\n0123456789\r\n1\nx\n0\r\nT: y\r\n\r\n";
	for (size_t step = 1; step < sizeof(wire); step++) {
		char buf[sizeof(wire)];
		size_t len = 0, at = 0;
		struct col_chunks c = {.in = 0};
		const char *what = NULL;
		int r = -EAGAIN;
		while (r == -EAGAIN) {
			size_t n = OPS_MIN(step, sizeof(wire) - 1 - at);
			assert_true(n > 0);
			memcpy(buf + len, wire + at, n);
			len += n;
			at += n;
			r = col_chunks_decode(&c, buf, len, &what);
			if (r == -EAGAIN) {
				memmove(buf + c.out, buf + c.in, len - c.in);
				len = c.out + len - c.in;
				c.in = c.out;
			}
		}
		assert_int_equal(r, 0);
		assert_int_equal(c.out, 15);
		assert_memory_equal(buf, "abcd0123456789x", 15);
		assert_int_equal(at, sizeof(wire) - 1);
	}
}

static void test_bad_chunks(void **state)
{
	(void)state;
	static const char *const rows[] = {"\r\n", "g\r\n", "-1\r\n", "1 x\r\nabc", "1x\r\n",
		"2\r\nabc\r\n", "1000000000000000\r\n"};
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		char buf[64];
		struct col_chunks c = {.in = 0};
		const char *what = NULL;
		memcpy(buf, rows[i], strlen(rows[i]) + 1);
		assert_int_equal(col_chunks_decode(&c, buf, strlen(buf), &what), -EBADMSG);
		assert_non_null(what);
	}
}

static size_t pack(const void *data, size_t len, unsigned char *out, size_t room)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_out = out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	size_t n = z.total_out;
	deflateEnd(&z);
	return n;
}

/* The result of unpacking in steps of `room`. */
static int unpack(const unsigned char *data, size_t len, size_t room, char *out, size_t *ret_len)
{
	struct col_gunzip g = {.z = NULL};
	int r = -EAGAIN;
	*ret_len = 0;
	col_gunzip_start(&g, data, len);
	while (r == -EAGAIN) {
		size_t n = 0;
		r = col_gunzip_step(&g, out + *ret_len, room, &n);
		*ret_len += n;
	}
	col_gunzip_done(&g);
	col_gunzip_done(&g);
	return r;
}

/* Unpacks at once; what it refuses it must leave to the slices. */
static bool unpack_whole(const unsigned char *data, size_t len, size_t room, size_t *ret_len)
{
	struct libdeflate_decompressor *d = col_gunzip_whole_new();
	char *out = ops_xmalloc(OPS_MAX(room, (size_t)1)); /* exact */
	bool done = col_gunzip_whole(d, (struct col_packed){data, len}, out, room, ret_len);
	if (done) {
		assert_memory_equal(out, "helloworld", *ret_len);
	}
	free(out);
	col_gunzip_whole_free(d);
	return done;
}

static void test_gunzip_whole(void **state)
{
	(void)state;
	unsigned char packed[512];
	size_t got = 0, n = pack("hello", 5, packed, sizeof(packed)), half = n;
	n += pack("world", 5, packed + n, sizeof(packed) - n);
	for (size_t room = 0; room < 20; room++) {
		assert_int_equal(unpack_whole(packed, n, room, &got), room >= 10);
		assert_true(room < 10 || got == 10);
	}
	for (size_t cut = 1; cut < n; cut++) {
		assert_int_equal(unpack_whole(packed, cut, 64, &got), cut == half);
	}
	packed[n] = 'x';
	assert_false(unpack_whole(packed, n + 1, 64, &got));
	memset(packed + n - 4, 0xff, 4); /* a length of 4 GiB is promised */
	assert_false(unpack_whole(packed, n, 64, &got));
	packed[half + 3] = 2; /* a checksum of the header */
	assert_false(unpack_whole(packed, n, 64, &got));
	assert_true(unpack_whole(packed, half, 64, &got) && got == 5);
}

static void test_gunzip(void **state)
{
	(void)state;
	unsigned char packed[512];
	char out[4096];
	size_t got = 0, n = pack("hello", 5, packed, sizeof(packed));
	n += pack("world", 5, packed + n, sizeof(packed) - n);
	for (size_t room = 1; room < 20; room++) {
		assert_int_equal(unpack(packed, n, room, out, &got), 0);
		assert_int_equal(got, 10);
		assert_memory_equal(out, "helloworld", 10);
	}
	for (size_t cut = 1; cut < n; cut++) {
		bool member_ends = cut == n / 2;
		assert_int_equal(unpack(packed, cut, 64, out, &got), member_ends ? 0 : -EBADMSG);
	}
	packed[n] = 'x';
	assert_int_equal(unpack(packed, n + 1, 64, out, &got), -EBADMSG);
	packed[12] ^= 0xff;
	assert_int_equal(unpack(packed, n, 64, out, &got), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_content_type),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_bad_chunks),
		cmocka_unit_test(test_gunzip),
		cmocka_unit_test(test_gunzip_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
