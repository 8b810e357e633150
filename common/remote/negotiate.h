/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Versions, media types and header names of Prometheus' remote write (1.0, 2.0) and remote read. */
#include "common/base/def.h"

enum ops_remote_version {
	OPS_REMOTE_1 = 1, /* prometheus.WriteRequest */
	OPS_REMOTE_2 = 2  /* io.prometheus.write.v2.Request */
};

#define OPS_REMOTE_VERSION_HEADER "X-Prometheus-Remote-Write-Version"
#define OPS_REMOTE_READ_VERSION_HEADER "X-Prometheus-Remote-Read-Version"
#define OPS_REMOTE_READ_VERSION "0.1.0"
/* What a 2.0 receiver answers: how much of a request it has stored. */
#define OPS_REMOTE_SAMPLES_WRITTEN "X-Prometheus-Remote-Write-Samples-Written"
#define OPS_REMOTE_HISTOGRAMS_WRITTEN "X-Prometheus-Remote-Write-Histograms-Written"
#define OPS_REMOTE_EXEMPLARS_WRITTEN "X-Prometheus-Remote-Write-Exemplars-Written"

#define OPS_REMOTE_READ_SAMPLES_TYPE "application/x-protobuf"
#define OPS_REMOTE_READ_CHUNKS_TYPE                                                                \
	"application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"

/* For the sender: its Content-Type and the value of OPS_REMOTE_VERSION_HEADER. */
const char *ops_remote_media_type(enum ops_remote_version v);
const char *ops_remote_version_text(enum ops_remote_version v);
/* Full name of the message, as protobuf_message of a configuration says it; -EINVAL. */
int ops_remote_version_parse(const char *message, enum ops_remote_version *ret) OPS_MUST_CHECK;

/*
 * For the receiver: which version a Content-Type announces. The header counts, not
 * OPS_REMOTE_VERSION_HEADER, which some senders get wrong. NULL and a type without proto= are 1.0.
 * -ENOTSUP: answer 415.
 */
int ops_remote_content_type(const char *value, enum ops_remote_version *ret) OPS_MUST_CHECK;
/* NULL (old senders leave it out) and "snappy" are fine; false: answer 415. */
bool ops_remote_content_encoding(const char *value);
