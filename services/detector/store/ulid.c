/* SPDX-License-Identifier: Apache-2.0 */
/* The 128 bits of https://github.com/ulid/spec, most significant first, five to a character. */
#include "services/detector/store/ulid.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/text.h"

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void det_ulid_new(char ret[DET_ULID_CHARS + 1])
{
	uint8_t random[16];
	uint64_t ms = (uint64_t)ops_now_ms();
	ops_random_bytes(random, sizeof(random));
	for (unsigned i = 0; i < 10; i++) {
		ret[i] = alphabet[(ms >> (5 * (9 - i))) & 31];
	}
	for (unsigned i = 0; i < 16; i++) {
		ret[10 + i] = alphabet[random[i] & 31];
	}
	ret[DET_ULID_CHARS] = '\0';
}

bool det_ulid_valid(const char *text)
{
	return strlen(text) == DET_ULID_CHARS && strspn(text, alphabet) == DET_ULID_CHARS &&
	       text[0] <= '7';
}
