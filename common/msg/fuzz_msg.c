/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes as an event, and as the JSON of each message: what is accepted must print and read back
 * as the same text.
 */
#include "common/msg/msg.h"

#include <string.h>

#include "common/base/strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(json_t *taken)
{
	char *text = ops_json_text(taken);
	json_decref(taken);
	return text;
}

static void check_alert(const json_t *j)
{
	struct ops_alert a, again;
	struct ops_error err;
	if (ops_alert_from_json(j, &a, &err) != 0)
		return;
	json_t *printed = ops_alert_to_json(&a);
	ops_assert(ops_alert_from_json(printed, &again, &err) == 0);
	OPS_CLEANUP(ops_freep) char *first = text_of(printed);
	OPS_CLEANUP(ops_freep) char *second = text_of(ops_alert_to_json(&again));
	ops_assert(strcmp(first, second) == 0);
	struct ops_strbuf topic = OPS_STRBUF_INIT;
	ops_alert_topic(&a, &topic);
	ops_assert(strpbrk(topic.data, " \n") == NULL);
	ops_strbuf_done(&topic);
	ops_alert_done(&a);
	ops_alert_done(&again);
}

static void check_freeze(const json_t *j)
{
	struct ops_freeze_state s, again;
	struct ops_error err;
	if (ops_freeze_state_from_json(j, &s, &err) != 0)
		return;
	json_t *printed = ops_freeze_state_to_json(&s);
	ops_assert(ops_freeze_state_from_json(printed, &again, &err) == 0);
	OPS_CLEANUP(ops_freep) char *first = text_of(printed);
	OPS_CLEANUP(ops_freep) char *second = text_of(ops_freeze_state_to_json(&again));
	ops_assert(strcmp(first, second) == 0);
	ops_freeze_state_done(&s);
	ops_freeze_state_done(&again);
}

static void check_change(const json_t *j)
{
	struct ops_change c, again;
	struct ops_error err;
	if (ops_change_from_json(j, &c, &err) != 0)
		return;
	json_t *printed = ops_change_to_json(&c);
	ops_assert(ops_change_from_json(printed, &again, &err) == 0);
	OPS_CLEANUP(ops_freep) char *first = text_of(printed);
	OPS_CLEANUP(ops_freep) char *second = text_of(ops_change_to_json(&again));
	ops_assert(strcmp(first, second) == 0);
	ops_change_done(&c);
	ops_change_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ops_event e;
	struct ops_error err;
	json_t *doc = NULL;
	if (ops_event_decode((const char *)data, size, &e, &doc, &err) == 0) {
		check_alert(e.data);
		check_freeze(e.data);
		check_change(e.data);
		struct ops_strbuf out = OPS_STRBUF_INIT;
		json_incref(e.data);
		ops_event_encode(&e, &out);
		ops_strbuf_done(&out);
		json_decref(doc);
	}
	doc = NULL;
	if (ops_json_parse((const char *)data, size, 1 << 20, &doc, &err) != 0)
		return 0;
	check_alert(doc);
	check_freeze(doc);
	check_change(doc);
	json_decref(doc);
	return 0;
}
