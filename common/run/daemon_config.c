/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a service holds the common keys beside its own. Both tables are joined into one, so
 * that an unknown key is looked for in all of them, and --dump-config and --config-reference show
 * one file. A service table may not reuse a common name.
 *
 * What names a door, a directory or a peer needs a restart; reload refuses to change it instead of
 * pretending.
 */
#include "common/run/daemon.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/text.h"

#define AT(member) offsetof(struct ops_daemon_config, member)

static const struct ops_conf_key bus_tls_keys[] = {
	{"ca_file", OPS_CONF_K_PATH, AT(bus_ca_file), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"who signs the stack's certificates"},
	{"cert_file", OPS_CONF_K_PATH, AT(bus_cert_file), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"our certificate"},
	{"key_file", OPS_CONF_K_PATH, AT(bus_cert_key_file), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"its key"},
	{"server_name", OPS_CONF_K_STRING, AT(bus_server_name), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"name that a peer's certificate must carry"},
	OPS_CONF_END,
};

static const struct ops_conf_key bus_keys[] = {
	{"key_file", OPS_CONF_K_PATH, AT(bus_key_file), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"the stack's key; frames without its MAC are dropped"},
	{"tls", OPS_CONF_K_MAPPING, 0, 0, NULL, 0, 0, bus_tls_keys,
		"certificates for tls+tcp:// addresses"},
	OPS_CONF_END,
};

static const struct ops_conf_key http_keys[] = {
	{"requests_per_second", OPS_CONF_K_INT, AT(requests_per_second), OPS_CONF_RESTART, "0", 0,
		1000000, NULL, "per client address, bursts of twice that; 0 = no limit"},
	{"body_limit", OPS_CONF_K_SIZE, AT(http_body_bytes), OPS_CONF_RESTART, "10MiB", 1024,
		(int64_t)1 << 30, NULL, "largest request body"},
	{"connections", OPS_CONF_K_INT, AT(http_connections), OPS_CONF_RESTART, "1024", 1, 100000,
		NULL, "open connections at a time"},
	OPS_CONF_END,
};

const struct ops_conf_key ops_daemon_keys[] = {
	{"listen", OPS_CONF_K_STRING, AT(listen), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"address of the HTTP door"},
	{"web_config_file", OPS_CONF_K_PATH, AT(web_config_file), OPS_CONF_RESTART, NULL, 0, 0,
		NULL, "TLS, users, tokens and roles; its content is reloaded"},
	{"anonymous_role", OPS_CONF_K_STRING, AT(anonymous_role), OPS_CONF_RESTART, "viewer", 0, 0,
		NULL,
		"role of a caller without credentials: none, viewer, operator, approver, admin"},
	{"external_url", OPS_CONF_K_STRING, AT(external_url), 0, NULL, 0, 0, NULL,
		"how people reach this service; for links"},
	{"state_dir", OPS_CONF_K_PATH, AT(state_dir), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"what must survive a restart; one process per directory"},
	{"bus", OPS_CONF_K_MAPPING, 0, 0, NULL, 0, 0, bus_keys, "keys of the message bus"},
	{"audit_url", OPS_CONF_K_STRING, AT(audit_url), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"append socket of ops-auditlog; empty: records wait in the state directory"},
	{"database", OPS_CONF_K_STRING, AT(database), OPS_CONF_RESTART, NULL, 0, 0, NULL,
		"libpq connection string without password; empty: no history in SQL"},
	{"database_password_file", OPS_CONF_K_PATH, AT(database_password_file), OPS_CONF_RESTART,
		NULL, 0, 0, NULL, "file with the database password"},
	{"log_level", OPS_CONF_K_STRING, AT(log_level), 0, "info", 0, 0, NULL,
		"debug, info, warn or error"},
	{"http", OPS_CONF_K_MAPPING, 0, 0, NULL, 0, 0, http_keys, "limits of the HTTP door"},
	{"drain_timeout", OPS_CONF_K_DURATION, AT(drain_timeout_ms), 0, "20s", 0, 3600000, NULL,
		"how long SIGTERM waits for what is under way"},
	OPS_CONF_END,
};

static size_t table_length(const struct ops_conf_key *keys)
{
	size_t n = 0;

	while (keys != NULL && keys[n].name != NULL)
		n++;
	return n;
}

static bool table_has(const struct ops_conf_key *keys, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(keys[i].name, name) == 0)
			return true;
	}
	return false;
}

static const char *default_state_dir(const struct ops_service *service, struct ops_arena *a)
{
	const char *name =
		ops_str_starts(service->name, "ops-") ? service->name + 4 : service->name;

	return ops_arena_printf(a, "/var/lib/hms-ops/%s", name);
}

const struct ops_conf_key *ops_daemon_table(const struct ops_service *service, struct ops_arena *a)
{
	size_t common = table_length(ops_daemon_keys), own = table_length(service->keys);
	struct ops_conf_key *table = ops_arena_array(a, struct ops_conf_key, common + own + 1);

	memcpy(table, ops_daemon_keys, common * sizeof(*table));
	for (size_t i = 0; i < common; i++) {
		if (strcmp(table[i].name, "listen") == 0)
			table[i].fallback = service->default_listen;
		else if (strcmp(table[i].name, "state_dir") == 0)
			table[i].fallback = default_state_dir(service, a);
	}
	for (size_t i = 0; i < own; i++) {
		ops_assert(!table_has(table, common, service->keys[i].name));
		table[common + i] = service->keys[i];
	}
	return table;
}

const struct ops_daemon_config *ops_loaded_common(const struct ops_loaded *l)
{
	return l->config;
}

static int check_common(
	struct ops_loaded *l, const struct ops_conf_node *root, struct ops_error *err)
{
	const struct ops_daemon_config *c = ops_loaded_common(l);
	int rc;

	if (ops_role_parse(c->anonymous_role, &l->anonymous_role) != 0) {
		rc = ops_conf_error(ops_conf_get(root, "anonymous_role"), err,
			"unknown role \"%s\"", c->anonymous_role);
		ops_error_hint(err, "none, viewer, operator, approver or admin");
		return rc;
	}
	if (ops_log_level_parse(c->log_level, &l->log_level) != 0) {
		rc = ops_conf_error(ops_conf_get(root, "log_level"), err,
			"unknown log level \"%s\"", c->log_level);
		ops_error_hint(err, "debug, info, warn or error");
		return rc;
	}
	if (c->database != NULL && strstr(c->database, "password=") != NULL)
		ops_conf_warn(&l->warnings, ops_conf_get(root, "database"),
			"a password in database can be seen by everyone who reads this file; use "
			"database_password_file");
	return 0;
}

void ops_loaded_free(struct ops_loaded *l)
{
	if (l == NULL)
		return;
	ops_arena_done(&l->arena);
	free(l);
}

static struct ops_conf_node *new_node(
	struct ops_arena *a, const char *flag, enum ops_conf_type type, const char *text)
{
	struct ops_conf_node *n = ops_arena_new(a, struct ops_conf_node);

	n->type = type;
	n->file = ops_arena_printf(a, "--%s", flag);
	n->text = ops_arena_strdup(a, text);
	n->len = strlen(text);
	return n;
}

/* The mapping's value of that name becomes node. */
static void put_node(struct ops_arena *a, struct ops_conf_node *mapping, const char *name,
	struct ops_conf_node *node)
{
	for (size_t i = 0; i < mapping->n; i++)
		if (strcmp(mapping->keys[i]->text, name) == 0) {
			mapping->items[i] = node;
			return;
		}
	struct ops_conf_node **items = ops_arena_array(a, struct ops_conf_node *, mapping->n + 1);
	struct ops_conf_node **keys = ops_arena_array(a, struct ops_conf_node *, mapping->n + 1);
	for (size_t i = 0; i < mapping->n; i++) {
		items[i] = mapping->items[i];
		keys[i] = mapping->keys[i];
	}
	items[mapping->n] = node;
	keys[mapping->n] = ops_arena_new(a, struct ops_conf_node);
	*keys[mapping->n] = *node;
	keys[mapping->n]->type = OPS_CONF_SCALAR;
	keys[mapping->n]->text = name;
	keys[mapping->n]->len = strlen(name);
	mapping->items = items;
	mapping->keys = keys;
	mapping->n++;
}

static struct ops_conf_node *list_of(
	struct ops_arena *a, const char *flag, struct ops_conf_node *item)
{
	struct ops_conf_node *list = new_node(a, flag, OPS_CONF_SEQUENCE, "");
	list->items = ops_arena_array(a, struct ops_conf_node *, 1);
	list->items[0] = item;
	list->n = 1;
	return list;
}

/* KEY or KEY.KEY; what is there and is no mapping is replaced by one. */
static void apply_flag(struct ops_arena *a, struct ops_conf_node *root,
	const struct ops_service_flag *flag, const char *value)
{
	struct ops_conf_node *at = root, *node = new_node(a, flag->name, OPS_CONF_SCALAR, value);
	const char *dot = strchr(flag->key, '.'), *list = strstr(flag->key, "[]");

	node->quoted = true;
	if (list != NULL) {
		put_node(a, root, ops_arena_strndup(a, flag->key, (size_t)(list - flag->key)),
			list_of(a, flag->name, node));
		return;
	}
	if (dot != NULL) {
		const char *outer = ops_arena_strndup(a, flag->key, (size_t)(dot - flag->key));
		at = NULL;
		for (size_t i = 0; i < root->n; i++)
			if (strcmp(root->keys[i]->text, outer) == 0 &&
				root->items[i]->type == OPS_CONF_MAPPING)
				at = root->items[i];
		if (at == NULL) {
			at = new_node(a, flag->name, OPS_CONF_MAPPING, "");
			put_node(a, root, outer, at);
		}
	}
	put_node(a, at, dot != NULL ? dot + 1 : flag->key, node);
}

static void apply_flags(const struct ops_service *service, const struct ops_flags *flags,
	struct ops_arena *a, struct ops_conf_node *root)
{
	const struct ops_service_flag *f = service->flags;

	for (size_t i = 0; f != NULL && f[i].name != NULL; i++)
		if (flags->values[i] != NULL)
			apply_flag(a, root, &f[i], flags->values[i]);
}

int ops_loaded_new(const struct ops_service *service, const struct ops_flags *flags,
	struct ops_loaded **ret, struct ops_error *err)
{
	struct ops_loaded *l = ops_xcalloc(1, sizeof(*l));
	const struct ops_conf_options opt = {.expand_env = true};
	struct ops_conf_node *root = NULL;

	ops_assert(service->config_size >= sizeof(struct ops_daemon_config));
	ops_arena_init(&l->arena);
	l->warnings.arena = &l->arena;
	l->keys = ops_daemon_table(service, &l->arena);
	l->config = ops_arena_alloc(&l->arena, service->config_size);
	int rc = ops_conf_load_file(&l->arena, flags->config, &opt, &root, err);
	if (rc == 0 && root->type == OPS_CONF_MAPPING)
		apply_flags(service, flags, &l->arena, root);
	if (rc == 0)
		rc = ops_conf_decode(&l->arena, root, l->keys, l->config, &l->warnings, err);
	l->root = root;
	if (rc == 0)
		rc = check_common(l, root, err);
	if (rc != 0) {
		ops_loaded_free(l);
		return rc;
	}
	*ret = l;
	return 0;
}

/* A service's check knows values, not places: a message that begins with a key gets the place of
 * that key. */
static void place_error(const struct ops_loaded *l, struct ops_error *err)
{
	if (err->file[0] != '\0')
		return;
	OPS_CLEANUP(ops_freep) char *key = ops_xstrndup(err->message, strcspn(err->message, " :"));
	const struct ops_conf_node *n = ops_conf_get(l->root, key);
	struct ops_error at;
	(void)!ops_conf_error(n != NULL ? n : l->root, &at, "%s", err->message);
	memcpy(err->file, at.file, sizeof(err->file));
	err->line = n != NULL ? at.line : 0;
	err->column = n != NULL ? at.column : 0;
}

int ops_loaded_check(const struct ops_service *service, struct ops_loaded *l, struct ops_error *err)
{
	const char *web = ops_loaded_common(l)->web_config_file;

	if (web != NULL && *web != '\0') {
		int rc = ops_http_web_config_check(web, err);
		if (rc != 0)
			return rc;
	}
	if (service->check == NULL)
		return 0;
	int rc = service->check(l->config, &l->warnings, err);
	if (rc != 0)
		place_error(l, err);
	return rc;
}

/* host=... dbname=... : quoted with backslashes, as libpq reads it. */
static void add_keyword_password(struct ops_strbuf *out, const char *password)
{
	ops_strbuf_adds(out, " password='");
	for (const char *p = password; *p != '\0'; p++) {
		if (*p == '\'' || *p == '\\')
			ops_strbuf_addc(out, '\\');
		ops_strbuf_addc(out, *p);
	}
	ops_strbuf_addc(out, '\'');
}

/* postgresql://... : as a percent-encoded parameter. */
static void add_uri_password(struct ops_strbuf *out, const char *uri, const char *password)
{
	ops_strbuf_adds(out, strchr(uri, '?') != NULL ? "&password=" : "?password=");
	for (const char *p = password; *p != '\0'; p++) {
		if (isalnum((unsigned char)*p))
			ops_strbuf_addc(out, *p);
		else
			ops_strbuf_printf(out, "%%%02x", (unsigned char)*p);
	}
}

int ops_daemon_conninfo(const struct ops_daemon_config *c, char **ret, struct ops_error *err)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	char *password = NULL;

	if (c->database_password_file != NULL && *c->database_password_file != '\0') {
		int rc = ops_file_read_secret(c->database_password_file, &password);
		if (rc != 0)
			return ops_error_set(err, rc,
				"could not read database_password_file %s: %s",
				c->database_password_file, strerror(-rc));
	}
	ops_strbuf_adds(&out, c->database);
	bool uri = ops_str_starts(c->database, "postgresql://") ||
		   ops_str_starts(c->database, "postgres://");
	if (password != NULL && uri)
		add_uri_password(&out, c->database, password);
	else if (password != NULL)
		add_keyword_password(&out, password);
	if (password != NULL)
		explicit_bzero(password, strlen(password));
	free(password);
	*ret = ops_strbuf_take(&out);
	return 0;
}
