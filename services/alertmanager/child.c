/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork + exec in a process that has threads (nng, curl): between the two only async-signal-safe
 * calls are made, so everything that allocates (user look-up, environment, input) happens before.
 * The input is a memory file instead of a pipe: it cannot block, and a program that does not read
 * it harms nobody. A close-on-exec pipe carries errno back when exec fails.
 *
 * The program dies with us (PR_SET_PDEATHSIG): after a crash it is known that nothing of it still
 * runs.
 */
#include "services/alertmanager/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"

enum {
	GROUPS_MAX = 64,
	FILES_MAX = 1024,
	PROCESSES_MAX = 512,
	FILE_BYTES_MAX = 1 << 30
};

struct plan { /* what the child needs, prepared by the parent */
	const struct alm_spawn *spec;
	int in, out, err, status;
	bool change_user;
	uid_t uid;
	gid_t gid;
	gid_t groups[GROUPS_MAX];
	int ngroups;
};

static int look_up(const char *user, struct plan *p, struct ops_error *err)
{
	struct passwd pw, *hit = NULL;
	char buf[4096];

	if (user == NULL || user[0] == '\0')
		return 0;
	if (geteuid() != 0) {
		return ops_error_set(err, -EPERM,
			"cannot become user %s: this service does not run as root", user);
	}
	int rc = getpwnam_r(user, &pw, buf, sizeof buf, &hit);
	if (rc != 0 || hit == NULL)
		return ops_error_set(err, -ENOENT, "there is no user %s", user);
	p->change_user = true;
	p->uid = pw.pw_uid;
	p->gid = pw.pw_gid;
	p->ngroups = GROUPS_MAX;
	if (getgrouplist(user, pw.pw_gid, p->groups, &p->ngroups) < 0)
		p->ngroups = 0;
	return 0;
}

static void child_fail(const struct plan *p)
{
	int code = errno;
	ssize_t n = write(p->status, &code, sizeof code);
	(void)n;
	_exit(127);
}

static void child_limit(int what, rlim_t value)
{
	const struct rlimit limit = {value, value};
	(void)setrlimit((__rlimit_resource_t)what, &limit);
}

static void child_signals(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < 32; i++)
		(void)sigaction(i, &sa, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Only async-signal-safe calls from here to execve. */
static void child_main(const struct plan *p, pid_t parent)
{
	char *const argv[] = {(char *)(uintptr_t)p->spec->path, NULL};

	if (setpgid(0, 0) != 0 || dup2(p->in, 0) < 0 || dup2(p->out, 1) < 0 || dup2(p->err, 2) < 0)
		child_fail(p);
	int status = dup2(p->status, 3) == 3 ? 3 : p->status;
	(void)fcntl(status, F_SETFD, FD_CLOEXEC);
	(void)syscall(SYS_close_range, 4U, ~0U, 0U);
	struct plan own = *p;
	own.status = status;
	child_signals();
	child_limit(RLIMIT_CORE, 0);
	child_limit(RLIMIT_NOFILE, FILES_MAX);
	child_limit(RLIMIT_CPU, (rlim_t)p->spec->cpu_seconds);
	child_limit(RLIMIT_FSIZE, FILE_BYTES_MAX);
	if (p->change_user) /* counted per user: only fair when the user is theirs alone */
		child_limit(RLIMIT_NPROC, PROCESSES_MAX);
	(void)umask(022);
	if (p->change_user && (setgroups((size_t)p->ngroups, p->groups) != 0 ||
				      setgid(p->gid) != 0 || setuid(p->uid) != 0))
		child_fail(&own);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		child_fail(&own);
	if (getppid() != parent) /* it died before the line above */
		_exit(127);
	if (chdir(p->spec->dir) != 0)
		child_fail(&own);
	execve(p->spec->path, argv, p->spec->environment);
	child_fail(&own);
}

static int input_file(const struct alm_spawn *spec)
{
	int fd = memfd_create("ops-playbook-input", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	int rc = ops_write_all(fd, spec->input, spec->input_len);
	if (rc == 0 && lseek(fd, 0, SEEK_SET) != 0)
		rc = -errno;
	if (rc != 0)
		close(fd);
	return rc == 0 ? fd : rc;
}

/* Status pipe: end of file = exec worked. */
static int await_exec(int fd)
{
	int code = 0;
	ssize_t n;

	do
		n = read(fd, &code, sizeof code);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof code ? -code : 0;
}

static int fork_child(struct plan *p, int status_read, struct alm_child *ret)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_main(p, parent);
	(void)setpgid(pid, pid); /* whoever is first */
	close(p->status);
	p->status = -1;
	int rc = await_exec(status_read);
	ret->pid = pid;
	ret->pidfd = rc == 0 ? (int)syscall(SYS_pidfd_open, pid, 0U) : -1;
	if (rc == 0 && ret->pidfd < 0)
		rc = -errno;
	if (rc != 0) {
		(void)kill(-pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return rc;
}

static int make_pipe(int *ret_read, int *ret_write, bool nonblocking)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return -errno;
	*ret_read = fds[0];
	*ret_write = fds[1];
	return nonblocking && fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0 ? -errno : 0;
}

int alm_child_spawn(const struct alm_spawn *spec, struct alm_child *ret, struct ops_error *err)
{
	int in OPS_CLEANUP(ops_closep) = -1, out_w OPS_CLEANUP(ops_closep) = -1,
	       err_w OPS_CLEANUP(ops_closep) = -1;
	int out_r OPS_CLEANUP(ops_closep) = -1, err_r OPS_CLEANUP(ops_closep) = -1;
	int status_r OPS_CLEANUP(ops_closep) = -1, status_w OPS_CLEANUP(ops_closep) = -1;
	struct plan p = {.spec = spec};
	struct alm_child child = {0};

	int rc = look_up(spec->user, &p, err);
	if (rc != 0)
		return rc;
	in = input_file(spec);
	rc = in < 0 ? in : make_pipe(&out_r, &out_w, true);
	if (rc == 0)
		rc = make_pipe(&err_r, &err_w, true);
	if (rc == 0)
		rc = make_pipe(&status_r, &status_w, false);
	if (rc == 0) {
		p.in = in;
		p.out = out_w;
		p.err = err_w;
		p.status = status_w;
		rc = fork_child(&p, status_r, &child);
		status_w = p.status;
	}
	if (rc != 0)
		return ops_error_set(err, rc, "could not start %s: %s", spec->path, strerror(-rc));
	child.out = out_r;
	child.err = err_r;
	out_r = err_r = -1;
	*ret = child;
	return 0;
}

void alm_child_signal(const struct alm_child *c, int signo)
{
	(void)kill(-c->pid, signo);
}

void alm_child_reap(struct alm_child *c, int *ret_exit_code, int *ret_signal)
{
	siginfo_t info = {0};

	/* Not yet reaped, so the group's number cannot belong to anyone else. */
	(void)kill(-c->pid, SIGKILL);
	while (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED) != 0 && errno == EINTR)
		;
	*ret_exit_code = info.si_code == CLD_EXITED ? info.si_status : -1;
	*ret_signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
	close(c->pidfd);
	c->pidfd = -1;
}
