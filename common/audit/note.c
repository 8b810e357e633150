/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The formats are those of c2sp.org/signed-note and c2sp.org/tlog-checkpoint. The key id is the
 * first four bytes of SHA-256(name || 0x0A || 0x01 || public key); 0x01 is the algorithm, Ed25519.
 * A note may carry signatures of others (witnesses): lines of unknown keys are skipped, a bad one
 * of ours is an error.
 */
#include "common/audit/note.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/number.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

#define NOTE_LIMIT_BYTES ((size_t)64 << 10)
#define SIGNATURE_BYTES 64
#define KEY_BYTES 32
#define ALGORITHM 1

static const char dash[] = "\xe2\x80\x94 "; /* em dash and a space begin a signature line */

struct ops_note_signer {
	struct ops_note_verifier public;
	EVP_PKEY *key;
	char *vkey;
};

static bool valid_name(const char *name)
{
	size_t len = strlen(name);

	if (len == 0 || len > 200 || !ops_utf8_valid(name, len) || strchr(name, '+') != NULL)
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if (isspace((unsigned char)*p) || iscntrl((unsigned char)*p))
			return false;
	return true;
}

static void compute_key_id(struct ops_note_verifier *v)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	unsigned char digest[OPS_HASH_BYTES];

	ops_strbuf_adds(&b, v->name);
	ops_strbuf_addc(&b, '\n');
	ops_strbuf_addc(&b, ALGORITHM);
	ops_strbuf_add(&b, v->public_key, KEY_BYTES);
	ops_sha256(b.data, b.len, digest);
	memcpy(v->key_id, digest, sizeof(v->key_id));
	ops_strbuf_done(&b);
}

/* ---- signing ---- */

static EVP_PKEY *generate(const char *path, struct ops_error *err)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem = NULL;
	int code = -EIO;

	if (key != NULL && bio != NULL &&
		PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
		long len = BIO_get_mem_data(bio, &pem);
		code = ops_file_write_atomic(path, pem, (size_t)len, 0600);
	}
	BIO_free(bio);
	if (code < 0) {
		ops_error_set(err, code, "could not write a new signing key to %s: %s", path,
			strerror(-code));
		EVP_PKEY_free(key);
		return NULL;
	}
	return key;
}

static EVP_PKEY *load(const char *path, struct ops_error *err)
{
	struct ops_strbuf pem = OPS_STRBUF_INIT;
	EVP_PKEY *key = NULL;
	int code = ops_file_read(path, NOTE_LIMIT_BYTES, &pem);

	if (code == -ENOENT) {
		ops_strbuf_done(&pem);
		return generate(path, err);
	}
	if (code < 0) {
		ops_error_set(
			err, code, "could not read the signing key %s: %s", path, strerror(-code));
		return NULL;
	}
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	if (bio != NULL)
		key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	explicit_bzero(pem.data, pem.len);
	ops_strbuf_done(&pem);
	if (key == NULL || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		ops_error_set(err, -EINVAL, "%s is not an Ed25519 private key", path);
		ops_error_hint(err, "openssl genpkey -algorithm ed25519");
		return NULL;
	}
	return key;
}

static char *vkey_text(const struct ops_note_verifier *v)
{
	unsigned char typed[1 + KEY_BYTES] = {ALGORITHM};
	char id[9];

	memcpy(typed + 1, v->public_key, KEY_BYTES);
	ops_hex_encode(v->key_id, sizeof(v->key_id), id);
	OPS_CLEANUP(ops_freep) char *key = ops_base64_encode(typed, sizeof(typed));
	return ops_xasprintf("%s+%s+%s", v->name, id, key);
}

int ops_note_signer_open(
	const char *path, const char *name, struct ops_note_signer **ret, struct ops_error *err)
{
	size_t len = KEY_BYTES;

	if (!valid_name(name))
		return ops_error_set(err, -EINVAL,
			"\"%s\" cannot be the name of a signing key: "
			"1 to 200 characters without white space and '+'",
			name);
	EVP_PKEY *key = load(path, err);
	if (key == NULL)
		return -EINVAL;
	struct ops_note_signer *s = ops_xcalloc(1, sizeof(*s));
	s->key = key;
	memcpy(s->public.name, name, strlen(name) + 1);
	ops_assert(EVP_PKEY_get_raw_public_key(key, s->public.public_key, &len) == 1 &&
		   len == KEY_BYTES);
	compute_key_id(&s->public);
	s->vkey = vkey_text(&s->public);
	*ret = s;
	return 0;
}

void ops_note_signer_free(struct ops_note_signer *s)
{
	if (s == NULL)
		return;
	EVP_PKEY_free(s->key);
	free(s->vkey);
	free(s);
}

const char *ops_note_signer_vkey(const struct ops_note_signer *s)
{
	return s->vkey;
}

int ops_note_sign(const struct ops_note_signer *s, const char *text, struct ops_strbuf *out)
{
	unsigned char bytes[4 + SIGNATURE_BYTES];
	size_t len = SIGNATURE_BYTES, text_len = strlen(text);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	ops_assert(text_len > 0 && text[text_len - 1] == '\n');
	memcpy(bytes, s->public.key_id, 4);
	bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, s->key) == 1 &&
		  EVP_DigestSign(ctx, bytes + 4, &len, (const unsigned char *)text, text_len) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok || len != SIGNATURE_BYTES)
		return -EIO;
	OPS_CLEANUP(ops_freep) char *signature = ops_base64_encode(bytes, sizeof(bytes));
	ops_strbuf_printf(out, "%s\n%s%s %s\n", text, dash, s->public.name, signature);
	return 0;
}

/* ---- verifying ---- */

int ops_note_verifier_parse(const char *vkey, struct ops_note_verifier *ret, struct ops_error *err)
{
	struct ops_note_verifier v = {.name = ""};
	void *typed = NULL;
	size_t len = 0;

	vkey += strspn(vkey, " \t\r\n");
	size_t whole = strcspn(vkey, " \t\r\n");
	const char *id = memchr(vkey, '+', whole);
	const char *key = id != NULL ? memchr(id + 1, '+', whole - (size_t)(id + 1 - vkey)) : NULL;
	if (key == NULL || id - vkey > 200 || key - id != 9)
		goto malformed;
	memcpy(v.name, vkey, (size_t)(id - vkey));
	if (ops_base64_decode(key + 1, whole - (size_t)(key + 1 - vkey), &typed, &len) < 0)
		goto malformed;
	bool right = len == 1 + KEY_BYTES && *(unsigned char *)typed == ALGORITHM;
	if (right)
		memcpy(v.public_key, (unsigned char *)typed + 1, KEY_BYTES);
	free(typed);
	if (!right || !valid_name(v.name))
		goto malformed;
	compute_key_id(&v);
	unsigned char said[4];
	if (ops_hex_decode(id + 1, 8, said) < 0 || memcmp(said, v.key_id, 4) != 0)
		return ops_error_set(
			err, -EINVAL, "the key id of %s does not match its key", v.name);
	*ret = v;
	return 0;
malformed:
	ops_error_set(err, -EINVAL, "not a verifier key");
	ops_error_hint(err, "name+hex key id+base64 key, as GET /v1/key of the audit log answers");
	return -EINVAL;
}

static bool signature_valid(
	const struct ops_note_verifier *v, const char *text, size_t len, const unsigned char *sig)
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, v->public_key, KEY_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok =
		key != NULL && ctx != NULL &&
		EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		EVP_DigestVerify(ctx, sig, SIGNATURE_BYTES, (const unsigned char *)text, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok;
}

/* line is "name base64" of len bytes. 0, -ENOKEY: another key's, -EBADMSG. */
static int check_line(const struct ops_note_verifier *v, const char *line, size_t len,
	const char *text, size_t text_len)
{
	size_t name_len = strlen(v->name), size = 0;
	void *bytes = NULL;
	int code = -ENOKEY;

	if (len < name_len + 2 || memcmp(line, v->name, name_len) != 0 || line[name_len] != ' ')
		return -ENOKEY;
	if (ops_base64_decode(line + name_len + 1, len - name_len - 1, &bytes, &size) < 0)
		return -EBADMSG;
	if (size == 4 + SIGNATURE_BYTES && memcmp(bytes, v->key_id, 4) == 0)
		code = signature_valid(v, text, text_len, (const unsigned char *)bytes + 4)
			       ? 0
			       : -EBADMSG;
	free(bytes);
	return code;
}

int ops_note_verify(const char *note, const struct ops_note_verifier *v, size_t *ret_text_len)
{
	size_t len = strnlen(note, NOTE_LIMIT_BYTES + 1);
	const char *split = NULL;
	int code = -ENOKEY;

	if (len == 0 || len > NOTE_LIMIT_BYTES || note[len - 1] != '\n' ||
		!ops_utf8_valid(note, len))
		return -EBADMSG;
	for (const char *p = strstr(note, "\n\n"); p != NULL; p = strstr(p + 1, "\n\n"))
		split = p;
	if (split == NULL)
		return -EBADMSG;
	size_t text_len = (size_t)(split - note) + 1;
	for (const char *line = split + 2; *line != '\0' && code == -ENOKEY;) {
		const char *end = strchr(line, '\n');
		if (!ops_str_starts(line, dash))
			return -EBADMSG;
		line += strlen(dash);
		code = check_line(v, line, (size_t)(end - line), note, text_len);
		line = end + 1;
	}
	if (code == 0)
		*ret_text_len = text_len;
	return code;
}

/* ---- checkpoints ---- */

void ops_checkpoint_format(const struct ops_checkpoint *c, struct ops_strbuf *out)
{
	OPS_CLEANUP(ops_freep) char *root = ops_base64_encode(c->root, sizeof(c->root));

	ops_strbuf_printf(out, "%s\n%llu\n%s\n", c->origin, (unsigned long long)c->size, root);
}

int ops_checkpoint_parse(
	const char *text, size_t len, struct ops_checkpoint *ret, struct ops_error *err)
{
	struct ops_checkpoint c = {.size = 0};
	const char *end = text + len, *line[3], *stop[3];
	void *root = NULL;
	size_t root_len = 0;

	for (int i = 0; i < 3; i++) {
		line[i] = text;
		stop[i] = text < end ? memchr(text, '\n', (size_t)(end - text)) : NULL;
		if (stop[i] == NULL || stop[i] == text)
			return ops_error_set(err, -EINVAL,
				"not a checkpoint: line %d of 3 is missing or empty", i + 1);
		text = stop[i] + 1;
	}
	if (stop[0] - line[0] >= (ptrdiff_t)sizeof(c.origin))
		return ops_error_set(err, -EINVAL, "not a checkpoint: the origin is too long");
	memcpy(c.origin, line[0], (size_t)(stop[0] - line[0]));
	size_t digits = (size_t)(stop[1] - line[1]);
	if (ops_parse_u64(line[1], digits, &c.size) < 0 || (line[1][0] == '0' && digits > 1) ||
		line[1][0] == '+')
		return ops_error_set(
			err, -EINVAL, "not a checkpoint: the size is not a decimal number");
	if (ops_base64_decode(line[2], (size_t)(stop[2] - line[2]), &root, &root_len) < 0 ||
		root_len != sizeof(c.root)) {
		free(root);
		return ops_error_set(
			err, -EINVAL, "not a checkpoint: the root is not 32 bytes in base64");
	}
	memcpy(c.root, root, sizeof(c.root));
	free(root);
	*ret = c;
	return 0;
}

int ops_checkpoint_open(const char *note, const struct ops_note_verifier *v,
	struct ops_checkpoint *ret, struct ops_error *err)
{
	size_t len = 0;
	int code = ops_note_verify(note, v, &len);

	if (code == -ENOKEY)
		return ops_error_set(err, -EINVAL, "the note is not signed by %s", v->name);
	if (code < 0)
		return ops_error_set(
			err, -EINVAL, "the signature of %s does not match the note", v->name);
	return ops_checkpoint_parse(note, len, ret, err);
}
