/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same flags for every service. The help text has the shape help2man and readers expect: usage,
 * purpose, options, exit status.
 */
#include "common/run/daemon.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "ops_version.h"

enum {
	GO_ON = -1,
	OPT_CHECK = 256,
	OPT_DUMP,
	OPT_REFERENCE,
	OPT_LOG_LEVEL,
	OPT_SERVICE, /* and more: the service's own, in their order */
};

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"check", no_argument, NULL, OPT_CHECK},
	{"dump-config", no_argument, NULL, OPT_DUMP},
	{"config-reference", no_argument, NULL, OPT_REFERENCE},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_own(const struct ops_service *service)
{
	const struct ops_service_flag *f = service->flags;

	for (; f != NULL && f->name != NULL; f++) {
		char left[64];
		snprintf(left, sizeof(left), "--%s %s", f->name, f->argument);
		printf("      %-18s %s; as %.*s of the file, and wins over it\n", left, f->doc,
			(int)strcspn(f->key, "["), f->key);
	}
}

static void print_help(const struct ops_service *service)
{
	printf("Usage: %s [--config FILE] [--check | --dump-config] [--log-level LEVEL]\n\n"
	       "%s\n\n"
	       "Options:\n"
	       "  -c, --config FILE      configuration file (YAML); default: "
	       "PREFIX/etc/hms-ops/%s.yml\n"
	       "      --check            check the configuration and everything it names, then "
	       "exit\n"
	       "      --dump-config      print the configuration as understood, secrets hidden, "
	       "then exit\n"
	       "      --config-reference print all keys as a Markdown table, then exit\n"
	       "      --log-level LEVEL  debug, info, warn or error; wins over log_level of the "
	       "file\n",
		service->name, service->summary, service->name);
	print_own(service);
	printf("  -V, --version          print the version, then exit\n"
	       "  -h, --help             print this text, then exit\n\n"
	       "Signals:\n"
	       "  SIGHUP reloads the configuration (a bad one changes nothing); SIGTERM and SIGINT "
	       "drain and exit.\n\n"
	       "Exit status:\n"
	       "  0 drained, 2 usage, 3 configuration, 4 bus, 5 database, 70 internal\n");
}

static void print_reference(const struct ops_service *service)
{
	struct ops_arena arena;
	struct ops_strbuf out = OPS_STRBUF_INIT;

	ops_arena_init(&arena);
	ops_conf_reference(ops_daemon_table(service, &arena), "", &out);
	fputs(ops_strbuf_text(&out), stdout);
	ops_strbuf_done(&out);
	ops_arena_done(&arena);
}

/*
 * Without --config: PREFIX/etc/hms-ops of the program's own PREFIX, so that a tree installed
 * anywhere runs as it is; then /etc/hms-ops, which is where PREFIX /usr keeps its configuration.
 */
static const char *default_config(const struct ops_service *service)
{
	static char found[4096]; /* lives as long as the flags */
	char self[2048];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	OPS_CLEANUP(ops_freep) char *dir = ops_path_dir(self);
	OPS_CLEANUP(ops_freep) char *prefix = ops_path_dir(dir);
	snprintf(found, sizeof(found), "%s/etc/hms-ops/%s.yml", prefix, service->name);
	if (access(found, F_OK) == 0)
		return found;
	snprintf(found, sizeof(found), "/etc/hms-ops/%s.yml", service->name);
	return access(found, F_OK) == 0 ? found : NULL;
}

static int usage_error(const struct ops_service *service, const char *message, const char *what)
{
	fprintf(stderr, "%s: %s%s (see --help)\n", service->name, message, what);
	return OPS_EXIT_USAGE;
}

static int take_option(const struct ops_service *service, int c, struct ops_flags *f)
{
	if (c >= OPT_SERVICE) {
		f->values[c - OPT_SERVICE] = optarg;
		return GO_ON;
	}
	switch (c) {
	case 'c':
		f->config = optarg;
		return GO_ON;
	case OPT_CHECK:
		f->check = true;
		return GO_ON;
	case OPT_DUMP:
		f->dump_config = true;
		return GO_ON;
	case OPT_LOG_LEVEL:
		f->has_log_level = true;
		if (ops_log_level_parse(optarg, &f->log_level) == 0)
			return GO_ON;
		return usage_error(service, "unknown log level ", optarg);
	case OPT_REFERENCE:
		print_reference(service);
		return 0;
	case 'V':
		printf("%s %s (%s)\n", service->name, OPS_VERSION, OPS_REVISION);
		return 0;
	case 'h':
		print_help(service);
		return 0;
	default:
		return usage_error(service, "unknown or incomplete option", "");
	}
}

/* The common options with the service's own behind them. */
static void join_options(const struct ops_service *service,
	struct option ret[OPS_LENGTH(options) + OPS_SERVICE_FLAGS_MAX])
{
	const struct ops_service_flag *f = service->flags;
	size_t n = OPS_LENGTH(options) - 1;

	memcpy(ret, options, sizeof(options));
	for (int i = 0; f != NULL && f[i].name != NULL; i++) {
		ops_assert(i < OPS_SERVICE_FLAGS_MAX);
		ret[n++] = (struct option){f[i].name, required_argument, NULL, OPT_SERVICE + i};
	}
	ret[n] = options[OPS_LENGTH(options) - 1];
}

int ops_daemon_flags(
	const struct ops_service *service, int argc, char **argv, struct ops_flags *ret)
{
	struct option all[OPS_LENGTH(options) + OPS_SERVICE_FLAGS_MAX];
	int c;

	join_options(service, all);
	opterr = 0;
	optind = 1;
	while ((c = getopt_long(argc, argv, "c:Vh", all, NULL)) != -1) {
		int code = take_option(service, c, ret);
		if (code != GO_ON)
			return code;
	}
	if (optind < argc)
		return usage_error(service, "unexpected argument ", argv[optind]);
	if (ret->config == NULL)
		ret->config = default_config(service);
	if (ret->config == NULL)
		return usage_error(service,
			"--config FILE is required, and nothing is at /etc/hms-ops/",
			service->name);
	return GO_ON;
}
