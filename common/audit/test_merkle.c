/* SPDX-License-Identifier: Apache-2.0 */
/* The tree against the known heads of Certificate Transparency's test data and against RFC 6962's
 * own recursion. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "common/audit/merkle.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

static const char *const inputs[] = {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
	"606162636465666768696a6b6c6d6e6f"};

static const char *const roots[] = {
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
	"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
	"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
	"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
	"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
	"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
	"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
	"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void assert_hash(const unsigned char *hash, const char *hex)
{
	char text[2 * OPS_HASH_BYTES + 1];

	ops_hex_encode(hash, OPS_HASH_BYTES, text);
	assert_string_equal(text, hex);
}

static void test_known_heads(void **state)
{
	struct ops_merkle m;
	unsigned char hash[OPS_HASH_BYTES], data[32];

	(void)state;
	ops_merkle_init(&m);
	for (size_t i = 0;; i++) {
		ops_merkle_root(&m, hash);
		assert_hash(hash, roots[i]);
		if (i == OPS_LENGTH(inputs))
			break;
		size_t len = strlen(inputs[i]);
		assert_int_equal(ops_hex_decode(inputs[i], len, data), 0);
		ops_audit_leaf(data, len / 2, hash);
		ops_merkle_append(&m, hash);
	}
}

/* Section 2.1 word for word. */
static void mth(unsigned char leaves[][OPS_HASH_BYTES], size_t n, unsigned char *ret)
{
	struct ops_strbuf b = OPS_STRBUF_INIT;
	unsigned char part[OPS_HASH_BYTES];
	size_t k = 1;

	if (n == 1) {
		memcpy(ret, leaves[0], OPS_HASH_BYTES);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	ops_strbuf_addc(&b, 1);
	mth(leaves, k, part);
	ops_strbuf_add(&b, part, sizeof(part));
	mth(leaves + k, n - k, part);
	ops_strbuf_add(&b, part, sizeof(part));
	ops_sha256(b.data, b.len, ret);
	ops_strbuf_done(&b);
}

static void test_frontier_is_the_recursion(void **state)
{
	static unsigned char leaves[70][OPS_HASH_BYTES];
	struct ops_merkle m;
	unsigned char by_frontier[OPS_HASH_BYTES], by_recursion[OPS_HASH_BYTES];

	(void)state;
	ops_merkle_init(&m);
	for (size_t n = 1; n <= OPS_LENGTH(leaves); n++) {
		ops_audit_leaf(&n, sizeof(n), leaves[n - 1]);
		ops_merkle_append(&m, leaves[n - 1]);
		ops_merkle_root(&m, by_frontier);
		mth(leaves, n, by_recursion);
		assert_memory_equal(by_frontier, by_recursion, OPS_HASH_BYTES);
		assert_int_equal(m.size, n);
	}
}

static void test_chain(void **state)
{
	struct ops_audit_head h;
	unsigned char leaf[OPS_HASH_BYTES], chain[OPS_HASH_BYTES] = {0}, joined[2 * OPS_HASH_BYTES];

	(void)state;
	ops_audit_head_init(&h);
	ops_audit_leaf("{}", 2, leaf);
	assert_hash(leaf, "28a3a18f6cd6406b086e9ffda1f9b8a13dbcf44b0f3f32cb9031a11fd053acf9");
	for (int i = 0; i < 3; i++) {
		memcpy(joined, chain, OPS_HASH_BYTES);
		memcpy(joined + OPS_HASH_BYTES, leaf, OPS_HASH_BYTES);
		ops_sha256(joined, sizeof(joined), chain);
		ops_audit_head_append(&h, leaf);
		assert_memory_equal(h.chain, chain, OPS_HASH_BYTES);
	}
	assert_int_equal(h.tree.size, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_heads),
		cmocka_unit_test(test_frontier_is_the_recursion),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
