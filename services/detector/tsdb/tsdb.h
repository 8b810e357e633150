/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Work on blocks beside a running detector or without one: `ops-detector --tsdb COMMAND` and,
 * through it, `opsctl tsdb`. Reads and writes block folders only; the head of a running detector is
 * not touched. One thread.
 */
#include "common/base/def.h"

/*
 * list | analyze | verify | dump [FLAG...] [DIR], create-blocks-from openmetrics FILE [DIR].
 * Returns the exit code: 0, 1 something is damaged or could not be done, 2 usage, 3 the input is
 * wrong.
 */
int det_tsdb_main(int argc, char **argv);
