/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Go's text/template as notification templates and rule annotations use it: actions, pipelines,
 * variables, if / else / range / with / define / template / block / break / continue, comments,
 * trim markers, built-in functions (and or not eq ne lt le gt ge len index slice printf print
 * println html js urlquery) and functions of the caller. Missing keys of a map give the zero value.
 *
 * A set holds named templates ({{ define }}) from files; a template is one parsed text that may
 * call them. Values live in the arena of one execution. Errors carry the template's name, line and
 * column. Bounded: steps, output, nesting of calls, size of the text (1 MiB). Loop thread only.
 */
#include "common/base/arena.h"
#include "common/base/def.h"
#include "common/base/error.h"

struct ops_strbuf;

/* ---- values ---- */

enum ops_tmpl_kind {
	OPS_TMPL_NIL,
	OPS_TMPL_BOOL,
	OPS_TMPL_INT,
	OPS_TMPL_FLOAT,
	OPS_TMPL_STRING,
	OPS_TMPL_TIME,
	OPS_TMPL_LIST,
	OPS_TMPL_MAP, /* string keys; also a struct, see ops_tmpl_map.strict */
};

struct ops_tmpl_time {
	int64_t ms;	  /* since 1970 UTC; OPS_TMPL_TIME_ZERO = Go's zero time */
	int32_t offset_s; /* east of UTC */
	char zone[12];	  /* abbreviation, "UTC" */
};
#define OPS_TMPL_TIME_ZERO (-62135596800000LL)

struct ops_tmpl_value {
	enum ops_tmpl_kind kind;
	bool safe; /* string that html mode must not escape */
	union {
		bool boolean;
		int64_t i64;
		double f64;
		struct {
			const char *s; /* NUL-terminated, in the arena or outliving it */
			size_t len;
		} str;
		struct ops_tmpl_time time;
		struct ops_tmpl_list *list;
		struct ops_tmpl_map *map;
	} u;
};

struct ops_tmpl_call;
/*
 * A function or a method (args[0] is then the receiver). Result and temporary values go to
 * ops_tmpl_arena(call). 0, or what ops_tmpl_fail() returns.
 */
typedef int ops_tmpl_fn(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret);

struct ops_tmpl_func { /* tables end with a NULL name */
	const char *name;
	ops_tmpl_fn *fn;
	int min_args, max_args; /* max -1 = any; a method's receiver is not counted */
};

struct ops_tmpl_list {
	struct ops_tmpl_value *items;
	size_t n, cap;
	const struct ops_tmpl_func *methods; /* may be NULL */
	bool is_nil;			     /* prints [], JSON null */
};

struct ops_tmpl_map { /* kept in order of insertion; printed and ranged in key order unless strict
		       */
	const char **keys;
	struct ops_tmpl_value *values;
	size_t n, cap;
	const struct ops_tmpl_func *methods; /* may be NULL */
	bool strict;  /* a struct: an unknown field is an error; printed as its field
			 String when it has one */
	bool strings; /* map of strings: a missing key is "" (else nil, "<no value>") */
	bool is_nil;
};

struct ops_tmpl_value ops_tmpl_nil(void);
struct ops_tmpl_value ops_tmpl_bool(bool v);
struct ops_tmpl_value ops_tmpl_int(int64_t v);
struct ops_tmpl_value ops_tmpl_float(double v);
struct ops_tmpl_value ops_tmpl_string(const char *s); /* borrowed; NULL = "" */
struct ops_tmpl_value ops_tmpl_stringn(struct ops_arena *a, const char *s, size_t len); /* copied */
struct ops_tmpl_value ops_tmpl_time(int64_t ms);					/* in UTC */
struct ops_tmpl_value ops_tmpl_list(struct ops_arena *a);
void ops_tmpl_list_add(struct ops_arena *a, struct ops_tmpl_list *l, struct ops_tmpl_value v);
struct ops_tmpl_value ops_tmpl_map(struct ops_arena *a);
void ops_tmpl_map_set(struct ops_arena *a, struct ops_tmpl_map *m, const char *key,
	struct ops_tmpl_value v); /* key borrowed */
const struct ops_tmpl_value *ops_tmpl_map_get(
	const struct ops_tmpl_map *m, const char *key); /* or NULL */

bool ops_tmpl_truth(const struct ops_tmpl_value *v);
void ops_tmpl_print(const struct ops_tmpl_value *v, struct ops_strbuf *out); /* as fmt.Print */
void ops_tmpl_json(const struct ops_tmpl_value *v, struct ops_strbuf *out);
/* Number of a bool-free numeric or numeric text; -EINVAL. */
int ops_tmpl_number(const struct ops_tmpl_value *v, double *ret) OPS_MUST_CHECK;
/* Text of a string value, or of any other printed into the arena. */
const char *ops_tmpl_text(struct ops_arena *a, const struct ops_tmpl_value *v, size_t *ret_len);
/* Go's time layouts ("2006-01-02T15:04:05Z07:00"). */
void ops_tmpl_time_format(
	const struct ops_tmpl_time *t, const char *layout, struct ops_strbuf *out);
int ops_tmpl_time_parse(const char *layout, const char *text,
	struct ops_tmpl_time *ret) OPS_MUST_CHECK; /* -EINVAL */

/* ---- sets and templates ---- */

struct ops_tmpl_set; /* opaque */
struct ops_tmpl;     /* opaque; one parsed text, borrows its set */

struct ops_tmpl_config {
	const struct ops_tmpl_func
		*funcs; /* the caller's; win over built-in ones; outlive the set; may be NULL */
	const char *const *vars; /* names of variables that exist from the start ("labels");
				    NULL-ended; may be NULL */
};
struct ops_tmpl_set *ops_tmpl_set_new(const struct ops_tmpl_config *cfg);
void ops_tmpl_set_free(struct ops_tmpl_set *set); /* after its templates */
/* Adds the {{ define }}s of a file; a later definition of the same name wins. -EINVAL with err. */
int ops_tmpl_set_add(struct ops_tmpl_set *set, const char *name, const char *text, size_t len,
	struct ops_error *err) OPS_MUST_CHECK;
bool ops_tmpl_set_has(const struct ops_tmpl_set *set, const char *name);

/* name is for error messages. -EINVAL with err (file = name, line, column). */
int ops_tmpl_parse(struct ops_tmpl_set *set, const char *name, const char *text, size_t len,
	struct ops_tmpl **ret, struct ops_error *err) OPS_MUST_CHECK;
void ops_tmpl_free(struct ops_tmpl *t);

struct ops_tmpl_env {
	struct ops_arena *arena; /* of this execution */
	struct ops_tmpl_value dot;
	const struct ops_tmpl_value *vars; /* one per name in config.vars, same order */
	void *user;			   /* for the functions: ops_tmpl_user() */
	bool html;			   /* escape what actions print, unless safe */
	size_t max_output_bytes;	   /* 0 = 1 MiB */
	unsigned max_steps;		   /* 0 = 1,000,000 */
};
/* Appends to out. -EINVAL with err (position of the failing action); out then holds what came
 * before. */
int ops_tmpl_exec(const struct ops_tmpl *t, const struct ops_tmpl_env *env, struct ops_strbuf *out,
	struct ops_error *err) OPS_MUST_CHECK;
/* Parse, execute and free in one go: for short texts. */
int ops_tmpl_expand(struct ops_tmpl_set *set, const char *name, const char *text,
	const struct ops_tmpl_env *env, struct ops_strbuf *out,
	struct ops_error *err) OPS_MUST_CHECK;

/* ---- inside a function ---- */
struct ops_arena *ops_tmpl_arena(struct ops_tmpl_call *call);
void *ops_tmpl_user(struct ops_tmpl_call *call);
int ops_tmpl_fail(struct ops_tmpl_call *call, const char *fmt, ...) OPS_PRINTF(2, 3); /* -EINVAL */
/* Runs the named template of the set with another dot ({{ tmpl "name" dot }} of rule templates). */
int ops_tmpl_call_named(struct ops_tmpl_call *call, const char *name,
	const struct ops_tmpl_value *dot, struct ops_strbuf *out) OPS_MUST_CHECK;

/*
 * Functions that rule and notification templates share: toUpper toLower title trimSpace join match
 * reReplaceAll stringSlice safeHtml safeUrl toJson list dict append date base64encode base64decode.
 */
extern const struct ops_tmpl_func ops_tmpl_common_funcs[];
