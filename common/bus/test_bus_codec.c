/* SPDX-License-Identifier: Apache-2.0 */
/* The bus' bytes: frames, envelopes, replay requests and answers, heartbeats, checkpoints,
 * consumers, the ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/bus/consumers.h"
#include "common/bus/envelope.h"
#include "common/bus/frame.h"
#include "common/bus/heartbeat.h"
#include "common/bus/history.h"
#include "common/bus/position.h"
#include "common/bus/replay.h"
#include "common/base/test_tempdir.h"

static int setup(void **state)
{
	*state = tempdir_make();
	return 0;
}

static int teardown(void **state)
{
	tempdir_remove(*state);
	return 0;
}

static struct ops_bus_key *make_key(const char *dir, const char *text)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/key", dir);
	struct ops_bus_key *key = NULL;
	struct ops_error err;
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return ops_bus_key_load(path, &key, &err) == 0 ? key : NULL;
}

static const char key_text[] = "0123456789abcdef0123456789abcdef\n";

/* ---- key ---- */

static void a_short_or_missing_key_is_refused(void **state)
{
	struct ops_bus_key *key = NULL;
	struct ops_error err;

	assert_null(make_key(*state, "0123456789abcdef0123456789abcde\n"));
	assert_null(make_key(*state, "  \n"));
	assert_int_equal(ops_bus_key_load("/nonexistent/key", &key, &err), -ENOENT);
	assert_string_equal(err.file, "/nonexistent/key");
}

/* Reference value: printf 'hello' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef */
static void the_mac_is_hmac_sha256(void **state)
{
	struct ops_bus_key *key = make_key(*state, key_text);
	unsigned char mac[OPS_BUS_MAC_BYTES], again[OPS_BUS_MAC_BYTES];
	char hex[2 * OPS_BUS_MAC_BYTES + 1];

	ops_bus_mac(key, "hello", 5, mac);
	ops_hex_encode(mac, sizeof(mac), hex);
	assert_string_equal(hex, "db68b47b63c2397eac785025b1c9c210");
	ops_bus_mac(key, "other", 5, again);
	assert_memory_not_equal(mac, again, sizeof(mac));
	ops_bus_mac(key, "hello", 5, again);
	assert_memory_equal(mac, again, sizeof(mac));
	assert_true(ops_bus_mac_ok(key, "hello", 5, mac));
	mac[15] ^= 1;
	assert_false(ops_bus_mac_ok(key, "hello", 5, mac));
	ops_bus_key_free(key);
	ops_bus_key_free(NULL);
}

/* ---- frame ---- */

static void seal(struct ops_strbuf *out, const char *body, const struct ops_bus_key *key)
{
	ops_strbuf_reset(out);
	ops_strbuf_adds(out, body);
	ops_frame_seal(out, 0x0123456789abcdefULL, 42, key);
}

static void a_frame_comes_back_as_it_was(void **state)
{
	struct ops_bus_key *key = make_key(*state, key_text);
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_frame f;

	seal(&b, "alerts/firing/x\n{\"a\":\n1}", key);
	assert_int_equal(b.len, 24 + OPS_FRAME_TRAILER_BYTES);
	assert_non_null(strstr(b.data, "}\n#ops1 0123456789abcdef 000000000000002a "));
	assert_int_equal(ops_frame_open(b.data, b.len, key, &f), 0);
	assert_string_equal(f.topic, "alerts/firing/x");
	assert_string_equal(f.payload, "{\"a\":\n1}");
	assert_int_equal(f.len, 8);
	assert_int_equal(f.epoch, 0x0123456789abcdefULL);
	assert_int_equal(f.seq, 42);
	ops_strbuf_done(&b);
	ops_bus_key_free(key);
}

static void an_empty_payload_is_a_payload(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_frame f;

	(void)state;
	seal(&b, "t\n", NULL);
	assert_int_equal(ops_frame_open(b.data, b.len, NULL, &f), 0);
	assert_int_equal(f.len, 0);
	assert_string_equal(f.payload, "");
	ops_strbuf_done(&b);
}

static void every_flipped_bit_of_a_frame_is_noticed(void **state)
{
	struct ops_bus_key *key = make_key(*state, key_text);
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_frame f;

	seal(&b, "topic\npayload", key);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		char *copy = ops_xmalloc(b.len);
		memcpy(copy, b.data, b.len);
		copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << bit % 8));
		/* A hex digit may change its case only. */
		int r = ops_frame_open(copy, b.len, key, &f);
		bool case_only = bit % 8 == 5 && bit / 8 > 13;
		assert_true(r > 0 || case_only);
		free(copy);
	}
	for (size_t len = 0; len < b.len; len++)
		assert_true(ops_frame_open(b.data, len, key, &f) > 0);
	ops_strbuf_done(&b);
	ops_bus_key_free(key);
}

static void a_frame_with_another_key_is_forged(void **state)
{
	struct ops_bus_key *key = make_key(*state, key_text);
	struct ops_bus_key *other = make_key(*state, "ffffffffffffffffffffffffffffffff");
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_frame f;

	seal(&b, "topic\npayload", other);
	assert_int_equal(ops_frame_open(b.data, b.len, key, &f), OPS_FRAME_BAD_MAC);
	seal(&b, "topic\npayload", NULL);
	assert_int_equal(ops_frame_open(b.data, b.len, key, &f), OPS_FRAME_BAD_MAC);
	/* Whoever has no key may read. */
	seal(&b, "topic\npayload", key);
	assert_int_equal(ops_frame_open(b.data, b.len, NULL, &f), 0);
	ops_strbuf_done(&b);
	ops_bus_key_free(key);
	ops_bus_key_free(other);
}

static void a_topic_has_its_limits(void **state)
{
	static const struct {
		const char *body;
		int result;
	} cases[] = {{"no newline", OPS_FRAME_MALFORMED}, {"\nempty topic", OPS_FRAME_MALFORMED},
		{"tab\there\nx", OPS_FRAME_MALFORMED}, {"a b/\xc3\xa4\nx", 0}};
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_frame f;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		seal(&b, cases[i].body, NULL);
		assert_int_equal(ops_frame_open(b.data, b.len, NULL, &f), cases[i].result);
	}
	for (size_t len = 511; len <= 514; len++) {
		OPS_CLEANUP(ops_freep) char *long_topic = ops_xcalloc(1, len + 2);
		memset(long_topic, 'a', len);
		long_topic[len] = '\n';
		seal(&b, long_topic, NULL);
		assert_int_equal(ops_frame_open(b.data, b.len, NULL, &f) == 0, len <= 512);
	}
	ops_strbuf_done(&b);
}

/* ---- envelope ---- */

static void an_envelope_is_bound_to_kind_nonce_and_key(void **state)
{
	struct ops_bus_key *key = make_key(*state, key_text);
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_envelope e = {77, "data", 4}, got;

	ops_envelope_seal(OPS_ENVELOPE_REQUEST, &e, key, &b);
	assert_int_equal(b.len, 16 + 4 + 20);
	assert_int_equal(ops_envelope_open(OPS_ENVELOPE_REQUEST, b.data, b.len, key, &got), 0);
	assert_int_equal(got.nonce, 77);
	assert_int_equal(got.len, 4);
	assert_memory_equal(got.data, "data", 4);
	assert_int_equal(
		ops_envelope_open(OPS_ENVELOPE_ANSWER, b.data, b.len, key, &got), -EBADMSG);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.data[bit / 8] = (char)(b.data[bit / 8] ^ (1 << bit % 8));
		assert_int_equal(ops_envelope_open(OPS_ENVELOPE_REQUEST, b.data, b.len, key, &got),
			-EBADMSG);
		b.data[bit / 8] = (char)(b.data[bit / 8] ^ (1 << bit % 8));
	}
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(
			ops_envelope_open(OPS_ENVELOPE_REQUEST, b.data, len, key, &got), -EBADMSG);
	ops_strbuf_done(&b);
	ops_bus_key_free(key);
}

/* ---- replay ---- */

static void a_replay_request_comes_back(void **state)
{
	struct ops_replay_request q = {"freeze", 1, 2, 3, 4, 5}, got;
	struct ops_strbuf b = OPS_STRBUF_INIT;

	(void)state;
	ops_replay_request_encode(&q, &b);
	assert_int_equal(ops_replay_request_decode(b.data, b.len, &got), 0);
	assert_string_equal(got.consumer, "freeze");
	assert_true(got.epoch == 1 && got.from == 2 && got.acked == 3);
	assert_true(got.max_bytes == 4 && got.max_records == 5);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(ops_replay_request_decode(b.data, len, &got), -EBADMSG);
	b.data[b.len - 1] = '*';
	assert_int_equal(ops_replay_request_decode(b.data, b.len, &got), -EBADMSG);
	ops_strbuf_done(&b);
}

static void make_answer(struct ops_strbuf *b)
{
	struct ops_replay_answer a = {.stream = "alerts", .epoch = 9, .first = 3, .head = 20};

	ops_replay_answer_begin(&a, b);
	ops_replay_answer_add(b, 5, "t\nfive", 6);
	ops_replay_answer_add(b, 7, "", 0);
	ops_replay_answer_finish(b, 8, 2);
}

static void a_replay_answer_comes_back(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_replay_answer a;
	struct ops_replay_records records;
	struct ops_replay_record rec;

	(void)state;
	make_answer(&b);
	assert_int_equal(ops_replay_answer_decode(b.data, b.len, &a, &records), 0);
	assert_string_equal(a.stream, "alerts");
	assert_true(a.epoch == 9 && a.first == 3 && a.head == 20 && a.upto == 8 && a.count == 2);
	assert_int_equal(ops_replay_next(&records, &rec), 0);
	assert_int_equal(rec.seq, 5);
	assert_memory_equal(rec.data, "t\nfive", 6);
	assert_int_equal(ops_replay_next(&records, &rec), 0);
	assert_int_equal(rec.seq, 7);
	assert_int_equal(rec.len, 0);
	assert_int_equal(ops_replay_next(&records, &rec), 1);
	ops_strbuf_done(&b);
}

static int walk_answer(const void *data, size_t len)
{
	struct ops_replay_answer a;
	struct ops_replay_records records;
	struct ops_replay_record rec;
	int r = ops_replay_answer_decode(data, len, &a, &records);

	while (r == 0)
		r = ops_replay_next(&records, &rec);
	return r;
}

static void a_cut_replay_answer_is_noticed(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;

	(void)state;
	make_answer(&b);
	assert_int_equal(walk_answer(b.data, b.len), 1);
	for (size_t len = 0; len < b.len; len++)
		assert_int_equal(walk_answer(b.data, len), -EBADMSG);
	ops_strbuf_addc(&b, 'x');
	assert_int_equal(walk_answer(b.data, b.len), -EBADMSG);
	ops_strbuf_done(&b);
}

static void replayed_numbers_must_ascend(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_replay_answer a = {.stream = "s", .first = 1, .head = 20};

	(void)state;
	ops_replay_answer_begin(&a, &b);
	ops_replay_answer_add(&b, 5, "a", 1);
	ops_replay_answer_add(&b, 5, "b", 1);
	ops_replay_answer_finish(&b, 5, 2);
	assert_int_equal(walk_answer(b.data, b.len), -EBADMSG);
	ops_strbuf_done(&b);
}

/* ---- heartbeat ---- */

static void a_heartbeat_comes_back(void **state)
{
	struct ops_heartbeat h = {.stream = "samples/host-1",
				     .replay_url = "tcp://10.0.0.1:7501",
				     .epoch = 0xfedcba9876543210ULL,
				     .head = 10,
				     .first = 2,
				     .interval_ms = 1000},
			     got;
	struct ops_strbuf b = OPS_STRBUF_INIT;

	(void)state;
	ops_heartbeat_encode(&h, &b);
	assert_int_equal(ops_heartbeat_decode(b.data, b.len, &got), 0);
	assert_memory_equal(&h, &got, sizeof(h));
	ops_strbuf_done(&b);
}

static void a_bad_heartbeat_is_refused(void **state)
{
	static const struct {
		const char *json;
		int result;
	} cases[] = {
		{"{\"stream\":\"a\",\"epoch\":\"00000000000000ff\",\"head\":0,\"first\":1,"
		 "\"replay\":null,\"interval_ms\":1000,\"later\":true}",
			0},
		{"{\"stream\":\"a b\",\"epoch\":\"00000000000000ff\",\"head\":0,\"first\":1,"
		 "\"replay\":null,\"interval_ms\":1000}",
			-EBADMSG},
		{"{\"stream\":\"a\",\"epoch\":\"ff\",\"head\":0,\"first\":1,"
		 "\"replay\":null,\"interval_ms\":1000}",
			-EBADMSG},
		{"{\"stream\":\"a\",\"epoch\":\"00000000000000ff\",\"head\":-1,\"first\":1,"
		 "\"replay\":null,\"interval_ms\":1000}",
			-EBADMSG},
		{"{\"stream\":\"a\",\"epoch\":\"00000000000000ff\",\"head\":3,\"first\":5,"
		 "\"replay\":null,\"interval_ms\":1000}",
			-EBADMSG},
		{"{\"stream\":\"a\",\"epoch\":\"00000000000000ff\",\"head\":0,\"first\":1,"
		 "\"replay\":\"file:///etc/passwd\",\"interval_ms\":1000}",
			-EBADMSG},
		{"{\"stream\":\"a\",\"epoch\":\"00000000000000ff\",\"head\":0,\"first\":1,"
		 "\"replay\":null,\"interval_ms\":0}",
			-EBADMSG},
		{"[]", -EBADMSG},
		{"", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_heartbeat h;
		assert_int_equal(ops_heartbeat_decode(cases[i].json, strlen(cases[i].json), &h),
			cases[i].result);
	}
}

/* ---- position ---- */

static void a_position_lasts(void **state)
{
	struct ops_position *p = NULL;
	uint64_t epoch = 0, next = 0;

	assert_int_equal(ops_position_open(*state, "me", "samples/a", &p), 0);
	assert_false(ops_position_get(p, &epoch, &next));
	for (uint64_t n = 1; n <= 5; n++)
		assert_int_equal(ops_position_put(p, 7, n), 0);
	ops_position_close(p);
	assert_int_equal(ops_position_open(*state, "me", "samples/a", &p), 0);
	assert_true(ops_position_get(p, &epoch, &next));
	assert_true(epoch == 7 && next == 5);
	ops_position_close(p);
	assert_int_equal(ops_position_open(*state, "me", "samples/b", &p), 0);
	assert_false(ops_position_get(p, &epoch, &next));
	ops_position_close(p);
	ops_position_close(NULL);
}

static void a_torn_position_falls_back_to_the_one_before(void **state)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/me@alerts.position", (char *)*state);
	struct ops_position *p = NULL;
	uint64_t epoch = 0, next = 0;

	for (off_t at = 0; at < 64; at++) {
		unlink(path);
		assert_int_equal(ops_position_open(*state, "me", "alerts", &p), 0);
		assert_int_equal(ops_position_put(p, 7, 100), 0);
		assert_int_equal(ops_position_put(p, 7, 101), 0);
		ops_position_close(p);
		int fd = open(path, O_RDWR);
		char byte = 0;
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		assert_int_equal(ops_position_open(*state, "me", "alerts", &p), 0);
		assert_true(ops_position_get(p, &epoch, &next));
		/* Generation 2 stands in the first slot. */
		assert_int_equal(next, at < 32 ? 100 : 101);
		ops_position_close(p);
	}
}

static int64_t far_future_ms(void)
{
	return 4102444800000; /* 2100 */
}

static void old_positions_are_pruned(void **state)
{
	struct ops_position *p = NULL;
	uint64_t epoch = 0, next = 0;

	assert_int_equal(ops_position_open(*state, "me", "a", &p), 0);
	assert_int_equal(ops_position_put(p, 7, 1), 0);
	ops_position_close(p);
	ops_position_prune(*state, "me", 1000000);
	assert_int_equal(ops_position_open(*state, "me", "a", &p), 0);
	assert_true(ops_position_get(p, &epoch, &next));
	ops_position_close(p);
	ops_clock_fake(far_future_ms);
	ops_position_prune(*state, "other", 1000);
	ops_position_prune(*state, "me", 1000);
	ops_clock_fake(NULL);
	assert_int_equal(ops_position_open(*state, "me", "a", &p), 0);
	assert_false(ops_position_get(p, &epoch, &next));
	ops_position_close(p);
}

/* ---- consumers ---- */

static void the_slowest_consumer_holds_the_log(void **state)
{
	OPS_CLEANUP(ops_freep) char *path = ops_xasprintf("%s/consumers", (char *)*state);
	const int64_t day_ms = 24 * 3600 * 1000;
	struct ops_consumers *c = ops_consumers_open(path, 5);

	assert_int_equal(ops_consumers_lowest(c, 0), 0);
	assert_true(ops_consumers_heard(c, "alertmanager", 100, day_ms));
	assert_int_equal(ops_consumers_lowest(c, day_ms), 100);
	assert_true(ops_consumers_heard(c, "freeze", 40, day_ms));
	assert_int_equal(ops_consumers_lowest(c, day_ms), 40);
	ops_consumers_close(c);
	c = ops_consumers_open(path, 5);
	assert_int_equal(ops_consumers_lowest(c, day_ms), 40);
	/* A visitor that never acknowledges holds everything, for an hour. */
	assert_true(ops_consumers_heard(c, "visitor", 0, day_ms));
	assert_int_equal(ops_consumers_lowest(c, day_ms), 0);
	assert_int_equal(ops_consumers_lowest(c, day_ms + 3601 * 1000), 40);
	/* After a week without a word the slow one is given up. */
	assert_true(ops_consumers_heard(c, "alertmanager", 100, 9 * day_ms));
	assert_int_equal(ops_consumers_lowest(c, 9 * day_ms), 100);
	ops_consumers_close(c);
	c = ops_consumers_open(path, 6); /* another numbering */
	assert_int_equal(ops_consumers_lowest(c, day_ms), 0);
	ops_consumers_close(c);
}

static void consumers_are_limited(void **state)
{
	struct ops_consumers *c = ops_consumers_open(NULL, 5);
	char name[32];

	(void)state;
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		assert_true(ops_consumers_heard(c, name, 1, 0));
	}
	assert_false(ops_consumers_heard(c, "one-more", 1, 0));
	assert_true(ops_consumers_heard(c, "c7", 1, 0));
	ops_consumers_close(c);
}

/* ---- ring ---- */

static int sum_records(uint64_t seq, const void *data, size_t len, void *arg)
{
	uint64_t *sum = arg, content = 0;

	assert_int_equal(len, 100);
	memcpy(&content, data, sizeof(content));
	assert_int_equal(content, seq);
	*sum += seq;
	return 0;
}

static void the_ring_drops_the_oldest(void **state)
{
	struct ops_history_config cfg = {.limit_bytes = 148 * 10, .max_record_bytes = 200};
	struct ops_history *h = NULL;
	char record[201] = {0};
	uint64_t seq = 0, sum = 0;

	(void)state;
	assert_int_equal(ops_history_open(&cfg, &h, NULL), 0);
	assert_int_equal(ops_history_append(h, record, 201, &seq), -EMSGSIZE);
	for (uint64_t n = 1; n <= 1000; n++) {
		memcpy(record, &n, sizeof(n));
		assert_int_equal(ops_history_append(h, record, 100, &seq), 0);
		assert_int_equal(seq, n);
	}
	assert_int_equal(ops_history_first(h), 991);
	assert_int_equal(ops_history_next(h), 1001);
	assert_int_equal(ops_history_read(h, 0, 3, sum_records, &sum), 0);
	assert_int_equal(sum, 991 + 992 + 993);
	ops_history_trim(h, 998);
	sum = 0;
	assert_int_equal(ops_history_read(h, 990, SIZE_MAX, sum_records, &sum), 0);
	assert_int_equal(sum, 998 + 999 + 1000);
	ops_history_trim(h, 5000);
	assert_int_equal(ops_history_first(h), 1001);
	ops_history_close(h);
}

static void append_numbers(struct ops_history *h, uint64_t from, uint64_t to)
{
	char record[100] = {0};
	uint64_t seq = 0;

	for (uint64_t n = from; n <= to; n++) {
		memcpy(record, &n, sizeof(n));
		assert_int_equal(ops_history_append(h, record, 100, &seq), 0);
		assert_int_equal(seq, n);
	}
}

static uint64_t sum_from(struct ops_history *h, uint64_t from, size_t max)
{
	uint64_t sum = 0;

	assert_int_equal(ops_history_read(h, from, max, sum_records, &sum), 0);
	return sum;
}

static void the_ring_overflows_to_disk(void **state)
{
	char *dir = tempdir_make();
	struct ops_history_config cfg = {.limit_bytes = 148 * 10,
		.max_record_bytes = 200,
		.overflow_dir = dir,
		.overflow_bytes = 1 << 20};
	struct ops_history *h = NULL;

	(void)state;
	assert_int_equal(ops_history_open(&cfg, &h, NULL), 0);
	append_numbers(h, 1, 20); /* nobody is away: 11 to 20 are left */
	assert_int_equal(ops_history_first(h), 11);
	assert_int_equal(ops_history_overflow_end(h), 0);
	ops_history_keep_all(h, true);
	append_numbers(h, 21, 100);
	assert_int_equal(ops_history_first(h), 11);
	assert_int_equal(ops_history_overflow_end(h), 91);
	assert_true(ops_history_overflow_bytes(h) >= 80 * 100);
	assert_int_equal(sum_from(h, 0, SIZE_MAX), 5050 - 55);
	assert_int_equal(sum_from(h, 89, 3), 89 + 90 + 91); /* over the border */
	assert_int_equal(sum_from(h, 95, 2), 95 + 96);
	ops_history_trim(h, 50);
	assert_int_equal(ops_history_first(h), 50);
	assert_int_equal(sum_from(h, 0, 1), 50);
	ops_history_trim(h, 95);
	assert_int_equal(ops_history_first(h), 95);
	assert_int_equal(ops_history_overflow_end(h), 0);
	append_numbers(h, 101, 130);
	assert_int_equal(ops_history_first(h), 95);
	assert_int_equal(sum_from(h, 95, 2), 95 + 96);
	ops_history_keep_all(h, false);
	assert_int_equal(ops_history_first(h), 121);
	assert_int_equal(ops_history_overflow_bytes(h), 0);
	ops_history_close(h);
	/* another run starts with nothing, whatever lies there */
	assert_int_equal(ops_history_open(&cfg, &h, NULL), 0);
	assert_int_equal(ops_history_first(h), 1);
	ops_history_keep_all(h, true);
	append_numbers(h, 1, 30);
	assert_int_equal(sum_from(h, 1, SIZE_MAX), 465);
	ops_history_close(h);
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_short_or_missing_key_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_mac_is_hmac_sha256, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frame_comes_back_as_it_was, setup, teardown),
		cmocka_unit_test(an_empty_payload_is_a_payload),
		cmocka_unit_test_setup_teardown(
			every_flipped_bit_of_a_frame_is_noticed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_frame_with_another_key_is_forged, setup, teardown),
		cmocka_unit_test(a_topic_has_its_limits),
		cmocka_unit_test_setup_teardown(
			an_envelope_is_bound_to_kind_nonce_and_key, setup, teardown),
		cmocka_unit_test(a_replay_request_comes_back),
		cmocka_unit_test(a_replay_answer_comes_back),
		cmocka_unit_test(a_cut_replay_answer_is_noticed),
		cmocka_unit_test(replayed_numbers_must_ascend),
		cmocka_unit_test(a_heartbeat_comes_back),
		cmocka_unit_test(a_bad_heartbeat_is_refused),
		cmocka_unit_test_setup_teardown(a_position_lasts, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_torn_position_falls_back_to_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(old_positions_are_pruned, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_slowest_consumer_holds_the_log, setup, teardown),
		cmocka_unit_test(consumers_are_limited),
		cmocka_unit_test(the_ring_drops_the_oldest),
		cmocka_unit_test(the_ring_overflows_to_disk),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
