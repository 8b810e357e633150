/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Strict YAML: a tree whose nodes know their line and column, and key tables that decode a mapping
 * into a struct. Limits: file 4 MiB, depth 64, aliases (links to the anchored node) and merge keys
 * (<<) for at most 100,000 nodes in all; several documents and duplicate keys are refused. The tree
 * is free of cycles. Scalars are text; typing is by the table, a quoted scalar is always a string.
 * Every error is file:line:column: message (hint). All memory is in the caller's arena.
 * ${NAME} and ${NAME:-default} in a plain or double-quoted scalar are replaced from the environment
 * when the load options say so (an unset name without default is an error); $${ is a literal ${.
 */
#include "common/base/arena.h"
#include "common/base/error.h"

enum ops_conf_type {
	OPS_CONF_SCALAR,
	OPS_CONF_SEQUENCE,
	OPS_CONF_MAPPING
};

struct ops_conf_node {
	enum ops_conf_type type;
	bool quoted; /* scalar in quotes or a block scalar */
	int line, column;
	int indent; /* of a block scalar: columns before its lines, which begin below `line` */
	const char *file;
	const char *text; /* scalar; NUL-terminated, "" for an empty one */
	size_t len;
	struct ops_conf_node **items; /* sequence items, or mapping values */
	struct ops_conf_node **keys;  /* mapping only, same length */
	size_t n;
};

struct ops_conf_options {
	bool expand_env;
	bool keep_unset; /* with expand_env: what names no set variable and has no default stays as
			    it is:
			    ${1} in files that have a meaning of their own for it */
	bool *ret_more;	 /* not NULL: only the first document is read, and this tells whether there
			    are more; NULL: a second document is an error */
};

/* An empty document is an empty mapping. -EINVAL with err set; -errno when the file cannot be read.
 */
int ops_conf_load_file(struct ops_arena *a, const char *path, const struct ops_conf_options *opt,
	struct ops_conf_node **ret, struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_load_text(struct ops_arena *a, const char *name, const char *text, size_t len,
	const struct ops_conf_options *opt, struct ops_conf_node **ret,
	struct ops_error *err) OPS_MUST_CHECK;

const struct ops_conf_node *ops_conf_get(
	const struct ops_conf_node *mapping, const char *key); /* or NULL */
bool ops_conf_is_null(const struct ops_conf_node *n); /* NULL pointer, or plain "", ~, null */
/* -EINVAL with the node's position; a hint may be added by ops_error_hint. */
int ops_conf_error(const struct ops_conf_node *n, struct ops_error *err, const char *fmt, ...)
	OPS_PRINTF(3, 4);

/* Typed scalars; errors name the key as `what`. Durations are Prometheus' text. */
int ops_conf_string(const struct ops_conf_node *n, const char *what, const char **ret,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_bool(const struct ops_conf_node *n, const char *what, bool *ret,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_i64(const struct ops_conf_node *n, const char *what, int64_t *ret,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_double(const struct ops_conf_node *n, const char *what, double *ret,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_duration(const struct ops_conf_node *n, const char *what, int64_t *ret_ms,
	struct ops_error *err) OPS_MUST_CHECK;
int ops_conf_size(const struct ops_conf_node *n, const char *what, uint64_t *ret_bytes,
	struct ops_error *err) OPS_MUST_CHECK;

/*
 * Key tables. `offset` points into the decoded struct to a field of the kind's C type:
 *   STRING, PATH, SECRET  const char *      (PATH is resolved against the file's folder)
 *   BOOL bool; INT int64_t; DOUBLE double; DURATION int64_t (ms); SIZE uint64_t (bytes)
 *   STRINGS struct ops_conf_strings; PATHS likewise
 *   MAPPING                 nested table `sub`, decoded in place at offset (defaults apply when
 * absent) NODE                    const struct ops_conf_node * (kept as it is, for the caller to
 * decode) min/max bound INT, DURATION, SIZE when max > 0. A null value counts as absent. REQUIRED
 * keys of a nested table are required when the table is there.
 */
enum ops_conf_kind {
	OPS_CONF_K_STRING,
	OPS_CONF_K_PATH,
	OPS_CONF_K_SECRET,
	OPS_CONF_K_BOOL,
	OPS_CONF_K_INT,
	OPS_CONF_K_DOUBLE,
	OPS_CONF_K_DURATION,
	OPS_CONF_K_SIZE,
	OPS_CONF_K_STRINGS,
	OPS_CONF_K_PATHS,
	OPS_CONF_K_MAPPING,
	OPS_CONF_K_NODE,
};

enum {
	OPS_CONF_REQUIRED = 1,
	OPS_CONF_RESTART = 2,	 /* a change needs a restart: reload refuses it and says so */
	OPS_CONF_DEPRECATED = 4, /* accepted with a warning */
};

struct ops_conf_strings {
	const char **items;
	size_t n;
};

struct ops_conf_key {
	const char *name;
	enum ops_conf_kind kind;
	size_t offset;
	unsigned flags;
	const char *fallback; /* default as text, NULL = zero value */
	int64_t min, max;
	const struct ops_conf_key *sub; /* MAPPING */
	const char *doc;		/* one line for the reference page */
};
/* Tables end with a row whose name is NULL. */
#define OPS_CONF_END                                                                               \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/* A list of texts; absent or null is none. */
int ops_conf_string_list(struct ops_arena *a, const struct ops_conf_node *n, const char *what,
	struct ops_conf_strings *ret, struct ops_error *err) OPS_MUST_CHECK;
/* Of all that stands below n, whatever its positions and quotes; begins at hash. */
uint64_t ops_conf_hash(const struct ops_conf_node *n, uint64_t hash);

/* Collects what is accepted but should be looked at ("file:line:column: ..." lines). May be NULL.
 */
struct ops_conf_warnings {
	struct ops_arena *arena;
	const char **items;
	size_t n, cap;
};
void ops_conf_warn(struct ops_conf_warnings *w, const struct ops_conf_node *at, const char *fmt,
	...) OPS_PRINTF(3, 4);

/*
 * Decodes mapping into out (zeroed by the caller, strings borrow from the arena). NULL: all
 * defaults; a null in the file is a mapping without keys, so what is required is missing. Unknown
 * keys are refused with the nearest known one as hint.
 */
int ops_conf_decode(struct ops_arena *a, const struct ops_conf_node *mapping,
	const struct ops_conf_key *keys, void *out, struct ops_conf_warnings *warnings,
	struct ops_error *err) OPS_MUST_CHECK;

/* The one of n known words that word was probably meant to be, or NULL. */
const char *ops_conf_nearest(const char *word, const char *const *known, size_t n);

/*
 * The decoded values as YAML, secrets as <secret>: for --dump-config. In a NODE, scalars whose key
 * speaks of a secret (password, secret, token, ..._key) are hidden too; in any text the password of
 * a URL (user:password@) and of a connection string (password=...).
 */
struct ops_strbuf;
void ops_conf_dump(
	const struct ops_conf_key *keys, const void *values, int indent, struct ops_strbuf *out);
/* A mapping as it was written, without its comments. origins: of URLs (keys that end in url) only
 * scheme and host, where paths are secrets. */
void ops_conf_dump_node(const struct ops_conf_node *n, bool origins, struct ops_strbuf *out);
/* Markdown table rows of the reference page: name, kind, default, meaning. */
void ops_conf_reference(
	const struct ops_conf_key *keys, const char *prefix, struct ops_strbuf *out);
/* Name of the first key flagged OPS_CONF_RESTART whose value differs, or NULL. */
const char *ops_conf_restart_needed(
	const struct ops_conf_key *keys, const void *before, const void *after);
