/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The templates that exist by name without any file, so that a configuration written for
 * Alertmanager finds "slack.default.title" and its like. */
extern const char *const alm_template_default[]; /* texts to be parsed one by one, NULL-ended */
