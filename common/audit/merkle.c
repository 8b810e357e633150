/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 6962, section 2.1: MTH({}) = SHA-256(), leaf = SHA-256(0x00 || d), node = SHA-256(0x01 ||
 * left || right), split at the largest power of two below the size. The split means that the tree
 * is a row of perfect subtrees with the sizes of the bits in n, joined from the right: adding a
 * leaf is binary addition with carries, the root is a fold from the smallest subtree up.
 */
#include "common/audit/merkle.h"

#include <openssl/evp.h>
#include <string.h>

struct part {
	const void *data;
	size_t len;
};

static void hash(const struct part *parts, size_t n, unsigned char ret[OPS_HASH_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1;

	for (size_t i = 0; i < n; i++)
		ok = ok && EVP_DigestUpdate(ctx, parts[i].data, parts[i].len) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, ret, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	ops_assert(ok); /* without SHA-256 there is nothing to prove */
}

void ops_sha256(const void *data, size_t len, unsigned char ret[OPS_HASH_BYTES])
{
	const struct part parts[] = {{data, len}};

	hash(parts, 1, ret);
}

void ops_audit_leaf(const void *body, size_t len, unsigned char ret[OPS_HASH_BYTES])
{
	const struct part parts[] = {{"\0", 1}, {body, len}};

	hash(parts, 2, ret);
}

void ops_audit_chain(unsigned char chain[OPS_HASH_BYTES], const unsigned char leaf[OPS_HASH_BYTES])
{
	const struct part parts[] = {{chain, OPS_HASH_BYTES}, {leaf, OPS_HASH_BYTES}};

	hash(parts, 2, chain);
}

static void node(
	const unsigned char *left, const unsigned char *right, unsigned char ret[OPS_HASH_BYTES])
{
	const struct part parts[] = {{"\1", 1}, {left, OPS_HASH_BYTES}, {right, OPS_HASH_BYTES}};

	hash(parts, 3, ret);
}

void ops_merkle_init(struct ops_merkle *m)
{
	memset(m, 0, sizeof(*m));
}

void ops_merkle_append(struct ops_merkle *m, const unsigned char leaf[OPS_HASH_BYTES])
{
	unsigned char carry[OPS_HASH_BYTES];
	int level = 0;

	memcpy(carry, leaf, sizeof(carry));
	for (; (m->size >> level & 1) != 0; level++)
		node(m->peaks[level], carry, carry);
	memcpy(m->peaks[level], carry, sizeof(carry));
	m->size++;
}

void ops_merkle_root(const struct ops_merkle *m, unsigned char ret[OPS_HASH_BYTES])
{
	bool started = false;

	if (m->size == 0) {
		ops_sha256("", 0, ret);
		return;
	}
	for (int level = 0; level < 64; level++) {
		if ((m->size >> level & 1) == 0)
			continue;
		if (started)
			node(m->peaks[level], ret, ret);
		else
			memcpy(ret, m->peaks[level], OPS_HASH_BYTES);
		started = true;
	}
}

void ops_audit_head_init(struct ops_audit_head *h)
{
	memset(h, 0, sizeof(*h));
}

void ops_audit_head_append(struct ops_audit_head *h, const unsigned char leaf[OPS_HASH_BYTES])
{
	ops_merkle_append(&h->tree, leaf);
	ops_audit_chain(h->chain, leaf);
}
