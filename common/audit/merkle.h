/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The hashes of the audit log: the leaf of a record, the running chain, and the RFC 6962 tree, kept
 * as its frontier (the roots of the perfect subtrees, one for every 1 in the binary size), so that
 * adding a leaf and asking for the root cost a few hashes at any size. Plain values: copy one to
 * try something.
 */
#include "common/base/def.h"

#define OPS_HASH_BYTES 32

struct ops_merkle {
	uint64_t size;				 /* leaves */
	unsigned char peaks[64][OPS_HASH_BYTES]; /* [i] is meant when bit i of size is set */
};

void ops_sha256(const void *data, size_t len, unsigned char ret[OPS_HASH_BYTES]);
/* SHA-256(0x00 || body) */
void ops_audit_leaf(const void *body, size_t len, unsigned char ret[OPS_HASH_BYTES]);
/* chain = SHA-256(chain || leaf), in place; 32 zero bytes before the first record. */
void ops_audit_chain(unsigned char chain[OPS_HASH_BYTES], const unsigned char leaf[OPS_HASH_BYTES]);

void ops_merkle_init(struct ops_merkle *m);
void ops_merkle_append(struct ops_merkle *m, const unsigned char leaf[OPS_HASH_BYTES]);
/* The tree head; SHA-256 of nothing for an empty tree. */
void ops_merkle_root(const struct ops_merkle *m, unsigned char ret[OPS_HASH_BYTES]);

/* What the records up to `tree.size` come to. */
struct ops_audit_head {
	struct ops_merkle tree;
	unsigned char chain[OPS_HASH_BYTES];
};
void ops_audit_head_init(struct ops_audit_head *h);
void ops_audit_head_append(struct ops_audit_head *h, const unsigned char leaf[OPS_HASH_BYTES]);
