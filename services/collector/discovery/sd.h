/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a way of finding targets is made of. A class (file, dns, docker, ...) loads its settings
 * from the configuration and, started, reports target groups: sets of targets under the name of the
 * source that they come from. What was found last stays when the next look fails. Loop thread only.
 *
 * The settings live in a configuration that a reload replaces by an equal one; a class reads them
 * through sd->settings each time and keeps no pointer into them between two turns of the loop.
 */
#include "common/json/json.h"
#include "common/loop/loop.h"
#include "common/model/labels.h"
#include "common/net/http_options.h"
#include "common/net/oauth2.h"

struct col_sd;
struct col_sd_fetch; /* requests under way, sd_fetch.c */

struct col_sd_class {
	const char *name; /* NAME_sd_configs */
	/* An entry of the list: its table and the struct that it fills, and where in that the
	 * options for HTTP are, never the first member (0: there are none). */
	const struct ops_conf_key *keys;
	size_t settings_bytes, http_at;
	/* What the table cannot say or check; may be NULL. */
	int (*finish)(struct ops_arena *a, const struct ops_conf_node *node, void *settings,
		struct ops_error *err);
	size_t state_bytes; /* of sd->state, zeroed */
	/* All may be NULL. refresh runs at once and again after interval_ms (or sooner after a
	 * failure); it ends, now or later, in col_sd_replace() or col_sd_failed(). */
	int64_t (*interval_ms)(const struct col_sd *sd);
	void (*refresh)(struct col_sd *sd);
	/* The answers to col_sd_get(), in order and borrowed. */
	void (*on_replies)(struct col_sd *sd, json_t *const *replies);
	void (*start)(struct col_sd *sd);
	void (*stop)(struct col_sd *sd);
};

/* Ends with NULL. */
extern const struct col_sd_class *const col_sd_classes[];

/* ---- target groups ---- */

struct col_group {
	char *source;		    /* unique within one col_sd */
	struct ops_labels **labels; /* of each target, __address__ among them */
	size_t n, cap;
};

struct col_group *col_group_new(const char *source);
void col_group_free(struct col_group *g); /* NULL is fine */
/* Takes what the builder holds as one more target; the builder is done. */
void col_group_add(struct col_group *g, struct ops_labels_builder *target);
/* name with what a classic label name cannot have as _, behind prefix. */
void col_label_set(
	struct ops_labels_builder *b, const char *prefix, const char *name, const char *value);

/* ---- one that runs ---- */

struct col_sd_env {
	struct ops_loop *loop;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	/* The groups of sd changed. */
	void (*on_change)(void *arg);
	void *arg;
};

struct col_sd {
	const struct col_sd_class *class;
	const void *settings;
	const struct col_sd_env *env;
	void *state;
	struct col_group **groups; /* sorted by source */
	size_t n, cap;
	struct ops_timer *timer;
	struct col_sd_fetch *fetch;
	/* for those who ask how it goes */
	int64_t ok_ms;	   /* wall time of the last success; 0 = none yet */
	unsigned failures; /* since then */
	char error[256];   /* of the last failure; "" after a success */
};

struct col_sd *col_sd_new(const struct col_sd_class *class, const void *settings,
	const struct col_sd_env *env);		   /* and starts it */
void col_sd_free(struct col_sd *sd);		   /* stops it; NULL is fine */
const char *col_sd_state(const struct col_sd *sd); /* pending, ok, failing */
size_t col_sd_targets(const struct col_sd *sd);

/* Reports, by classes. Groups are taken. */
void col_sd_put(struct col_sd *sd, struct col_group *g); /* one group is new or another */
void col_sd_drop(struct col_sd *sd, const char *source);
/* These are all; the look succeeded. */
void col_sd_replace(struct col_sd *sd, struct col_group **groups, size_t n);
void col_sd_ok(struct col_sd *sd);
void col_sd_failed(struct col_sd *sd, const char *fmt, ...) OPS_PRINTF(2, 3);
/* Another refresh after this time, whatever was planned. */
void col_sd_again(struct col_sd *sd, int64_t delay_ms);

/* ---- HTTP ---- */

enum {
	COL_SD_BODY_MAX = 64 << 20
};

struct col_sd_server {
	const struct ops_http_options *http;
	const char *unix_socket; /* NULL: by the URLs' hosts */
};

/*
 * Asks for all of the URLs (copied) at once, as GET; when all have answered with 200 and JSON, the
 * class's on_replies gets them. What fails ends in col_sd_failed(). One set at a time: what is
 * under way is dropped.
 */
void col_sd_get(
	struct col_sd *sd, const struct col_sd_server *server, const char *const *urls, size_t n);
void col_sd_fetch_free(struct col_sd_fetch *f); /* NULL is fine */
/*
 * Fills a request that a class makes itself: credentials, headers, TLS. OPS_OAUTH2_WAIT: no token
 * yet, come back soon.
 */
int col_sd_fill(struct col_sd *sd, const struct ops_http_options *http,
	struct ops_http_request *req, struct ops_http_hold *hold,
	struct ops_error *err) OPS_MUST_CHECK;

/* Member getters for JSON from outside: "" when it is not there or something else. */
const char *col_json_text(const json_t *obj, const char *key);
/* Below a path of keys, or NULL. */
const json_t *col_json_at(const json_t *obj, const char *key, ...) __attribute__((sentinel));
/* Integers, booleans and texts as text, for labels; buf is used for numbers. */
const char *col_json_scalar(const json_t *value, char buf[32]);
