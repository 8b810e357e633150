/* SPDX-License-Identifier: Apache-2.0 */
/* Shell completion, printed from the command tables: a new command completes without a second list.
 */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

static void add_services(struct ops_strbuf *out)
{
	for (enum ctl_service s = 0; s < CTL_SERVICES; s++) {
		ops_strbuf_printf(out, " %s", ctl_service_name(s));
	}
}

/* "deploy|rollback" of the usage line as words; nothing when there is no choice. */
static void add_choice(const char *text, struct ops_strbuf *out)
{
	size_t len = strcspn(text, " ])");
	if (memchr(text, '|', len) == NULL) {
		return;
	}
	ops_strbuf_addc(out, ' ');
	for (size_t i = 0; i < len; i++) {
		ops_strbuf_addc(out, text[i] == '|' ? ' ' : text[i]);
	}
}

static void print_case(const struct ctl_command *cmd)
{
	struct ops_strbuf words = OPS_STRBUF_INIT;
	printf("\t\"%s\") flags+=\"", cmd->path);
	for (int i = 0; i < CTL_FLAGS_MAX && cmd->flags[i].name != NULL; i++) {
		printf(" --%s", cmd->flags[i].name);
	}
	if (ops_str_starts(cmd->args, "[SERVICE")) {
		add_services(&words);
	} else if (cmd->args[strspn(cmd->args, "abcdefghijklmnopqrstuvwxyz|")] == '\0') {
		add_choice(cmd->args, &words);
	}
	printf(words.len > 0 ? "\"; words+=\"%s\" ;;\n" : "\"%s ;;\n", ops_strbuf_text(&words));
	ops_strbuf_done(&words);
}

/* What may follow a flag, where that is a choice. */
static void print_values(const struct ctl_command *cmd)
{
	for (int i = 0; i < CTL_FLAGS_MAX && cmd->flags[i].name != NULL; i++) {
		OPS_CLEANUP(ops_strbuf_done) struct ops_strbuf words = OPS_STRBUF_INIT;
		OPS_CLEANUP(ops_freep) char *flag = ops_xasprintf("--%s ", cmd->flags[i].name);
		const char *in_usage = strstr(cmd->args, flag);
		if (ops_str_eq(cmd->flags[i].value, "SERVICE")) {
			add_services(&words);
		} else if (in_usage != NULL) {
			add_choice(in_usage + strlen(flag), &words);
		}
		if (words.len > 0) {
			printf("\t\"%s --%s\") words=\"%s\" ;;\n", cmd->path, cmd->flags[i].name,
				ops_strbuf_text(&words));
		}
	}
}

static void print_each(void (*print)(const struct ctl_command *cmd))
{
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			print(c);
		}
	}
}

/* The words that may follow each prefix: "" -> alerts freeze ..., "freeze" -> status check ... */
static void print_words(void)
{
	puts("\tlocal words=\"\"\n\tcase \"$path\" in");
	struct ops_strbuf first = OPS_STRBUF_INIT;
	const char *last = "";
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			size_t len = strcspn(c->path, " ");
			if (strncmp(last, c->path, len + 1) != 0 &&
				(strncmp(last, c->path, len) != 0 || last[len] != ' ')) {
				ops_strbuf_printf(&first, "%.*s ", (int)len, c->path);
			}
			last = c->path;
			if (c->path[len] == ' ') {
				printf("\t\"%.*s\") words+=\" %s\" ;;&\n", (int)len, c->path,
					c->path + len + 1);
			}
		}
	}
	printf("\t\"\") words=\"%s\" ;;\n\tesac\n", ops_strbuf_text(&first));
	ops_strbuf_done(&first);
}

/* "|freeze|freeze check|...": a word belongs to the command only when it makes it one of these, so
 * that the value of a flag is not taken for a part of it. */
static void print_known(void)
{
	printf("\tlocal known=\"|");
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			printf("%.*s|%s|", (int)strcspn(c->path, " "), c->path, c->path);
		}
	}
	puts("\"");
}

static void print_globals(void)
{
	printf("\tlocal flags=\"");
	for (size_t i = 0; i < ctl_nglobals; i++) {
		printf("%s--%s", i > 0 ? " " : "", ctl_globals[i].name);
	}
	puts("\"");
}

static void print_bash(void)
{
	puts("# bash completion for opsctl; load with: source <(opsctl completion bash)\n"
	     "_opsctl() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} path=\"\" i next");
	print_globals();
	print_known();
	puts("\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tnext=\"${path:+$path }${COMP_WORDS[i]}\"\n"
	     "\t\tcase $known in *\"|$next|\"*) path=$next ;; esac\n"
	     "\tdone");
	print_words();
	puts("\tcase \"$path\" in");
	print_each(print_case);
	puts("\tesac\n\tcase \"$path ${COMP_WORDS[COMP_CWORD - 1]}\" in");
	print_each(print_values);
	puts("\tesac\n"
	     "\tcase $cur in\n"
	     "\t-*) mapfile -t COMPREPLY < <(compgen -W \"$flags\" -- \"$cur\") ;;\n"
	     "\t*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
	     "\tesac\n"
	     "}\n"
	     "complete -o default -F _opsctl opsctl hms");
}

int ctl_run_completion(struct ctl *c)
{
	if (c->nargs != 1 || (strcmp(c->args[0], "bash") != 0 && strcmp(c->args[0], "zsh") != 0)) {
		return ctl_usage(c, "for which shell?");
	}
	if (strcmp(c->args[0], "zsh") == 0) {
		puts("autoload -U +X bashcompinit && bashcompinit");
	}
	print_bash();
	return CTL_OK;
}
