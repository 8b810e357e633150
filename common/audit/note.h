/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Signed notes and checkpoints as C2SP defines them (signed-note, tlog-checkpoint), with Ed25519:
 *
 *	origin\n size\n base64(root)\n \n — name base64(keyid || signature)\n
 *
 * so that the tools of the transparency-log world verify them. The verifier key travels as one line
 *of text, name+hex(keyid)+base64(0x01 || public key).
 */
#include "common/audit/merkle.h"
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_strbuf;
struct ops_note_signer; /* opaque: name and private key */

/*
 * Loads an Ed25519 private key (PEM, PKCS #8), or makes one with mode 0600 when the file is absent.
 * name: 1..200 characters without white space and '+'. -EINVAL, -EACCES ... with err.
 */
int ops_note_signer_open(const char *path, const char *name, struct ops_note_signer **ret,
	struct ops_error *err) OPS_MUST_CHECK;
void ops_note_signer_free(struct ops_note_signer *s);		   /* NULL is fine */
const char *ops_note_signer_vkey(const struct ops_note_signer *s); /* without newline */
/* text must end with a newline. */
int ops_note_sign(
	const struct ops_note_signer *s, const char *text, struct ops_strbuf *out) OPS_MUST_CHECK;

struct ops_note_verifier {
	char name[201];
	unsigned char key_id[4];
	unsigned char public_key[32];
};
/* White space around the line is ignored. -EINVAL with err. */
int ops_note_verifier_parse(
	const char *vkey, struct ops_note_verifier *ret, struct ops_error *err) OPS_MUST_CHECK;
/* 0: a line of this key verifies; *ret_text_len bytes of note are the signed text. -EBADMSG,
 * -ENOKEY (not signed by it). */
int ops_note_verify(
	const char *note, const struct ops_note_verifier *v, size_t *ret_text_len) OPS_MUST_CHECK;

struct ops_checkpoint {
	char origin[201];
	uint64_t size;
	unsigned char root[OPS_HASH_BYTES];
};
void ops_checkpoint_format(const struct ops_checkpoint *c, struct ops_strbuf *out);
int ops_checkpoint_parse(const char *text, size_t len, struct ops_checkpoint *ret,
	struct ops_error *err) OPS_MUST_CHECK;
/* ops_note_verify and ops_checkpoint_parse in one: -EINVAL with err saying which part is wrong. */
int ops_checkpoint_open(const char *note, const struct ops_note_verifier *v,
	struct ops_checkpoint *ret, struct ops_error *err) OPS_MUST_CHECK;
