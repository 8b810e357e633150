/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ways of finding targets against an HTTP server on the same loop that answers each path with
 * what the case says; files in a directory of the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/strbuf.h"
#include "common/base/test_tempdir.h"
#include "common/net/http_server.h"
#include "services/collector/config.h"
#include "services/collector/discovery.h"
#include "services/collector/discovery/sd_classes.h"

enum {
	GIVE_UP_MS = 20000
};

struct answer {
	const char *path, *body;
	int code;
};

struct world {
	struct ops_loop *loop;
	struct ops_http_server *server;
	struct ops_http_client *client;
	struct ops_oauth2_tokens *tokens;
	struct col_sd_env env;
	struct ops_timer *timer, *poll;
	const struct answer *answers;
	size_t nanswers;
	int requests;
	char query[256]; /* of the last request that had one */
	struct col_config *config;
	struct col_sd *sd;
};

static void on_request(struct ops_http_req *req, void *arg)
{
	struct world *w = arg;
	const char *filters = ops_http_param(req, "filters");
	w->requests++;
	if (filters != NULL) {
		snprintf(w->query, sizeof(w->query), "%s", filters);
	}
	for (size_t i = 0; i < w->nanswers; i++) {
		if (strcmp(w->answers[i].path, ops_http_path(req)) == 0) {
			int code = w->answers[i].code != 0 ? w->answers[i].code : 200;
			ops_http_reply(req, code, "application/json", w->answers[i].body,
				strlen(w->answers[i].body));
			return;
		}
	}
	ops_http_reply_text(req, 404, "nothing here\n");
}

static void on_change(void *arg)
{
	(void)arg;
}

static void give_up(void *arg)
{
	struct world *w = arg;
	fail_msg("nothing came of it: %s", w->sd->error);
}

/* A look that succeeded or failed ends the loop. */
static void on_poll(void *arg)
{
	struct world *w = arg;
	if (w->sd->ok_ms > 0 || w->sd->failures > 0) {
		ops_loop_stop(w->loop);
		return;
	}
	ops_timer_start(w->poll, 1);
}

static void world_init(struct world *w)
{
	const struct ops_http_config cfg = {
		.service = "fake", .listen = "127.0.0.1:0", .anonymous_role = OPS_ROLE_ADMIN};
	struct ops_error err;
	*w = (struct world){.loop = ops_loop_new()};
	assert_int_equal(ops_http_server_new(w->loop, &cfg, &w->server, &err), 0);
	ops_http_route(w->server, OPS_GET | OPS_POST, "/{path...}", OPS_ROLE_NONE, on_request, w);
	w->client = ops_http_client_new(w->loop, &(struct ops_http_client_config){0});
	w->tokens = ops_oauth2_tokens_new(w->loop, w->client);
	w->env = (struct col_sd_env){
		.loop = w->loop, .client = w->client, .tokens = w->tokens, .on_change = on_change};
	w->timer = ops_timer_new(w->loop, give_up, w);
	w->poll = ops_timer_new(w->loop, on_poll, w);
}

static void world_done(struct world *w)
{
	col_sd_free(w->sd);
	ops_oauth2_tokens_free(w->tokens);
	col_config_free(w->config);
	ops_timer_free(w->timer);
	ops_timer_free(w->poll);
	ops_http_client_free(w->client);
	ops_http_server_free(w->server);
	ops_loop_free(w->loop);
}

/* settings: of one entry; %u in it is the server's port. */
static void begin(struct world *w, const char *list, const char *settings)
{
	struct ops_error err;
	char shown[1100], port[16];
	struct ops_strbuf text = OPS_STRBUF_INIT;
	ops_strbuf_printf(&text, "scrape_configs: [{job_name: a, %s_sd_configs: [", list);
	snprintf(port, sizeof(port), "%u", ops_http_server_port(w->server));
	for (const char *s = settings; *s != '\0'; s++) {
		if (*s == '@') {
			ops_strbuf_adds(&text, port);
		} else {
			ops_strbuf_addc(&text, *s);
		}
	}
	ops_strbuf_adds(&text, "]}]");
	if (col_config_load_text("p.yml", ops_strbuf_text(&text), NULL, &w->config, &err) != 0) {
		fail_msg("%s", ops_error_text(&err, shown, sizeof(shown)));
	}
	ops_strbuf_done(&text);
	const struct col_sd_setting *s = &w->config->jobs[0].sds[0];
	w->sd = col_sd_new(s->class, s->settings, &w->env);
}

static void run(struct world *w)
{
	ops_timer_start(w->timer, GIVE_UP_MS);
	ops_timer_start(w->poll, 0);
	ops_loop_run(w->loop);
}

/* What was found, a target a line. */
static char *found(const struct world *w)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	for (size_t i = 0; i < w->sd->n; i++) {
		for (size_t k = 0; k < w->sd->groups[i]->n; k++) {
			ops_labels_print(w->sd->groups[i]->labels[k], &out);
			ops_strbuf_addc(&out, '\n');
		}
	}
	return ops_strbuf_take(&out);
}

static void assert_found(const struct world *w, const char *wanted)
{
	OPS_CLEANUP(ops_freep) char *text = found(w);
	assert_string_equal(text, wanted);
}

/* ---- http ---- */

static void test_http(void **state)
{
	static const struct answer answers[] = {{"/t",
		"[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"env\": \"x\"}}, {\"targets\": "
		"[]}]",
		0}};
	struct world w;
	(void)state;
	world_init(&w);
	w.answers = answers;
	w.nanswers = 1;
	begin(&w, "http", "{url: 'http://127.0.0.1:@/t'}");
	assert_string_equal(col_sd_state(w.sd), "pending");
	run(&w);
	assert_string_equal(col_sd_state(w.sd), "ok");
	OPS_CLEANUP(ops_freep)
	char *wanted = ops_xasprintf(
		"{__address__=\"a:1\",__meta_url=\"http://127.0.0.1:%u/t\",env=\"x\"}"
		"\n{__address__=\"b:2\",__meta_url=\"http://127.0.0.1:%u/t\",env=\"x\"}\n",
		ops_http_server_port(w.server), ops_http_server_port(w.server));
	assert_found(&w, wanted);
	assert_int_equal(col_sd_targets(w.sd), 2);
	world_done(&w);
}

static void test_http_failures(void **state)
{
	static const struct {
		const char *body;
		int code;
		const char *why;
	} rows[] = {
		{"gone", 503, "HTTP status 503: gone"},
		{"[{\"targets\": [1]}]", 200, "target group 1: a target must be a string"},
		{"[{\"targets\": \"a\"}]", 200, "target group 1: targets must be a list"},
		{"[{\"labels\": {\"a\": 1}}]", 200, "a label's value must be a string"},
		{"[{}, {\"target\": []}]", 200, "target group 2: "},
		{"{}", 200, "expected a list of target groups"},
		{"[", 200, "line 1, column"},
		{"[null]", 200, "target group 1: it must be an object"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct world w;
		const struct answer answer = {"/t", rows[i].body, rows[i].code};
		world_init(&w);
		w.answers = &answer;
		w.nanswers = 1;
		begin(&w, "http", "{url: 'http://127.0.0.1:@/t'}");
		run(&w);
		assert_string_equal(col_sd_state(w.sd), "failing");
		if (strstr(w.sd->error, rows[i].why) == NULL) {
			fail_msg("\"%s\" is not in \"%s\"", rows[i].why, w.sd->error);
		}
		world_done(&w);
	}
}

static void test_last_good_stays(void **state)
{
	static const struct answer good = {"/t", "[{\"targets\": [\"a:1\"]}]", 0};
	static const struct answer bad = {"/t", "[{", 0};
	struct world w;
	(void)state;
	world_init(&w);
	w.answers = &good;
	w.nanswers = 1;
	begin(&w, "http", "{url: 'http://127.0.0.1:@/t', refresh_interval: 1ms}");
	run(&w);
	w.answers = &bad;
	w.sd->ok_ms = 0;
	run(&w);
	assert_string_equal(col_sd_state(w.sd), "failing");
	assert_int_equal(col_sd_targets(w.sd), 1);
	w.answers = &good;
	w.sd->failures = 0;
	w.sd->ok_ms = 0;
	run(&w);
	assert_string_equal(col_sd_state(w.sd), "ok");
	world_done(&w);
}

/* ---- docker ---- */

#define NETWORKS                                                                                   \
	"[{\"Name\":\"shop\",\"Id\":\"n1\",\"Scope\":\"local\",\"Internal\":false,\"Ingress\":"    \
	"false,\"Labels\":{\"com.x/y\":\"z\"}},{\"Name\":\"host\",\"Id\":\"n2\",\"Scope\":"        \
	"\"local\"}]"
#define NET1                                                                                       \
	"__meta_docker_network_id=\"n1\",__meta_docker_network_ingress=\"false\",__meta_docker_"   \
	"network_internal=\"false\",__meta_docker_network_ip=\"10.1.0.2\",__meta_docker_network_"  \
	"label_com_x_y=\"z\",__meta_docker_network_name=\"shop\",__meta_docker_network_scope="     \
	"\"local\""

static void test_docker(void **state)
{
	static const struct answer answers[] = {
		{"/containers/json",
			"[{\"Id\":\"c1\",\"Names\":[\"/web\"],\"Labels\":{\"a.b\":\"c\"},"
			"\"HostConfig\":{\"NetworkMode\":\"shop\"},\"Ports\":[{\"IP\":\"0.0.0.0\","
			"\"PrivatePort\":80,\"PublicPort\":8080,\"Type\":\"tcp\"},{\"PrivatePort\":"
			"53,"
			"\"Type\":\"udp\"}],\"NetworkSettings\":{\"Networks\":{\"shop\":{"
			"\"NetworkID\":"
			"\"n1\",\"IPAddress\":\"10.1.0.2\"},\"zoo\":{\"NetworkID\":\"n3\","
			"\"IPAddress\":"
			"\"10.3.0.2\"}}}},"
			"{\"Id\":\"c2\",\"Names\":[\"/side\"],\"HostConfig\":{\"NetworkMode\":"
			"\"container:c1\"},\"NetworkSettings\":{\"Networks\":{}}},"
			"{\"Id\":\"c3\",\"Names\":[\"/"
			"host\"],\"HostConfig\":{\"NetworkMode\":\"host\"},"
			"\"NetworkSettings\":{\"Networks\":{\"host\":{\"NetworkID\":\"n2\","
			"\"IPAddress\":"
			"\"\"}}}},"
			"{\"Id\":\"c4\",\"Names\":[]}]",
			0},
		{"/networks", NETWORKS, 0}};
	struct world w;
	(void)state;
	world_init(&w);
	w.answers = answers;
	w.nanswers = 2;
	begin(&w, "docker",
		"{host: 'tcp://127.0.0.1:@', filters: [{name: label, values: [x, y]}, {name: name, "
		"values: [web]}]}");
	run(&w);
	assert_string_equal(w.query, "{\"label\":[\"x\",\"y\"],\"name\":[\"web\"]}");
	assert_found(&w,
		"{__address__=\"10.1.0.2:80\",__meta_docker_container_id=\"c1\",__meta_docker_"
		"container_label_a_b=\"c\",__meta_docker_container_name=\"/web\",__meta_docker_"
		"container_network_mode=\"shop\"," NET1 ",__meta_docker_port_private=\"80\",__meta_"
		"docker_port_public=\"8080\",__meta_docker_"
		"port_public_ip=\"0.0.0.0\"}\n"
		"{__address__=\"10.1.0.2:80\",__meta_docker_container_id=\"c2\",__meta_docker_"
		"container_name=\"/"
		"side\",__meta_docker_container_network_mode=\"container:c1\"," NET1 "}\n"
		"{__address__=\"localhost\",__meta_docker_container_id=\"c3\",__meta_docker_"
		"container_name=\"/"
		"host\",__meta_docker_container_network_mode=\"host\",__meta_docker_"
		"network_id=\"n2\",__meta_docker_network_ingress=\"false\",__meta_docker_network_"
		"internal=\"false\",__meta_docker_network_name=\"host\",__meta_docker_network_"
		"scope="
		"\"local\"}\n");
	world_done(&w);
}

static void test_swarm(void **state)
{
	static const struct answer answers[] = {
		{"/services",
			"[{\"ID\":\"s1\",\"Spec\":{\"Name\":\"web\",\"Labels\":{\"a\":\"b\"},"
			"\"Mode\":"
			"{\"Replicated\":{}},\"TaskTemplate\":{\"ContainerSpec\":{\"Image\":"
			"\"nginx\"}}},"
			"\"Endpoint\":{\"Ports\":[{\"Name\":\"p\",\"Protocol\":\"tcp\","
			"\"PublishedPort\":"
			"8080,\"PublishMode\":\"ingress\"}],\"VirtualIPs\":[{\"NetworkID\":\"n1\","
			"\"Addr\":"
			"\"10.0.0.3/24\"}]}}]",
			0},
		{"/networks",
			"[{\"Name\":\"in\",\"Id\":\"n1\",\"Scope\":\"swarm\",\"Ingress\":true}]",
			0},
		{"/nodes",
			"[{\"ID\":\"m1\",\"Spec\":{\"Role\":\"manager\",\"Availability\":"
			"\"active\"},"
			"\"Description\":{\"Hostname\":\"h\",\"Platform\":{\"OS\":\"linux\"}},"
			"\"Status\":"
			"{\"State\":\"ready\",\"Addr\":\"192.0.2.1\"},\"ManagerStatus\":{"
			"\"Leader\":true,"
			"\"Reachability\":\"reachable\",\"Addr\":\"192.0.2.1:2377\"}}]",
			0},
		{"/tasks",
			"[{\"ID\":\"t1\",\"ServiceID\":\"s1\",\"NodeID\":\"m1\",\"Slot\":1,"
			"\"DesiredState\":\"running\",\"Status\":{\"State\":\"running\"},"
			"\"NetworksAttachments\":[{\"Network\":{\"ID\":\"n1\"},\"Addresses\":"
			"[\"10.0.0.7/24\"]}]}]",
			0}};
#define SWARM_NET                                                                                  \
	"__meta_dockerswarm_network_id=\"n1\",__meta_dockerswarm_network_ingress=\"true\",__meta_" \
	"dockerswarm_network_internal=\"false\",__meta_dockerswarm_network_name=\"in\",__meta_"    \
	"dockerswarm_network_scope=\"swarm\","
#define SWARM_NODE                                                                                 \
	"__meta_dockerswarm_node_address=\"192.0.2.1\",__meta_dockerswarm_node_availability="      \
	"\"active\",__meta_dockerswarm_node_hostname=\"h\",__meta_dockerswarm_node_id=\"m1\","     \
	"__meta_dockerswarm_node_manager_address=\"192.0.2.1:2377\",__meta_dockerswarm_node_"      \
	"manager_leader=\"true\",__meta_dockerswarm_node_manager_reachability=\"reachable\","      \
	"__meta_dockerswarm_node_platform_os=\"linux\",__meta_dockerswarm_node_role=\"manager\","  \
	"__meta_dockerswarm_node_status=\"ready\""
	static const struct {
		const char *role, *wanted;
	} rows[] = {
		{"services",
			"{__address__=\"10.0.0.3:8080\"," SWARM_NET
			"__meta_dockerswarm_service_endpoint_port_name=\"p\",__meta_dockerswarm_"
			"service_endpoint_port_publish_mode=\"ingress\",__meta_dockerswarm_service_"
			"id="
			"\"s1\",__meta_dockerswarm_service_label_a=\"b\",__meta_dockerswarm_"
			"service_"
			"mode=\"replicated\",__meta_dockerswarm_service_name=\"web\",__meta_"
			"dockerswarm_service_task_container_image=\"nginx\"}\n"},
		{"nodes", "{__address__=\"192.0.2.1:80\"," SWARM_NODE "}\n"},
		{"tasks",
			"{__address__=\"10.0.0.7:8080\"," SWARM_NET SWARM_NODE
			",__meta_dockerswarm_service_id=\"s1\",__meta_dockerswarm_service_label_a="
			"\"b\",__meta_dockerswarm_service_mode=\"replicated\",__meta_dockerswarm_"
			"service_name=\"web\",__meta_dockerswarm_task_desired_state=\"running\","
			"__meta_dockerswarm_task_id=\"t1\",__meta_dockerswarm_task_port_publish_"
			"mode="
			"\"ingress\",__meta_dockerswarm_task_slot=\"1\",__meta_dockerswarm_task_"
			"state="
			"\"running\"}\n"},
	};
	(void)state;
	for (size_t i = 0; i < OPS_LENGTH(rows); i++) {
		struct world w;
		world_init(&w);
		w.answers = answers;
		w.nanswers = OPS_LENGTH(answers);
		OPS_CLEANUP(ops_freep)
		char *settings =
			ops_xasprintf("{host: 'http://127.0.0.1:@', role: %s}", rows[i].role);
		begin(&w, "dockerswarm", settings);
		run(&w);
		assert_found(&w, rows[i].wanted);
		world_done(&w);
	}
}

/* ---- files ---- */

static void write_file(const char *path, const char *text)
{
	assert_int_equal(ops_file_write_atomic(path, text, strlen(text), 0600), 0);
}

static void wait_for(struct world *w, size_t targets, const char *wanted_state)
{
	do {
		w->sd->ok_ms = 0;
		w->sd->failures = 0;
		run(w);
	} while (
		col_sd_targets(w->sd) != targets || strcmp(col_sd_state(w->sd), wanted_state) != 0);
}

static void test_files(void **state)
{
	char *dir = tempdir_make();
	struct world w;
	(void)state;
	world_init(&w);
	OPS_CLEANUP(ops_freep) char *json = ops_path_join(dir, "a.json");
	OPS_CLEANUP(ops_freep) char *yaml = ops_path_join(dir, "b.yml");
	OPS_CLEANUP(ops_freep)
	char *settings =
		ops_xasprintf("{files: ['%s/*.json', '%s/*.yml'], refresh_interval: 1h}", dir, dir);
	write_file(json, "[{\"targets\": [\"a:1\", \"b:1\"], \"labels\": {\"x\": \"y\"}}]");
	begin(&w, "file", settings);
	assert_int_equal(col_sd_targets(w.sd), 2); /* at once */
	assert_string_equal(ops_labels_get(w.sd->groups[0]->labels[0], "__meta_filepath"), json);
	write_file(yaml, "- targets: [c:1]\n"); /* inotify says so: the next look is in an hour */
	wait_for(&w, 3, "ok");
	write_file(json, "[{\"targets\": [\"a:1\""); /* broken: what was there stays */
	wait_for(&w, 3, "failing");
	write_file(json, "[]");
	wait_for(&w, 1, "ok");
	assert_int_equal(unlink(yaml), 0);
	wait_for(&w, 0, "ok");
	assert_int_equal(unlink(json), 0);
	tempdir_remove(dir);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_http_failures),
		cmocka_unit_test(test_last_good_stays),
		cmocka_unit_test(test_docker),
		cmocka_unit_test(test_swarm),
		cmocka_unit_test(test_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
