/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HMAC-SHA-256 (RFC 2104, FIPS 180-4) truncated to 128 bits (RFC 2104 section 5 allows half). One
 * EVP_MAC context holds the padded key and is started anew for each message: fetching the algorithm
 * costs ten times the hashing of a small frame. The context is not shared between threads.
 */
#include "common/bus/key.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "common/base/file.h"
#include "common/base/text.h"

enum {
	KEY_LEAST_BYTES = 32,
	HMAC_BYTES = 32
};

struct ops_bus_key {
	EVP_MAC_CTX *context;
	size_t len;
	unsigned char bytes[];
};

int ops_bus_key_load(const char *path, struct ops_bus_key **ret, struct ops_error *err)
{
	char *text = NULL;
	int r = ops_file_read_secret(path, &text);

	if (r != 0)
		return ops_error_set_at(
			err, r, path, 0, 0, "could not read the bus key: %s", strerror(-r));
	size_t len = strlen(text);
	if (len < KEY_LEAST_BYTES) {
		ops_error_set_at(err, -EINVAL, path, 0, 0, "the bus key has only %zu bytes", len);
		ops_error_hint(err, "at least %d, for example from: openssl rand -hex 32",
			KEY_LEAST_BYTES);
		r = -EINVAL;
	} else {
		struct ops_bus_key *key = ops_xcalloc(1, sizeof(*key) + len);
		EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
		key->len = len;
		memcpy(key->bytes, text, len);
		key->context = EVP_MAC_CTX_new(hmac);
		EVP_MAC_free(hmac);
		ops_assert(key->context != NULL);
		*ret = key;
	}
	explicit_bzero(text, len);
	free(text);
	return r;
}

void ops_bus_key_free(struct ops_bus_key *key)
{
	if (key == NULL)
		return;
	EVP_MAC_CTX_free(key->context);
	explicit_bzero(key->bytes, key->len);
	free(key);
}

void ops_bus_mac(const struct ops_bus_key *key, const void *data, size_t len,
	unsigned char ret[OPS_BUS_MAC_BYTES])
{
	unsigned char full[HMAC_BYTES];
	char digest[] = "SHA256";
	size_t full_len = 0;

	memset(ret, 0, OPS_BUS_MAC_BYTES);
	if (key == NULL)
		return;
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()};
	ops_assert(EVP_MAC_init(key->context, key->bytes, key->len, params) == 1);
	ops_assert(EVP_MAC_update(key->context, data, len) == 1);
	ops_assert(EVP_MAC_final(key->context, full, &full_len, sizeof(full)) == 1);
	memcpy(ret, full, OPS_BUS_MAC_BYTES);
}

bool ops_bus_mac_ok(const struct ops_bus_key *key, const void *data, size_t len,
	const unsigned char mac[OPS_BUS_MAC_BYTES])
{
	unsigned char expected[OPS_BUS_MAC_BYTES];

	if (key == NULL)
		return true;
	ops_bus_mac(key, data, len, expected);
	return ops_equal_consttime(expected, mac, sizeof(expected));
}
