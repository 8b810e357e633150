/* SPDX-License-Identifier: Apache-2.0 */
/* Signed notes: the example of Go's sumdb/note (another implementation's signature), our own, and
 * damaged ones. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/audit/note.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"
#include "common/base/test_tempdir.h"

static const char go_key[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char go_note[] =
	"If you think cryptography is the answer to your problem,\n"
	"then you don't know what your problem is.\n"
	"\n"
	"\xe2\x80\x94 PeterNeumann "
	"x08go/ZJkuBS9UG/"
	"SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

static void test_note_of_another_implementation(void **state)
{
	struct ops_note_verifier v;
	struct ops_error err;
	char damaged[sizeof(go_note)];
	size_t len = 0;

	(void)state;
	assert_int_equal(ops_note_verifier_parse(go_key, &v, &err), 0);
	assert_string_equal(v.name, "PeterNeumann");
	assert_int_equal(ops_note_verify(go_note, &v, &len), 0);
	assert_int_equal(len, strstr(go_note, "\n\n") - go_note + 1);
	/* No byte can be another one. */
	for (size_t i = 0; i < sizeof(go_note) - 1; i++) {
		memcpy(damaged, go_note, sizeof(go_note));
		damaged[i] ^= 1;
		assert_true(ops_note_verify(damaged, &v, &len) < 0);
		memcpy(damaged, go_note, sizeof(go_note));
		damaged[i] = '\0';
		assert_true(ops_note_verify(damaged, &v, &len) < 0);
	}
	v.public_key[0] ^= 1;
	assert_int_equal(ops_note_verify(go_note, &v, &len), -EBADMSG);
	v.key_id[0] ^= 1;
	assert_int_equal(ops_note_verify(go_note, &v, &len), -ENOKEY);
}

static void test_keys_that_are_refused(void **state)
{
	static const char *const cases[] = {"", "+", "a+b", "a++", "PeterNeumann+c74f20a3+",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+AhpC2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T",
		"+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"};
	struct ops_note_verifier v;
	struct ops_error err;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(cases); i++)
		assert_int_equal(ops_note_verifier_parse(cases[i], &v, &err), -EINVAL);
}

static void test_sign_and_open(void **state)
{
	char *dir = tempdir_make();
	struct ops_note_signer *s = NULL, *again = NULL;
	struct ops_note_verifier v;
	struct ops_error err;
	struct ops_strbuf text = OPS_STRBUF_INIT, note = OPS_STRBUF_INIT;
	struct ops_checkpoint c = {.origin = "example.org/audit", .size = 12345}, back;
	struct stat st;

	(void)state;
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "signing.key");
	assert_int_equal(ops_note_signer_open(path, "two words", &s, &err), -EINVAL);
	assert_int_equal(ops_note_signer_open(path, "example.org/audit", &s, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(ops_note_signer_open(path, "example.org/audit", &again, &err), 0);
	assert_string_equal(ops_note_signer_vkey(s), ops_note_signer_vkey(again));
	ops_note_signer_free(again);

	memset(c.root, 7, sizeof(c.root));
	ops_checkpoint_format(&c, &text);
	assert_string_equal(ops_strbuf_text(&text),
		"example.org/audit\n12345\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n");
	assert_int_equal(ops_note_sign(s, ops_strbuf_text(&text), &note), 0);
	OPS_CLEANUP(ops_freep) char *spaced = ops_xasprintf(" %s \n", ops_note_signer_vkey(s));
	assert_int_equal(ops_note_verifier_parse(spaced, &v, &err), 0);
	assert_int_equal(ops_checkpoint_open(note.data, &v, &back, &err), 0);
	assert_int_equal(back.size, c.size);
	assert_memory_equal(back.root, c.root, sizeof(c.root));
	assert_string_equal(back.origin, c.origin);
	/* A witness signed too: its line is not ours to judge. */
	ops_strbuf_adds(&note, "\xe2\x80\x94 witness AAAAAAAA\n");
	assert_int_equal(ops_checkpoint_open(note.data, &v, &back, &err), 0);
	strstr(note.data, "12345")[4] = '4';
	assert_int_equal(ops_checkpoint_open(note.data, &v, &back, &err), -EINVAL);
	ops_note_signer_free(s);
	ops_strbuf_done(&text);
	ops_strbuf_done(&note);
	assert_int_equal(ops_file_write_atomic(path, "junk", 4, 0600), 0);
	assert_int_equal(ops_note_signer_open(path, "example.org/audit", &s, &err), -EINVAL);
	assert_non_null(strstr(err.message, "not an Ed25519 private key"));
	tempdir_remove(dir);
}

static void test_checkpoints_that_are_refused(void **state)
{
	static const char root[] = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
	static const char *const heads[] = {"", "o\n", "o\n1\n", "\n1\n", "o\n01\n", "o\n-1\n",
		"o\n+1\n", "o\n1x\n", "o\n99999999999999999999\n"};
	struct ops_checkpoint c;
	struct ops_error err;

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(heads); i++) {
		OPS_CLEANUP(ops_freep)
		char *text = ops_xasprintf("%s%s\n", heads[i], i == 2 ? "AAAA" : root);
		assert_int_equal(ops_checkpoint_parse(text, strlen(text), &c, &err), -EINVAL);
	}
	OPS_CLEANUP(ops_freep) char *whole = ops_xasprintf("o\n0\n%s\n", root);
	assert_int_equal(ops_checkpoint_parse(whole, strlen(whole), &c, &err), 0);
	for (size_t len = 0; len < strlen(whole); len++)
		assert_int_equal(ops_checkpoint_parse(whole, len, &c, &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_note_of_another_implementation),
		cmocka_unit_test(test_keys_that_are_refused),
		cmocka_unit_test(test_sign_and_open),
		cmocka_unit_test(test_checkpoints_that_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
