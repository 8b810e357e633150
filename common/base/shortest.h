/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The shortest decimal that reads back as a given double; number.c writes it as text. Pure; any
 * thread. */
#include "common/base/def.h"

struct ops_decimal { /* digits * 10^exponent, digits without trailing zeros */
	uint64_t digits;
	int exponent;
};

/* v is finite and above zero. Of several shortest decimals the one closest to v. */
struct ops_decimal ops_shortest(double v);
