/* SPDX-License-Identifier: Apache-2.0 */
/* The services' own programs: where they are, and running one of them to its end (no shell). */
#include "cli/ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"

/* Where this program is, whatever name or link it was called by. */
static char *own_folder(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	return ops_path_dir(self);
}

char *ctl_installed(const char *below, const char *packaged)
{
	OPS_CLEANUP(ops_freep) char *dir = own_folder();
	OPS_CLEANUP(ops_freep) char *prefix = ops_path_dir(dir);
	char *path = ops_xasprintf("%s/%s", prefix, below);
	if (access(path, R_OK) == 0) {
		return path;
	}
	free(path);
	return ops_xstrdup(packaged);
}

/* The service's program: beside this one, in the build tree beside it, or in PATH. */
static char *find_program(const char *service)
{
	OPS_CLEANUP(ops_freep) char *dir = own_folder();
	char *beside = ops_xasprintf("%s/ops-%s", dir, service);
	if (access(beside, X_OK) == 0) {
		return beside;
	}
	free(beside);
	char *built = ops_xasprintf("%s/../services/%s/ops-%s", dir, service, service);
	if (access(built, X_OK) == 0) {
		return built;
	}
	free(built);
	return ops_xasprintf("ops-%s", service);
}

/* With --json stdout belongs to the document; what is wrong is told on stderr either way. */
static void hide_stdout(void)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDOUT_FILENO);
	}
}

int ctl_run_service(enum ctl_service s, const char *const *args, bool quiet)
{
	OPS_CLEANUP(ops_freep) char *program = find_program(ctl_service_name(s));
	const char *argv[CTL_ARGS_MAX + 16] = {program};
	size_t n = 1;
	while (args[n - 1] != NULL && n < OPS_LENGTH(argv) - 1) {
		argv[n] = args[n - 1];
		n++;
	}
	fflush(stdout); /* the child writes to the same place */
	pid_t pid = fork();
	if (pid < 0) {
		return ctl_fail(CTL_FAILED, "could not start %s: %s", program, strerror(errno));
	}
	if (pid == 0) {
		if (quiet) {
			hide_stdout();
		}
		execvp(program, (char *const *)(uintptr_t)argv);
		fprintf(stderr, "opsctl: could not run %s: %s\n", program, strerror(errno));
		_exit(127);
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_FAILED;
	return code == 127 ? CTL_FAILED : code;
}
