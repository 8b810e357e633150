/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Condition variables whose waits end in time, on the monotonic clock: setting the wall clock
 * neither shortens nor lengthens them. */
#include <pthread.h>
#include <stdint.h>

#include "common/base/def.h"

void ops_cond_init(pthread_cond_t *c);
/* False: ms have passed. True may be for no reason, as ever. */
bool ops_cond_wait_ms(pthread_cond_t *c, pthread_mutex_t *locked, int64_t ms);
