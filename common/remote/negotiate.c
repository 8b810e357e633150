/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which message a request carries: remote write 2.0 made the media type's parameter "proto" decide,
 * so that a receiver answers 415 to what it does not know and the sender falls back. White space
 * and letter case follow RFC 9110: types and parameter names in any case, the message name exact.
 */
#include "common/remote/negotiate.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define MEDIA_TYPE "application/x-protobuf"

static const struct {
	const char *message, *media_type, *version;
} versions[] = {
	[OPS_REMOTE_1] = {"prometheus.WriteRequest", MEDIA_TYPE, "0.1.0"},
	[OPS_REMOTE_2] = {"io.prometheus.write.v2.Request",
		MEDIA_TYPE ";proto=io.prometheus.write.v2.Request", "2.0.0"},
};

const char *ops_remote_media_type(enum ops_remote_version v)
{
	return versions[v].media_type;
}

const char *ops_remote_version_text(enum ops_remote_version v)
{
	return versions[v].version;
}

static int version_parse(const char *s, size_t len, enum ops_remote_version *ret)
{
	for (int v = OPS_REMOTE_1; v <= OPS_REMOTE_2; v++)
		if (strlen(versions[v].message) == len &&
			memcmp(versions[v].message, s, len) == 0) {
			*ret = (enum ops_remote_version)v;
			return 0;
		}
	return -EINVAL;
}

int ops_remote_version_parse(const char *message, enum ops_remote_version *ret)
{
	return version_parse(message, strlen(message), ret);
}

/* The next piece between semicolons, without blanks around it. */
static size_t piece(const char **at, const char **ret)
{
	const char *begin = *at + strspn(*at, " \t");
	size_t len = strcspn(begin, ";");

	*at = begin + len + (begin[len] == ';');
	while (len > 0 && strchr(" \t", begin[len - 1]) != NULL)
		len--;
	*ret = begin;
	return len;
}

int ops_remote_content_type(const char *value, enum ops_remote_version *ret)
{
	enum ops_remote_version found = OPS_REMOTE_1;
	const char *part;

	if (value == NULL || *value == '\0') {
		*ret = OPS_REMOTE_1;
		return 0;
	}
	size_t len = piece(&value, &part);
	if (len != strlen(MEDIA_TYPE) || strncasecmp(part, MEDIA_TYPE, len) != 0)
		return -ENOTSUP;
	while (*value != '\0') {
		len = piece(&value, &part);
		if (len < 6 || strncasecmp(part, "proto=", 6) != 0)
			continue;
		part += 6;
		len -= 6;
		if (len >= 2 && part[0] == '"' && part[len - 1] == '"') {
			part++;
			len -= 2;
		}
		if (version_parse(part, len, &found) < 0)
			return -ENOTSUP;
	}
	*ret = found;
	return 0;
}

bool ops_remote_content_encoding(const char *value)
{
	return value == NULL || *value == '\0' || strcasecmp(value, "snappy") == 0;
}
