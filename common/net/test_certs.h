/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Certificates made for one test run: an authority, and what it signs. Files in PEM, in a directory
 * of the test's. */
#include "common/base/def.h"

struct test_ca; /* opaque */

/* dir/name, owned. */
char *test_write(const char *dir, const char *name, const char *text);

struct test_ca *test_ca_new(const char *dir); /* writes ca.pem */
void test_ca_free(struct test_ca *ca);
/* Writes NAME.pem and NAME.key; san like "DNS:localhost,IP:127.0.0.1". */
void test_ca_issue(struct test_ca *ca, const char *dir, const char *name, const char *san);
/* Setup and teardown of a group: *state is a directory with server.pem of "mail.example". */
int test_certs_make(void **state);
int test_certs_remove(void **state);
