/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the command by its words, parses flags (global ones and the command's, anywhere on the
 * line), runs it. Installed as `hms` too, where a leading `ops` is skipped: `hms ops reload` is
 * `opsctl reload`.
 */
#include "cli/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/number.h"
#include "common/base/text.h"
#include "common/conf/conf.h"
#include "ops_version.h"

enum {
	COMMANDS_MAX = 64
};

const struct ctl_command *const ctl_tables[] = {ctl_alert_commands, ctl_freeze_commands,
	ctl_metric_commands, ctl_query_commands, ctl_audit_commands, ctl_timeline_commands,
	ctl_check_commands, ctl_tsdb_commands, ctl_admin_commands, NULL};

const struct ctl_flag ctl_globals[] = {
	{"json", NULL, "print JSON for scripts"},
	{"token-file", "FILE", "bearer token for the services (or OPS_TOKEN_FILE)"},
	{"timeout", "DURATION", "give up on a service after this (default 10s)"},
	{"no-color", NULL, "plain text on a terminal too (or NO_COLOR)"},
	{"help", NULL, "this text"},
	{"version", NULL, "version and exit"},
};
const size_t ctl_nglobals = OPS_LENGTH(ctl_globals);

int ctl_fail(int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("opsctl: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	return code;
}

int ctl_fail_error(int code, const struct ops_error *err)
{
	char text[1200];
	return ctl_fail(code, "%s", ops_error_text(err, text, sizeof(text)));
}

int ctl_usage(const struct ctl *c, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fputs("opsctl: ", stderr);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\nusage: opsctl %s %s\n", c->command->path, c->command->args);
	return strcmp(c->command->path, "freeze check") == 0 ? CTL_CHECK_USAGE : CTL_USAGE;
}

const char *ctl_flag(const struct ctl *c, const char *name)
{
	for (int i = 0; i < CTL_FLAGS_MAX && c->command->flags[i].name != NULL; i++) {
		if (strcmp(c->command->flags[i].name, name) == 0) {
			return c->values[i];
		}
	}
	return NULL;
}

int ctl_flag_number(const struct ctl *c, const char *name, uint64_t most, uint64_t *inout)
{
	const char *text = ctl_flag(c, name);
	uint64_t n = *inout;
	if (text != NULL && (ops_parse_u64(text, strlen(text), &n) != 0 || n == 0 || n > most)) {
		return ctl_usage(c, "--%s wants a number from 1 to %llu, not '%s'", name,
			(unsigned long long)most, text);
	}
	*inout = n;
	return CTL_OK;
}

static void print_flags(const struct ctl_flag *flags, size_t n)
{
	for (size_t i = 0; i < n && flags[i].name != NULL; i++) {
		char left[64];
		snprintf(left, sizeof(left), "--%s%s%s", flags[i].name,
			flags[i].value != NULL ? " " : "",
			flags[i].value != NULL ? flags[i].value : "");
		printf("  %-24s %s\n", left, flags[i].doc);
	}
}

static void print_help(void)
{
	puts("usage: opsctl COMMAND [ARGUMENT...] [--json] [--help]\n\ncommands:");
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			printf("  %-24s %s\n", c->path, c->summary);
		}
	}
	puts("\nflags for every command:");
	print_flags(ctl_globals, ctl_nglobals);
	puts("\nServices are found at OPS_DETECTOR_URL, OPS_COLLECTOR_URL, OPS_ALERTMANAGER_URL, "
	     "OPS_FREEZE_URL and\n"
	     "OPS_AUDITLOG_URL (default: their ports on 127.0.0.1), the database at OPS_DATABASE.\n"
	     "Exit codes: 0 done, 1 refused or failed, 2 usage, 3 configuration, 69 unreachable, "
	     "77 not permitted;\n"
	     "freeze check: 0 open, 10 frozen, 20 could not tell, 64 usage.");
}

static void print_command_help(const struct ctl_command *c)
{
	printf("usage: opsctl %s%s%s\n\n%s\n", c->path, c->args[0] != '\0' ? " " : "", c->args,
		c->summary);
	if (c->flags[0].name != NULL) {
		puts("\nflags:");
		print_flags(c->flags, CTL_FLAGS_MAX);
	}
	puts("\nflags for every command:");
	print_flags(ctl_globals, ctl_nglobals);
}

/* How many words of the command line are this command's name; 0 = it is another. */
static int words_matched(const char *path, char **words, int nwords)
{
	int used = 0;
	while (*path != '\0') {
		size_t len = strcspn(path, " ");
		if (used >= nwords || strlen(words[used]) != len ||
			memcmp(words[used], path, len) != 0) {
			return 0;
		}
		used++;
		path += len;
		path += *path == ' ' ? 1 : 0;
	}
	return used;
}

static const struct ctl_command *find_command(char **words, int nwords, int *ret_used)
{
	const struct ctl_command *best = NULL;
	*ret_used = 0;
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			int used = words_matched(c->path, words, nwords);
			if (used > *ret_used) {
				best = c;
				*ret_used = used;
			}
		}
	}
	return best;
}

/* Whether the word is only the first part of the command ("opsctl freeze"). */
static bool below(const struct ctl_command *c, const char *word)
{
	size_t len = strlen(word);
	return strncmp(c->path, word, len) == 0 && c->path[len] == ' ';
}

static bool is_group(const char *word)
{
	bool any = false;
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			any = any || below(c, word);
		}
	}
	return any;
}

static void print_group(const char *word, FILE *to)
{
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			if (below(c, word)) {
				fprintf(to, "  opsctl %s%s%s\n      %s\n", c->path,
					c->args[0] != '\0' ? " " : "", c->args, c->summary);
			}
		}
	}
}

/* The command that was probably meant, or NULL. */
static const char *nearest_command(const char *text)
{
	const char *known[COMMANDS_MAX];
	size_t n = 0;
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			ops_assert(n < COMMANDS_MAX);
			known[n++] = c->path;
		}
	}
	return ops_conf_nearest(text, known, n);
}

static int unknown_command(const struct ctl *c)
{
	OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf text = OPS_STRBUF_INIT;
	for (int i = 0; i < c->nargs; i++) {
		ops_strbuf_printf(&text, "%s%s", i > 0 ? " " : "", c->args[i]);
	}
	const char *nearest = nearest_command(ops_strbuf_text(&text));
	nearest = nearest != NULL ? nearest : nearest_command(c->args[0]);
	if (is_group(c->args[0])) {
		ctl_fail(CTL_USAGE, c->nargs > 1 ? "there is no command '%s'" : "'%s' what?",
			ops_strbuf_text(&text));
		print_group(c->args[0], stderr);
	} else if (nearest != NULL) {
		ctl_fail(CTL_USAGE, "there is no command '%s'; is it '%s'? opsctl --help lists all",
			ops_strbuf_text(&text), nearest);
	} else {
		ctl_fail(
			CTL_USAGE, "there is no command '%s'; opsctl --help lists all", c->args[0]);
	}
	return CTL_USAGE;
}

/* "opsctl help freeze check", "opsctl freeze --help" */
static void help_about(char **words, int nwords)
{
	int used = 0;
	const struct ctl_command *command = find_command(words, nwords, &used);
	if (command != NULL) {
		print_command_help(command);
	} else if (nwords > 0 && is_group(words[0])) {
		printf("usage: opsctl %s COMMAND [ARGUMENT...]\n\ncommands:\n", words[0]);
		print_group(words[0], stdout);
	} else {
		print_help();
	}
}

enum parsed {
	PARSED_RUN,
	PARSED_HELP,
	PARSED_VERSION,
	PARSED_BAD
};

static int flag_index(const struct ctl_flag *flags, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n && flags[i].name != NULL; i++) {
		if (strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0) {
			return (int)i;
		}
	}
	return -1;
}

static enum parsed set_global(struct ctl *c, const char *name, const char *value)
{
	if (strcmp(name, "help") == 0) {
		return PARSED_HELP;
	}
	if (strcmp(name, "version") == 0) {
		return PARSED_VERSION;
	}
	if (strcmp(name, "json") == 0) {
		c->json = true;
	} else if (strcmp(name, "no-color") == 0) {
		c->color = false;
	} else if (strcmp(name, "token-file") == 0) {
		c->token_file = value;
	} else if (ops_duration_parse(value, strlen(value), &c->timeout_ms) != 0) {
		ctl_fail(CTL_USAGE, "--timeout '%s' is not a duration, as in 10s", value);
		return PARSED_BAD;
	}
	return PARSED_RUN;
}

static void unknown_flag(const struct ctl *c, const char *name, size_t len)
{
	const char *known[CTL_FLAGS_MAX + OPS_LENGTH(ctl_globals)];
	size_t n = 0;
	for (int i = 0; c->command != NULL && i < CTL_FLAGS_MAX && c->command->flags[i].name; i++) {
		known[n++] = c->command->flags[i].name;
	}
	for (size_t i = 0; i < ctl_nglobals; i++) {
		known[n++] = ctl_globals[i].name;
	}
	OPS_CLEANUP(ops_freep) char *word = ops_xstrndup(name, len);
	const char *nearest = ops_conf_nearest(word, known, n);
	ctl_fail(CTL_USAGE, "unknown flag --%s%s%s%s", word, nearest != NULL ? "; is it --" : "",
		nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
	if (c->command != NULL) {
		fprintf(stderr, "opsctl %s --help lists its flags\n", c->command->path);
	}
}

/* One flag at words[*at]; moves *at over its value. */
static enum parsed parse_flag(struct ctl *c, char **words, int nwords, int *at)
{
	const char *name = words[*at] + 2;
	size_t len = strcspn(name, "=");
	const char *value = name[len] == '=' ? name + len + 1 : NULL;
	int own = c->command != NULL ? flag_index(c->command->flags, CTL_FLAGS_MAX, name, len) : -1;
	int global = own < 0 ? flag_index(ctl_globals, ctl_nglobals, name, len) : -1;
	if (own < 0 && global < 0) {
		unknown_flag(c, name, len);
		return PARSED_BAD;
	}
	const struct ctl_flag *flag = own >= 0 ? &c->command->flags[own] : &ctl_globals[global];
	if (flag->value != NULL && value == NULL) {
		if (*at + 1 >= nwords) {
			ctl_fail(CTL_USAGE, "--%s needs a value: %s", flag->name, flag->value);
			return PARSED_BAD;
		}
		value = words[++*at];
	}
	if (own >= 0) {
		c->values[own] = value != NULL ? value : "";
		return PARSED_RUN;
	}
	return set_global(c, flag->name, value != NULL ? value : "");
}

static enum parsed parse_words(struct ctl *c, char **words, int nwords)
{
	bool literal = false; /* behind "--" */
	enum parsed outcome = PARSED_RUN;
	for (int i = 0; i < nwords && outcome != PARSED_BAD; i++) {
		if (!literal && strcmp(words[i], "--") == 0) {
			literal = true;
		} else if (!literal && strcmp(words[i], "-h") == 0) {
			outcome = PARSED_HELP;
		} else if (!literal && ops_str_starts(words[i], "--")) {
			enum parsed one = parse_flag(c, words, nwords, &i);
			outcome = one != PARSED_RUN ? one : outcome;
		} else if (c->nargs < CTL_ARGS_MAX) {
			c->args[c->nargs++] = words[i];
		} else {
			ctl_fail(CTL_USAGE, "more than %d arguments", CTL_ARGS_MAX);
			outcome = PARSED_BAD;
		}
	}
	return outcome;
}

/* Global flags may stand before the command ("opsctl --json top"): how many words they take. */
static int leading_flags(char **words, int nwords)
{
	int i = 0;
	while (i < nwords && ops_str_starts(words[i], "--") && words[i][2] != '\0') {
		const char *name = words[i] + 2;
		size_t len = strcspn(name, "=");
		int at = flag_index(ctl_globals, ctl_nglobals, name, len);
		if (at < 0) {
			break;
		}
		i += ctl_globals[at].value != NULL && name[len] != '=' ? 2 : 1;
	}
	return OPS_MIN(i, nwords);
}

/* The usage line says it: "[FILE...] [--json]" does, "--scope SCOPE" and "[--follow]" do not. */
static bool takes_arguments(const struct ctl_command *cmd)
{
	const char *word = cmd->args;
	bool value = false; /* of the flag before it */
	while (*word != '\0') {
		size_t len = strcspn(word, " ");
		size_t open = strspn(word, "([");
		bool flag = ops_str_starts(word + open, "--");
		if (!flag && !value && word[0] != '|') {
			return true;
		}
		value = flag && word[len - 1] != ']';
		word += len + (word[len] == ' ' ? 1 : 0);
	}
	return false;
}

static int print_version(void)
{
	puts("opsctl " OPS_VERSION " (" OPS_REVISION ")");
	return CTL_OK;
}

/* Behind global flags there are no words of a command: help, or a mistake. */
static int run_no_command(struct ctl *c, bool help, char **words, int nwords)
{
	for (int i = 0; i < nwords; i++) {
		help = help || strcmp(words[i], "--help") == 0 || strcmp(words[i], "-h") == 0;
	}
	bool word = nwords > 0 && strcmp(words[0], "help") == 0;
	if (help || word) {
		help_about(words + word, nwords - word);
		return CTL_OK;
	}
	if (nwords == 0) {
		print_help();
		return CTL_USAGE;
	}
	if (ops_str_starts(words[0], "--")) {
		unknown_flag(c, words[0] + 2, strcspn(words[0] + 2, "="));
		return CTL_USAGE;
	}
	c->args[c->nargs++] = words[0];
	if (nwords > 1 && words[1][0] != '-') {
		c->args[c->nargs++] = words[1];
	}
	return unknown_command(c);
}

static int run(struct ctl *c, char **words, int nwords)
{
	int used = 0, lead = leading_flags(words, nwords);
	c->command = find_command(words + lead, nwords - lead, &used);
	enum parsed outcome = parse_words(c, words, lead);
	if (c->command == NULL && (outcome == PARSED_RUN || outcome == PARSED_HELP)) {
		return run_no_command(c, outcome == PARSED_HELP, words + lead, nwords - lead);
	}
	enum parsed rest = parse_words(c, words + lead + used, nwords - lead - used);
	outcome = rest == PARSED_RUN || outcome == PARSED_BAD ? outcome : rest;
	if (outcome == PARSED_VERSION) {
		return print_version();
	}
	if (outcome == PARSED_BAD) {
		return c->command != NULL && strcmp(c->command->path, "freeze check") == 0
			       ? CTL_CHECK_USAGE
			       : CTL_USAGE;
	}
	if (outcome == PARSED_HELP) {
		print_command_help(c->command);
		return CTL_OK;
	}
	if (c->nargs > 0 && !takes_arguments(c->command)) {
		return ctl_usage(c, "unexpected argument '%s'", c->args[0]);
	}
	return c->command->run(c);
}

int main(int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR");
	struct ctl c = {.timeout_ms = 10000,
		.token_file = getenv("OPS_TOKEN_FILE"),
		.color = isatty(STDOUT_FILENO) && (no_color == NULL || no_color[0] == '\0')};
	if (c.token_file != NULL && c.token_file[0] == '\0') {
		c.token_file = NULL;
	}
	int skip = 1;
	const char *slash = strrchr(argv[0], '/');
	if (strcmp(slash != NULL ? slash + 1 : argv[0], "hms") == 0 && argc > 1 &&
		strcmp(argv[1], "ops") == 0) {
		skip = 2;
	}
	int code = run(&c, argv + skip, argc - skip);
	if (fflush(stdout) != 0) {
		return ctl_fail(CTL_FAILED, "could not write the output");
	}
	return code;
}
