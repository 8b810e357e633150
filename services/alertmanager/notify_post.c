/* SPDX-License-Identifier: Apache-2.0 */
/* What several kinds of notification send with: a POST of JSON, a secret from its file. */
#include "services/alertmanager/notify.h"

#include <errno.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/json/json.h"

int alm_secret(struct ops_arena *a, const char *value, const char *file, const char **ret,
	struct ops_error *err)
{
	char *text OPS_CLEANUP(ops_freep) = NULL;

	if (file == NULL || file[0] == '\0') {
		*ret = value != NULL ? value : "";
		return 0;
	}
	int rc = ops_file_read_secret(file, &text);
	if (rc != 0)
		return ops_error_set(err, -EINVAL, "could not read %s: %s", file, strerror(-rc));
	*ret = ops_arena_strdup(a, text);
	return 0;
}

void alm_http_post_json(
	struct ops_arena *a, const char *url, json_t *body, struct alm_outgoing *ret)
{
	static const char *const headers[] = {"Content-Type: application/json"};
	struct ops_strbuf text OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;

	ops_json_dump(body, &text);
	json_decref(body);
	*ret = (struct alm_outgoing){.request = {.method = "POST",
					     .url = url,
					     .headers = headers,
					     .nheaders = OPS_LENGTH(headers),
					     .max_response_bytes = 1 << 20}};
	ret->request.body = ops_arena_dup(a, ops_strbuf_text(&text), text.len + 1);
	ret->request.body_len = text.len;
}
