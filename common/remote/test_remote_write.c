/* SPDX-License-Identifier: Apache-2.0 */
/* Remote write: what is encoded is decoded, hand-made messages, refusals, headers, snappy. */
#include "common/remote/write.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/bytes.h"
#include "common/base/text.h"
#include "common/proto/proto.h"
#include "common/remote/snappy.h"

/* What a sink has heard, as text. */
struct heard {
	struct ops_strbuf text;
	int nseries;
};

static void add_labels(struct ops_strbuf *b, const struct ops_label *labels, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ops_strbuf_printf(b, "%s%.*s=%.*s", i > 0 ? "," : "", (int)labels[i].name_len,
			labels[i].name, (int)labels[i].value_len, labels[i].value);
}

static void add_metadata(struct ops_strbuf *b, const struct ops_remote_metadata *m)
{
	ops_strbuf_printf(b, " %.*s:%s:%.*s:%.*s", (int)m->family.len, m->family.s,
		ops_series_type_text(m->type), (int)m->help.len, m->help.s, (int)m->unit.len,
		m->unit.s);
}

static int hear_series(void *arg, const struct ops_remote_series *s)
{
	struct heard *h = arg;
	struct ops_strbuf *b = &h->text;

	h->nseries++;
	ops_strbuf_addc(b, '{');
	add_labels(b, s->labels, s->nlabels);
	ops_strbuf_addc(b, '}');
	for (size_t i = 0; i < s->nsamples; i++) {
		ops_strbuf_addc(b, ' ');
		if (ops_is_stale(s->samples[i].value))
			ops_strbuf_adds(b, "stale");
		else
			ops_strbuf_add_double(b, s->samples[i].value);
		ops_strbuf_printf(b, "@%lld", (long long)s->samples[i].time_ms);
		if (s->samples[i].start_ms != 0)
			ops_strbuf_printf(b, "^%lld", (long long)s->samples[i].start_ms);
	}
	for (size_t i = 0; i < s->nhistograms; i++)
		ops_strbuf_printf(
			b, " h%zu@%lld", s->histograms[i].len, (long long)s->histograms[i].time_ms);
	for (size_t i = 0; i < s->nexemplars; i++) {
		ops_strbuf_adds(b, " #{");
		add_labels(b, s->exemplars[i].labels, s->exemplars[i].nlabels);
		ops_strbuf_printf(
			b, "}%g@%lld", s->exemplars[i].value, (long long)s->exemplars[i].time_ms);
	}
	if (s->metadata != NULL)
		add_metadata(b, s->metadata);
	if (s->flaw != NULL)
		ops_strbuf_printf(b, " !%s", s->flaw);
	ops_strbuf_addc(b, '\n');
	return 0;
}

static int hear_metadata(void *arg, const struct ops_remote_metadata *m)
{
	struct heard *h = arg;

	ops_strbuf_adds(&h->text, "meta");
	add_metadata(&h->text, m);
	ops_strbuf_addc(&h->text, '\n');
	return 0;
}

static int decode(enum ops_remote_version v, const void *data, size_t len, struct heard *h,
	struct ops_error *err)
{
	const struct ops_remote_sink sink = {hear_series, hear_metadata, h};

	*h = (struct heard){.text = OPS_STRBUF_INIT};
	return ops_remote_write_decode(v, data, len, &sink, err);
}

/* The smallest pieces there are; one for each part of the message. */
static size_t decode_in_pieces(
	enum ops_remote_version v, const struct ops_strbuf *message, struct heard *h)
{
	const struct ops_remote_sink sink = {hear_series, hear_metadata, h};
	struct ops_remote_decoder *d = NULL;
	struct ops_error err;
	size_t pieces = 1;
	int rc;

	*h = (struct heard){.text = OPS_STRBUF_INIT};
	assert_int_equal(ops_remote_decoder_new(v, message->data, message->len, &d, &err), 0);
	while ((rc = ops_remote_decoder_go_on(d, &sink, 1)) == OPS_REMOTE_MORE)
		pieces++;
	assert_int_equal(rc, 0);
	ops_remote_decoder_free(d);
	return pieces;
}

static int decode_hex(
	enum ops_remote_version v, const char *hex, struct heard *h, struct ops_error *err)
{
	uint8_t bytes[512];

	assert_true(strlen(hex) / 2 <= sizeof(bytes));
	assert_int_equal(ops_hex_decode(hex, strlen(hex), bytes), 0);
	return decode(v, bytes, strlen(hex) / 2, h, err);
}

static struct ops_remote_text text(const char *s)
{
	return (struct ops_remote_text){s, strlen(s)};
}

static void encode_example(struct ops_remote_writer *w)
{
	static const uint8_t histogram[] = {0x08, 0x05, 0x78, 0x07}; /* count 5, timestamp 7 */
	struct ops_labels *up = ops_labels_of("__name__", "up", "job", "api", NULL);
	struct ops_labels *rq = ops_labels_of("__name__", "rq_total", "job", "api", NULL);
	struct ops_labels *trace = ops_labels_of("trace_id", "abc", NULL);
	const struct ops_remote_sample samples[] = {
		{1000, 0, 0.0}, {-2000, 0, 1.5}, {3000, 500, ops_stale_nan()}};
	const struct ops_remote_histogram histograms[] = {{histogram, sizeof(histogram), 0, 0}};
	const struct ops_remote_exemplar exemplars[] = {{trace->items, trace->n, 2.5, 99}};
	const struct ops_remote_metadata meta = {
		text("rq_total"), text("Requests."), text(""), OPS_T_GAUGEHISTOGRAM};

	ops_remote_writer_series(w, &(struct ops_remote_series){.labels = up->items,
					    .nlabels = up->n,
					    .samples = samples,
					    .nsamples = OPS_LENGTH(samples)});
	ops_remote_writer_series(w, &(struct ops_remote_series){.labels = rq->items,
					    .nlabels = rq->n,
					    .histograms = histograms,
					    .nhistograms = 1,
					    .exemplars = exemplars,
					    .nexemplars = 1,
					    .metadata = &meta});
	if (w->version == OPS_REMOTE_1)
		ops_remote_writer_metadata(w, &meta);
	ops_labels_unref(up);
	ops_labels_unref(rq);
	ops_labels_unref(trace);
}

static void both_versions_come_back(void **state)
{
	static const char *const expect[] = {
		[OPS_REMOTE_1] = "{__name__=up,job=api} 0@1000 1.5@-2000 stale@3000\n"
				 "{__name__=rq_total,job=api} h4@7 #{trace_id=abc}2.5@99\n"
				 "meta rq_total:gaugehistogram:Requests.:\n",
		[OPS_REMOTE_2] = "{__name__=up,job=api} 0@1000 1.5@-2000 stale@3000^500\n"
				 "{__name__=rq_total,job=api} h4@7 #{trace_id=abc}2.5@99"
				 " rq_total:gaugehistogram:Requests.:\n",
	};

	(void)state;
	for (int v = OPS_REMOTE_1; v <= OPS_REMOTE_2; v++) {
		struct ops_remote_writer w;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		struct ops_error err;
		struct heard h = {.nseries = 0};
		ops_remote_writer_init(&w, (enum ops_remote_version)v);
		for (int round = 0; round < 2; round++) { /* the second after a reset */
			ops_remote_writer_reset(&w);
			encode_example(&w);
			assert_int_equal(w.nsamples, 3);
			assert_int_equal(w.nhistograms, 1);
			assert_int_equal(w.nexemplars, 1);
			ops_strbuf_reset(&out);
			ops_remote_writer_finish(&w, &out);
			assert_int_equal(ops_remote_writer_bytes(&w), out.len);
			assert_int_equal(decode(w.version, out.data, out.len, &h, &err), 0);
			assert_string_equal(ops_strbuf_text(&h.text), expect[v]);
			ops_strbuf_done(&h.text);
			assert_true(decode_in_pieces(w.version, &out, &h) >= 2);
			assert_string_equal(ops_strbuf_text(&h.text), expect[v]);
			ops_strbuf_done(&h.text);
		}
		ops_strbuf_done(&out);
		ops_remote_writer_done(&w);
	}
}

static void every_prefix_is_refused_whole_or_read(void **state)
{
	(void)state;
	for (int v = OPS_REMOTE_1; v <= OPS_REMOTE_2; v++) {
		struct ops_remote_writer w;
		struct ops_strbuf out = OPS_STRBUF_INIT;
		struct ops_error err;
		struct heard h = {.nseries = 0};
		size_t refused = 0;
		ops_remote_writer_init(&w, (enum ops_remote_version)v);
		encode_example(&w);
		ops_remote_writer_finish(&w, &out);
		for (size_t len = 0; len < out.len; len++) {
			void *copy =
				malloc(len + 1); /* the sanitizer sees what is read behind it */
			memcpy(copy, out.data, len);
			if (decode(w.version, copy, len, &h, &err) != 0) {
				assert_int_equal(h.nseries, 0);
				assert_true(err.message[0] != '\0');
				refused++;
			}
			ops_strbuf_done(&h.text);
			free(copy);
		}
		assert_true(refused > out.len / 2);
		ops_strbuf_done(&out);
		ops_remote_writer_done(&w);
	}
}

static void hand_made_messages(void **state)
{
	static const struct {
		enum ops_remote_version version;
		const char *hex, *expect; /* NULL: refused */
	} cases[] = {
		{OPS_REMOTE_1, "", ""}, {OPS_REMOTE_2, "", ""},
		/* labels in the wrong order, an unknown field, an empty value */
		{OPS_REMOTE_1,
			"0a250a050a017a12000a060a016112016f0a0e0a085f5f6e616d655f5f12"
			"027570786312021001",
			"{__name__=up,a=o} 0@1\n"},
		{OPS_REMOTE_1, "0a080a060a016112016f", "{a=o} !no metric name\n"},
		{OPS_REMOTE_1, "0a100a060a016112016f0a060a0161120170",
			"{a=o,a=p} !two labels of one name\n"},
		{OPS_REMOTE_1, "0a080a060a01611201ff",
			"{a=\xff} !a label that is not UTF-8 text\n"},
		{OPS_REMOTE_1, "0a050a03120170", "{=p} !a label without a name\n"},
		{OPS_REMOTE_1, "0801", NULL},	      /* a series that is a number */
		{OPS_REMOTE_1, "0a0412020801", NULL}, /* value as varint */
		{OPS_REMOTE_1, "0a021001", NULL},     /* samples as a number */
		/* 2.0: symbols behind the series, references in two pieces, creation time of old */
		{OPS_REMOTE_2,
			"2a0e0a0201020a020304120210093005220022085f5f6e616d655f5f2202"
			"757022016122016f",
			"{__name__=up,a=o} 0@9^5\n"},
		{OPS_REMOTE_2, "220022016122016f2a040a020102", "{a=o} !no metric name\n"},
		{OPS_REMOTE_2, "220022016122016f2a040a020103", NULL}, /* beyond the table */
		{OPS_REMOTE_2, "220022016122016f2a030a0101", NULL},   /* half a pair */
		{OPS_REMOTE_2, "22016122016f2a040a020001", NULL},     /* symbol 0 is not empty */
		{OPS_REMOTE_2, "2a040a020000", NULL},		      /* no table */
		{OPS_REMOTE_2, "22002a042a021805", NULL},	      /* help beyond the table */
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		struct ops_error err = {0};
		struct heard h = {.nseries = 0};
		int rc = decode_hex(cases[i].version, cases[i].hex, &h, &err);
		if (cases[i].expect == NULL) {
			assert_int_equal(rc, -EBADMSG);
			assert_int_equal(h.nseries, 0);
		} else {
			if (rc != 0)
				print_message("%s: %s\n", cases[i].hex, err.message);
			assert_int_equal(rc, 0);
			assert_string_equal(ops_strbuf_text(&h.text), cases[i].expect);
		}
		ops_strbuf_done(&h.text);
	}
}

static void too_many_labels_are_refused(void **state)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	struct ops_error err;
	struct heard h = {.nseries = 0};
	size_t series = ops_proto_begin(&b, 1);

	(void)state;
	for (unsigned i = 0; i <= OPS_REMOTE_MAX_LABELS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "n%u", i);
		size_t label = ops_proto_begin(&b, 1);
		ops_proto_put_bytes(&b, 1, name, strlen(name));
		ops_proto_end(&b, label);
	}
	ops_proto_end(&b, series);
	assert_int_equal(decode(OPS_REMOTE_1, b.data, b.len, &h, &err), -EBADMSG);
	ops_strbuf_done(&h.text);
	ops_strbuf_done(&b);
}

static int stop_at_once(void *arg, const struct ops_remote_series *s)
{
	(void)s;
	++*(int *)arg;
	return 7;
}

static void a_sink_can_stop(void **state)
{
	struct ops_remote_writer w;
	struct ops_strbuf out = OPS_STRBUF_INIT;
	struct ops_error err;
	int calls = 0;
	const struct ops_remote_sink sink = {.on_series = stop_at_once, .arg = &calls};

	(void)state;
	ops_remote_writer_init(&w, OPS_REMOTE_1);
	encode_example(&w);
	ops_remote_writer_finish(&w, &out);
	assert_int_equal(ops_remote_write_decode(OPS_REMOTE_1, out.data, out.len, &sink, &err), 7);
	assert_int_equal(calls, 1);
	ops_strbuf_done(&out);
	ops_remote_writer_done(&w);
}

static void content_types(void **state)
{
	static const struct {
		const char *value;
		int expect; /* version or -ENOTSUP */
	} cases[] = {
		{NULL, OPS_REMOTE_1},
		{"application/x-protobuf", OPS_REMOTE_1},
		{"Application/X-Protobuf", OPS_REMOTE_1},
		{"application/x-protobuf; charset=utf-8", OPS_REMOTE_1},
		{"application/x-protobuf;proto=prometheus.WriteRequest", OPS_REMOTE_1},
		{"application/x-protobuf;proto=io.prometheus.write.v2.Request", OPS_REMOTE_2},
		{"application/x-protobuf ; Proto=\"io.prometheus.write.v2.Request\" ;q=1",
			OPS_REMOTE_2},
		{"application/x-protobuf;proto=io.prometheus.write.v3.Request", -ENOTSUP},
		{"application/x-protobuf;proto=", -ENOTSUP},
		{"application/json", -ENOTSUP},
		{"text/plain;proto=prometheus.WriteRequest", -ENOTSUP},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++) {
		enum ops_remote_version v = OPS_REMOTE_1;
		int rc = ops_remote_content_type(cases[i].value, &v);
		assert_int_equal(rc < 0 ? rc : (int)v, cases[i].expect);
	}
	for (int v = OPS_REMOTE_1; v <= OPS_REMOTE_2; v++) {
		enum ops_remote_version back;
		assert_int_equal(ops_remote_content_type(
					 ops_remote_media_type((enum ops_remote_version)v), &back),
			0);
		assert_int_equal(back, v);
	}
	assert_true(ops_remote_content_encoding(NULL) && ops_remote_content_encoding("snappy"));
	assert_false(ops_remote_content_encoding("gzip"));
}

static void snappy_blocks(void **state)
{
	struct ops_strbuf block = OPS_STRBUF_INIT, out = OPS_STRBUF_INIT;
	char zeros[5000] = {0};
	struct ops_error err;

	(void)state;
	ops_strbuf_adds(&out, "before");
	ops_snappy_encode(zeros, sizeof(zeros), &block);
	assert_true(block.len < 500);
	assert_int_equal(ops_snappy_decode(block.data, block.len, 5000, &out, &err), 0);
	assert_int_equal(out.len, 5006);
	assert_memory_equal(out.data + 6, zeros, sizeof(zeros));
	assert_int_equal(ops_snappy_decode(block.data, block.len, 4999, &out, &err), -EMSGSIZE);
	for (size_t len = 0; len < block.len; len++)
		assert_int_equal(ops_snappy_decode(block.data, len, 5000, &out, &err), -EBADMSG);
	assert_int_equal(
		ops_snappy_decode("\xff\xff\xff\xff\x0f\0", 6, SIZE_MAX, &out, &err), -EBADMSG);
	assert_int_equal(
		ops_snappy_decode("\xff\x06\0\0sNaPpY\x01", 11, 5000, &out, &err), -EBADMSG);
	assert_non_null(strstr(err.message, "framed"));
	assert_int_equal(out.len, 5006); /* nothing was appended by what failed */
	ops_strbuf_reset(&block);
	ops_snappy_encode(NULL, 0, &block);
	assert_int_equal(ops_snappy_decode(block.data, block.len, 0, &out, &err), 0);
	ops_strbuf_done(&block);
	ops_strbuf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_versions_come_back),
		cmocka_unit_test(every_prefix_is_refused_whole_or_read),
		cmocka_unit_test(hand_made_messages),
		cmocka_unit_test(too_many_labels_are_refused),
		cmocka_unit_test(a_sink_can_stop),
		cmocka_unit_test(content_types),
		cmocka_unit_test(snappy_blocks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
