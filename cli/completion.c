/* SPDX-License-Identifier: Apache-2.0 */
/* Shell completion, printed from the command tables: a new command completes without a second list.
 */
#include "cli/ctl.h"

#include <stdio.h>
#include <string.h>

static void print_case(const struct ctl_command *cmd)
{
	printf("\t\"%s\") flags=\"--json --token-file --timeout --no-color --help", cmd->path);
	for (int i = 0; i < CTL_FLAGS_MAX && cmd->flags[i].name != NULL; i++) {
		printf(" --%s", cmd->flags[i].name);
	}
	puts("\" ;;");
}

/* The words that may follow each prefix: "" -> alerts freeze ..., "freeze" -> status check ... */
static void print_words(void)
{
	puts("\tlocal words=\"\"\n\tcase \"$path\" in");
	struct ops_strbuf first = OPS_STRBUF_INIT;
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			ops_strbuf_printf(&first, "%.*s ", (int)strcspn(c->path, " "), c->path);
			const char *space = strchr(c->path, ' ');
			if (space != NULL) {
				printf("\t\"%.*s\") words+=\" %s\" ;;&\n", (int)(space - c->path),
					c->path, space + 1);
			}
		}
	}
	printf("\t\"\") words=\"%s\" ;;\n\tesac\n", ops_strbuf_text(&first));
	ops_strbuf_done(&first);
}

static void print_bash(void)
{
	puts("# bash completion for opsctl; load with: source <(opsctl completion bash)\n"
	     "_opsctl() {\n"
	     "\tlocal cur=${COMP_WORDS[COMP_CWORD]} path=\"\" flags=\"\" i w\n"
	     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tw=${COMP_WORDS[i]}\n"
	     "\t\t[ \"$i\" = 1 ] && [ \"$w\" = ops ] && continue\n"
	     "\t\tcase $w in -*) ;; *) path=\"${path:+$path }$w\" ;; esac\n"
	     "\tdone");
	print_words();
	puts("\tcase \"$path\" in");
	for (size_t t = 0; ctl_tables[t] != NULL; t++) {
		for (const struct ctl_command *c = ctl_tables[t]; c->path != NULL; c++) {
			print_case(c);
		}
	}
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
