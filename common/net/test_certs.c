/* SPDX-License-Identifier: Apache-2.0 */
/* See test_certs.h. P-256 keys, valid for an hour: made in a few milliseconds, so nothing secret
 * lies in the repository. */
#include "common/net/test_certs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "common/base/file.h"
#include "common/base/test_tempdir.h"

struct test_ca {
	EVP_PKEY *key;
	X509 *cert;
	long serial;
};

char *test_write(const char *dir, const char *name, const char *text)
{
	char *path = ops_path_join(dir, name);

	ops_assert(ops_file_write_atomic(path, text, strlen(text), 0600) == 0);
	return path;
}

static X509 *make_cert(struct test_ca *ca, EVP_PKEY *key, const char *name)
{
	X509 *cert = X509_new();

	ops_assert(cert != NULL);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++ca->serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(ca->cert != NULL ? ca->cert : cert));
	X509_set_pubkey(cert, key);
	return cert;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ops_assert(ext != NULL && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

static void write_pem(
	const char *dir, const char *name, const char *suffix, X509 *cert, EVP_PKEY *key)
{
	OPS_CLEANUP(ops_freep) char *file = ops_xasprintf("%s/%s.%s", dir, name, suffix);
	FILE *f = fopen(file, "we");

	ops_assert(f != NULL);
	if (cert != NULL)
		ops_assert(PEM_write_X509(f, cert) == 1);
	if (key != NULL)
		ops_assert(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
	fclose(f);
}

struct test_ca *test_ca_new(const char *dir)
{
	struct test_ca *ca = ops_xcalloc(1, sizeof(*ca));

	ca->key = EVP_EC_gen("P-256");
	X509 *cert = make_cert(ca, ca->key, "test authority");
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	ops_assert(X509_sign(cert, ca->key, EVP_sha256()) > 0);
	ca->cert = cert;
	write_pem(dir, "ca", "pem", cert, NULL);
	return ca;
}

void test_ca_free(struct test_ca *ca)
{
	X509_free(ca->cert);
	EVP_PKEY_free(ca->key);
	free(ca);
}

void test_ca_issue(struct test_ca *ca, const char *dir, const char *name, const char *san)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = make_cert(ca, key, name);

	add_extension(cert, NID_subject_alt_name, san);
	ops_assert(X509_sign(cert, ca->key, EVP_sha256()) > 0);
	write_pem(dir, name, "pem", cert, NULL);
	write_pem(dir, name, "key", NULL, key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

int test_certs_make(void **state)
{
	char *dir = tempdir_make();
	struct test_ca *ca = test_ca_new(dir);

	test_ca_issue(ca, dir, "server", "DNS:mail.example");
	test_ca_free(ca);
	*state = dir;
	return 0;
}

int test_certs_remove(void **state)
{
	tempdir_remove(*state);
	return 0;
}
