/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small service as a real process: flags and exit codes, the built-in doors, reload in all its
 * outcomes, drain, sd_notify. The child is forked before anything of nng or libevent was touched
 * here; the parent talks to it over sockets only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "common/base/text.h"
#include "common/run/daemon.h"

/* ---- the service ---- */

struct config {
	struct ops_daemon_config daemon;
	const char *greeting;
	const char *fixed;
	const char *secret;
};

static const struct ops_conf_key keys[] = {
	{"greeting", OPS_CONF_K_STRING, offsetof(struct config, greeting), 0, "hello", 0, 0, NULL,
		"what it says"},
	{"fixed", OPS_CONF_K_STRING, offsetof(struct config, fixed), OPS_CONF_RESTART, "a", 0, 0,
		NULL, "needs a restart"},
	{"secret", OPS_CONF_K_SECRET, offsetof(struct config, secret), 0, NULL, 0, 0, NULL,
		"not to be shown"},
	OPS_CONF_END,
};

struct state {
	const struct config *config;
	struct ops_daemon *daemon;
	struct ops_http_req *slow;
	struct ops_timer *timer;
};

static int check(const void *config, struct ops_conf_warnings *w, struct ops_error *err)
{
	const struct config *c = config;

	if (strcmp(c->greeting, "rude") == 0)
		return ops_error_set_at(err, -EINVAL, "greeting.txt", 7, 3, "the greeting is rude");
	if (strcmp(c->greeting, "odd") == 0)
		ops_conf_warn(w, NULL, "the greeting is odd");
	return 0;
}

static void on_greet(struct ops_http_req *req, void *arg)
{
	struct state *s = arg;

	ops_http_reply_text(req, 200, s->config->greeting);
}

static void on_slow_timer(void *arg)
{
	struct state *s = arg;

	if (s->slow != NULL)
		ops_http_reply_text(s->slow, 200, "slow but sure");
	s->slow = NULL;
}

static void on_slow(struct ops_http_req *req, void *arg)
{
	struct state *s = arg;

	s->slow = req;
	ops_timer_start(s->timer, 200);
}

static enum ops_health disk_health(void *arg, char *buf, size_t size, double *ret_response_ms)
{
	const struct state *s = arg;

	*ret_response_ms = 1.5;
	snprintf(buf, size, "it is %s", s->config->greeting);
	if (strcmp(s->config->greeting, "slow disk") == 0)
		return OPS_DEGRADED;
	return strcmp(s->config->greeting, "no disk") == 0 ? OPS_UNHEALTHY : OPS_HEALTHY;
}

static int start(struct ops_daemon *d, const void *config, void **ret_state, struct ops_error *err)
{
	struct state *s = ops_xcalloc(1, sizeof(*s));

	s->config = config;
	s->daemon = d;
	if (strcmp(s->config->greeting, "die") == 0) {
		free(s);
		ops_daemon_exit_code(d, OPS_EXIT_DATABASE);
		return ops_error_set(err, -EIO, "it wanted to die");
	}
	s->timer = ops_timer_new(ops_daemon_loop(d), on_slow_timer, s);
	ops_http_route(ops_daemon_http(d), OPS_GET, "/greet", OPS_ROLE_VIEWER, on_greet, s);
	ops_http_route(ops_daemon_http(d), OPS_GET, "/slow", OPS_ROLE_VIEWER, on_slow, s);
	ops_daemon_health(d, "disk", disk_health, s);
	ops_daemon_set_ready(d, strcmp(s->config->greeting, "wait") != 0, "waiting for a greeting");
	*ret_state = s;
	return 0;
}

static int reload(struct ops_daemon *d, void *state, const void *config, struct ops_error *err)
{
	struct state *s = state;
	const struct config *c = config;

	if (strcmp(c->greeting, "refuse") == 0)
		return ops_error_set(err, -EBUSY, "not now");
	s->config = c;
	ops_daemon_set_ready(d, true, NULL);
	return 0;
}

static void stop(void *state)
{
	struct state *s = state;

	ops_timer_free(s->timer);
	free(s);
}

static const struct ops_service service = {
	.name = "ops-greeter",
	.summary = "Says hello, for a test.",
	.default_listen = "127.0.0.1:0",
	.keys = keys,
	.config_size = sizeof(struct config),
	.check = check,
	.start = start,
	.reload = reload,
	.stop = stop,
};

/* ---- running it ---- */

struct process {
	char *dir, *config, *notify;
	int notify_fd, err_fd;
	pid_t pid;
	unsigned port;
	struct ops_strbuf err; /* what it said on stderr */
};

static void write_config(struct process *p, const char *text)
{
	OPS_CLEANUP(ops_freep) char *all = ops_xasprintf("state_dir: state\n%s", text);

	assert_int_equal(ops_file_write_atomic(p->config, all, strlen(all), 0600), 0);
}

static void process_init(struct process *p, const char *config)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	memset(p, 0, sizeof(*p));
	p->dir = tempdir_make();
	p->config = ops_path_join(p->dir, "service.yml");
	p->notify = ops_path_join(p->dir, "notify");
	p->err_fd = -1;
	write_config(p, config);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", p->notify);
	p->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->notify_fd, (const struct sockaddr *)&at, sizeof(at)), 0);
}

static void process_done(struct process *p)
{
	tempdir_remove(p->dir);
	close(p->notify_fd);
	ops_closep(&p->err_fd);
	ops_strbuf_done(&p->err);
	free(p->config);
	free(p->notify);
}

/* Starts it with "--config FILE" and up to two more arguments; its stderr (and stdout when asked)
 * comes to us. */
static void process_start(struct process *p, const char *arg1, const char *arg2)
{
	char *argv[] = {
		ops_xstrdup("ops-greeter"), ops_xstrdup("--config"), p->config, NULL, NULL, NULL};
	int argc = 3, pipes[2];

	for (const char *arg = arg1; arg != NULL; arg = arg == arg1 ? arg2 : NULL)
		argv[argc++] = ops_xstrdup(arg);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	fflush(NULL);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		dup2(pipes[1], STDERR_FILENO);
		dup2(pipes[1], STDOUT_FILENO);
		setenv("NOTIFY_SOCKET", p->notify, 1);
		int code = ops_daemon_main(&service, argc, argv);
		fflush(NULL);
		_exit(code);
	}
	close(pipes[1]);
	ops_closep(&p->err_fd);
	p->err_fd = pipes[0];
	for (int i = 0; i < argc; i++) {
		if (i != 2)
			free(argv[i]);
	}
}

/* Reads its output until text is there or it ends. */
static bool wait_for(struct process *p, const char *text)
{
	char buf[4096];

	while (text == NULL || strstr(ops_strbuf_text(&p->err), text) == NULL) {
		struct pollfd poll_fd = {.fd = p->err_fd, .events = POLLIN};
		if (poll(&poll_fd, 1, 10000) <= 0)
			return false;
		ssize_t n = read(p->err_fd, buf, sizeof(buf));
		if (n <= 0)
			return false;
		ops_strbuf_add(&p->err, buf, (size_t)n);
	}
	return true;
}

static int process_wait(struct process *p)
{
	int status = 0;

	(void)wait_for(p, NULL);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
	if (!WIFEXITED(status))
		fail_msg("signal %d: %s", WTERMSIG(status), ops_strbuf_text(&p->err));
	return WEXITSTATUS(status);
}

static void process_up(struct process *p)
{
	process_start(p, NULL, NULL);
	if (!wait_for(p, "\"started\"") || !wait_for(p, "\"pid\""))
		fail_msg("did not start: %s", ops_strbuf_text(&p->err));
	const char *at = strstr(ops_strbuf_text(&p->err), "\"port\":");
	assert_non_null(at);
	for (at += 7; *at == ' ' || (*at >= '0' && *at <= '9'); at++)
		p->port = *at == ' ' ? 0 : p->port * 10 + (unsigned)(*at - '0');
}

static bool notified(struct process *p, const char *text)
{
	char buf[512];
	struct pollfd poll_fd = {.fd = p->notify_fd, .events = POLLIN};

	while (poll(&poll_fd, 1, 3000) == 1) {
		ssize_t n = recv(p->notify_fd, buf, sizeof(buf) - 1, 0);
		if (n <= 0)
			return false;
		buf[n] = '\0';
		if (strncmp(buf, text, strlen(text)) == 0)
			return true;
	}
	return false;
}

static int dial(unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static void ask(int fd, const char *line)
{
	OPS_CLEANUP(ops_freep)
	char *text = ops_xasprintf("%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", line);

	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static char *hear(int fd)
{
	struct ops_strbuf got = OPS_STRBUF_INIT;
	char buf[4096];

	for (ssize_t n = recv(fd, buf, sizeof(buf), 0); n > 0; n = recv(fd, buf, sizeof(buf), 0))
		ops_strbuf_add(&got, buf, (size_t)n);
	close(fd);
	return ops_strbuf_take(&got);
}

/* The answer to one request has this status and all of these texts. */
static void expect(struct process *p, const char *line, const char *status, const char *contain,
	const char *also)
{
	int fd = dial(p->port);

	ask(fd, line);
	OPS_CLEANUP(ops_freep) char *got = hear(fd);
	if (strlen(got) < 12 || strncmp(got + 9, status, 3) != 0 || strstr(got, contain) == NULL ||
		(also != NULL && strstr(got, also) == NULL))
		fail_msg("%s: %s", line, got);
}

/* ---- flags ---- */

static void test_flags(void **state)
{
	static const struct {
		const char *config, *arg1, *arg2;
		int code;
		const char *say;
	} table[] = {
		{"", "--help", NULL, 0, "Usage: ops-greeter [--config FILE]"},
		{"", "--version", NULL, 0, "ops-greeter "},
		{"", "--config-reference", NULL, 0, "greeting"},
		{"", "--config-reference", NULL, 0, "drain_timeout"},
		{"", "--check", NULL, 0, "service.yml is valid"},
		{"greeting: odd\n", "--check", NULL, 0, "warning: the greeting is odd"},
		{"", "--dump-config", NULL, 0, "greeting: \"hello\""},
		{"secret: abc123\n", "--dump-config", NULL, 0, "<secret>"},
		{"", "--nonsense", NULL, 2, "--help"},
		{"", "stray", NULL, 2, "unexpected argument stray"},
		{"", "--log-level", "loud", 2, "unknown log level loud"},
		{"greetings: x\n", "--check", NULL, 3, "service.yml:2:1: "},
		{"greetings: x\n", "--check", NULL, 3,
			"greeting"}, /* the nearest name is the hint */
		{"greetings: x\n", NULL, NULL, 3, "service.yml:2:1: "},
		{"anonymous_role: king\n", "--check", NULL, 3,
			"service.yml:2:17: unknown role \"king\""},
		{"log_level: loud\n", "--check", NULL, 3,
			"service.yml:2:12: unknown log level \"loud\""},
		{"greeting: rude\n", "--check", NULL, 3, "greeting.txt:7:3: the greeting is rude"},
		{"web_config_file: nowhere.yml\n", "--check", NULL, 3, "nowhere.yml"},
		{"http: {connections: 0}\n", "--check", NULL, 3, "service.yml:2:"},
		{"greeting: ${OPS_TEST_UNSET}\n", "--check", NULL, 3, "OPS_TEST_UNSET"},
		{"listen: nonsense\n", NULL, NULL, 70, "could not understand listen address"},
		{"bus: {key_file: nowhere}\n", NULL, NULL, 4, "nowhere"},
		{"database: dbname=x\ndatabase_password_file: nowhere\n", NULL, NULL, 5,
			"database_password_file"},
		{"greeting: die\n", NULL, NULL, 5, "it wanted to die"},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct process p;
		process_init(&p, table[i].config);
		process_start(&p, table[i].arg1, table[i].arg2);
		int code = process_wait(&p);
		if (code != table[i].code ||
			strstr(ops_strbuf_text(&p.err), table[i].say) == NULL ||
			strstr(ops_strbuf_text(&p.err), "abc123") != NULL)
			fail_msg("%zu %s: %d %s", i, table[i].say, code, ops_strbuf_text(&p.err));
		process_done(&p);
	}
}

/* ---- life ---- */

static void test_doors(void **state)
{
	struct process p;

	(void)state;
	process_init(&p, "greeting: wait\nanonymous_role: viewer\n");
	process_up(&p);
	assert_true(notified(&p, "READY=1"));
	expect(&p, "GET /-/healthy", "200", "ops-greeter is healthy.", NULL);
	expect(&p, "HEAD /-/healthy", "200", "Content-Length", NULL);
	expect(&p, "GET /-/ready", "503", "waiting for a greeting", NULL);
	expect(&p, "GET /version", "200", "\"service\":\"ops-greeter\"", "\"version\":");
	expect(&p, "GET /metrics", "200", "ops_config_last_reload_successful 1", "ops_build_info");
	expect(&p, "GET /health", "200", "\"status\":\"healthy\"", "\"response_time_ms\":1.5");
	expect(&p, "GET /greet", "200", "wait", NULL);
	expect(&p, "POST /-/reload", "403", "needs operator", NULL);
	expect(&p, "GET /-/reload", "405", "Allow: POST, PUT, OPTIONS", NULL);
	kill(p.pid, SIGTERM);
	assert_true(notified(&p, "STOPPING=1"));
	assert_int_equal(process_wait(&p), 0);
	process_done(&p);
}

static void test_health(void **state)
{
	static const struct {
		const char *config, *status, *word;
	} table[] = {
		{"greeting: slow disk\n", "200", "\"status\":\"degraded\""},
		{"greeting: no disk\n", "503", "\"status\":\"unhealthy\""},
		{"database: host=127.0.0.1 port=1 dbname=x\n", "200",
			"\"database\":{\"status\":\"degraded\""},
	};

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct process p;
		process_init(&p, table[i].config);
		process_up(&p);
		expect(&p, "GET /health", table[i].status, table[i].word, NULL);
		kill(p.pid, SIGTERM);
		assert_int_equal(process_wait(&p), 0);
		process_done(&p);
	}
}

static void test_reload(void **state)
{
	struct process p;
	const char *base = "anonymous_role: operator\ngreeting: one\n";

	(void)state;
	process_init(&p, base);
	process_up(&p);
	expect(&p, "GET /greet", "200", "one", NULL);

	write_config(&p, "anonymous_role: operator\ngreeting: two\n");
	expect(&p, "POST /-/reload", "200", "\"reloaded\":true", NULL);
	expect(&p, "GET /greet", "200", "two", NULL);

	write_config(&p, "anonymous_role: operator\ngreeting: [\n");
	expect(&p, "POST /-/reload", "500", "service.yml", "\"line\":");
	expect(&p, "GET /greet", "200", "two", NULL);
	expect(&p, "GET /metrics", "200", "ops_config_last_reload_successful 0", NULL);

	write_config(&p, "anonymous_role: operator\ngreeting: three\nfixed: b\n");
	expect(&p, "POST /-/reload", "500", "a change of fixed needs a restart", NULL);
	write_config(&p, "anonymous_role: operator\ngreeting: three\nhttp: {connections: 7}\n");
	expect(&p, "PUT /-/reload", "500", "connections needs a restart", NULL);
	write_config(&p, "anonymous_role: operator\ngreeting: refuse\n");
	expect(&p, "POST /-/reload", "500", "not now", NULL);
	write_config(&p, "anonymous_role: operator\ngreeting: rude\n");
	expect(&p, "POST /-/reload", "500", "the greeting is rude", "\"line\":7");
	expect(&p, "GET /greet", "200", "two", NULL);

	write_config(&p, "anonymous_role: operator\ngreeting: four\nlog_level: debug\n");
	kill(p.pid, SIGHUP);
	assert_true(wait_for(&p, "\"actor\":\"SIGHUP\""));
	assert_true(notified(&p, "RELOADING=1\nMONOTONIC_USEC="));
	expect(&p, "GET /greet", "200", "four", NULL);
	expect(&p, "GET /metrics", "200", "ops_config_last_reload_successful 1", NULL);
	/* Three accepted (one of them refused by the service afterwards, on record too), four
	 * refused before. */
	expect(&p, "GET /health", "200", "8 records wait for delivery", NULL);
	kill(p.pid, SIGTERM);
	assert_int_equal(process_wait(&p), 0);
	process_done(&p);
}

static void test_drain(void **state)
{
	struct process p;

	(void)state;
	process_init(&p, "");
	process_up(&p);
	int fd = dial(p.port), idle = dial(p.port);
	ask(fd, "GET /slow");
	(void)poll(NULL, 0, 50);
	kill(p.pid, SIGTERM);
	OPS_CLEANUP(ops_freep) char *got = hear(fd);
	assert_non_null(strstr(got, "slow but sure"));
	assert_int_equal(process_wait(&p), 0);
	close(idle);
	process_done(&p);
}

static void test_drain_is_bounded(void **state)
{
	struct process p;

	(void)state;
	process_init(&p, "drain_timeout: 50ms\n");
	process_up(&p);
	int fd = dial(p.port);
	ask(fd, "GET /slow");
	(void)poll(NULL, 0, 30);
	kill(p.pid, SIGTERM);
	assert_int_equal(process_wait(&p), 0);
	assert_non_null(strstr(ops_strbuf_text(&p.err), "drain took too long"));
	close(fd);
	process_done(&p);
}

static void test_second_signal(void **state)
{
	struct process p;

	(void)state;
	process_init(&p, "");
	process_up(&p);
	int fd = dial(p.port);
	ask(fd, "GET /slow");
	(void)poll(NULL, 0, 30);
	int64_t begin = ops_mono_ms();
	kill(p.pid, SIGTERM);
	assert_true(wait_for(&p, "draining"));
	kill(p.pid, SIGINT);
	assert_int_equal(process_wait(&p), 0);
	assert_in_range(ops_mono_ms() - begin, 0, 5000);
	assert_non_null(strstr(ops_strbuf_text(&p.err), "second signal"));
	close(fd);
	process_done(&p);
}

static void test_one_per_directory(void **state)
{
	struct process p;

	(void)state;
	process_init(&p, "");
	process_up(&p);
	pid_t first = p.pid;
	process_start(&p, NULL, NULL);
	assert_int_equal(process_wait(&p), 70);
	assert_non_null(strstr(ops_strbuf_text(&p.err), "in use by another process"));
	kill(first, SIGKILL);
	assert_int_equal(waitpid(first, NULL, 0), first);
	ops_strbuf_reset(&p.err);
	process_up(&p); /* a killed one leaves no lock behind */
	kill(p.pid, SIGTERM);
	assert_int_equal(process_wait(&p), 0);
	process_done(&p);
}

/* ---- connection strings ---- */

static void test_conninfo(void **state)
{
	static const struct {
		const char *database, *password, *expect;
	} table[] = {
		{"host=/run dbname=ops", NULL, "host=/run dbname=ops"},
		{"host=/run dbname=ops", "it's a \\ secret\n",
			"host=/run dbname=ops password='it\\'s a \\\\ secret'"},
		{"postgresql://u@h/ops", "a/b c", "postgresql://u@h/ops?password=a%2fb%20c"},
		{"postgres://u@h/ops?sslmode=require", "x",
			"postgres://u@h/ops?sslmode=require&password=x"},
	};
	char *dir = tempdir_make();
	OPS_CLEANUP(ops_freep) char *path = ops_path_join(dir, "password");

	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(table); i++) {
		struct ops_daemon_config c = {.database = table[i].database};
		struct ops_error err;
		char *got = NULL;
		if (table[i].password != NULL) {
			assert_int_equal(ops_file_write_atomic(path, table[i].password,
						 strlen(table[i].password), 0600),
				0);
			c.database_password_file = path;
		}
		assert_int_equal(ops_daemon_conninfo(&c, &got, &err), 0);
		assert_string_equal(got, table[i].expect);
		free(got);
	}
	tempdir_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conninfo),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_doors),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_reload),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_is_bounded),
		cmocka_unit_test(test_second_signal),
		cmocka_unit_test(test_one_per_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
