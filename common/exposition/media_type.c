/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters (version, charset, escaping) do not decide: what is in the body does. */
#include "common/exposition/exposition.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

bool ops_exposition_is_protobuf(const char *content_type)
{
	static const char type[] = "application/vnd.google.protobuf";
	size_t len = strcspn(content_type, "; \t");
	return len == sizeof(type) - 1 && strncasecmp(content_type, type, len) == 0 &&
	       strcasestr(content_type, "encoding=delimited") != NULL &&
	       strcasestr(content_type, "proto=io.prometheus.client.MetricFamily") != NULL;
}

int ops_exposition_format_of(const char *content_type, int fallback,
	enum ops_exposition_format *ret, struct ops_error *err)
{
	size_t len = strcspn(content_type, "; \t");
	if (len == strlen("text/plain") && strncasecmp(content_type, "text/plain", len) == 0) {
		*ret = OPS_EXPOSITION_TEXT;
		return 0;
	}
	if (len == strlen("application/openmetrics-text") &&
		strncasecmp(content_type, "application/openmetrics-text", len) == 0) {
		*ret = OPS_EXPOSITION_OPENMETRICS;
		return 0;
	}
	if (fallback >= 0) {
		*ret = (enum ops_exposition_format)fallback;
		return 0;
	}
	int r = len == 0 ? ops_error_set(err, -EINVAL, "the target sent no Content-Type")
			 : ops_error_set(err, -EINVAL, "the target sent Content-Type \"%.100s\"",
				   content_type);
	ops_error_hint(err, "text/plain; version=0.0.4, application/openmetrics-text, or set "
			    "fallback_scrape_protocol");
	return r;
}
