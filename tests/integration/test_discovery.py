# SPDX-License-Identifier: Apache-2.0
"""How ops-collector finds targets: real processes against the real Docker engine where there is one, else and for
Kubernetes and Consul against servers that speak their API (fake_apis.py)."""
import json
import shutil
import subprocess
import uuid

import pytest

import fake_apis
from harness import http_get, opsctl, wait_until


class Alone:
    def __init__(self, service, ports, tmp_path):
        self.service, self.ports, self.file = service, ports, tmp_path / "prometheus.yml"

    def write(self, jobs):
        self.file.write_text(json.dumps({"global": {"scrape_interval": "300ms"}, "scrape_configs": jobs}))

    def collector(self, jobs, **kw):
        self.write(jobs)
        return self.service("ops-collector", {
            "scrape_config_file": str(self.file), "instance": "c1", "members_url": "",
            "samples_url": f"tcp://127.0.0.1:{self.ports()}",
            "replay_listen": f"tcp://127.0.0.1:{self.ports()}"}, **kw)


@pytest.fixture
def alone(service, ports, tmp_path):
    return Alone(service, ports, tmp_path)


@pytest.fixture
def fake():
    started = []

    def make(kind, *args, **kw):
        started.append(kind(*args, **kw))
        return started[-1]
    yield make
    for s in started:
        s.close()


def active(c):
    return c.get("/api/v1/targets").json["data"]["activeTargets"]


def addresses(c):
    return sorted(t["discoveredLabels"]["__address__"] for t in active(c))


def discoverer(c, job=0, i=0):
    return c.get("/api/v1/discovery").json["data"]["jobs"][job]["discoverers"][i]


# ---- http ----

def test_http_sd(alone, target):
    sd, t = target("[]", "application/json"), target("a 1\n")
    c = alone.collector([{"job_name": "h", "http_sd_configs": [
        {"url": f"http://{sd.address}/targets", "refresh_interval": "100ms"}]}])
    wait_until(lambda: discoverer(c)["state"] == "ok")
    assert active(c) == []
    sd.body = json.dumps([{"targets": [t.address], "labels": {"env": "one"}}])
    wait_until(lambda: [x["labels"].get("env") for x in active(c)] == ["one"])
    assert active(c)[0]["discoveredLabels"]["__meta_url"] == f"http://{sd.address}/targets"
    assert sd.requests[-1][1]["X-Prometheus-Refresh-Interval-Seconds"] == "0.1"
    wait_until(lambda: active(c)[0]["health"] == "up")
    sd.status = 500
    wait_until(lambda: discoverer(c)["state"] == "failing")
    assert "HTTP status 500" in discoverer(c)["lastError"]
    assert len(active(c)) == 1, "the last good targets stay"
    assert c.metric("prometheus_sd_refresh_failures_total", mechanism="http") >= 1
    assert c.metric("prometheus_sd_discovered_targets", config="h") == 1
    sd.status = 200
    wait_until(lambda: discoverer(c)["state"] == "ok")


def test_reload_keeps_what_did_not_change(alone, target):
    sd, t = target("[]", "application/json"), target("a 1\n")
    sd.body = json.dumps([{"targets": [t.address]}])
    job = {"job_name": "h", "http_sd_configs": [{"url": f"http://{sd.address}/x", "refresh_interval": "1h"}]}
    c = alone.collector([job])
    wait_until(lambda: len(active(c)) == 1)
    alone.write([{**job, "scrape_timeout": "200ms"}, {"job_name": "other", "static_configs": [{"targets": ["b:1"]}]}])
    assert c.post("/-/reload").code == 200
    assert len(active(c)) == 2
    assert len(sd.requests) == 1, "the same settings were not asked again"
    alone.write([])
    assert c.post("/-/reload").code == 200
    wait_until(lambda: active(c) == [])


# ---- dropped targets, step by step ----

def test_dropped_and_why(alone, target):
    t = target("a 1\n")
    c = alone.collector([{"job_name": "j", "keep_dropped_targets": 1,
                          "static_configs": [{"targets": [t.address, "gone:1", "gone:2"], "labels": {"env": "x"}}],
                          "relabel_configs": [
                              {"source_labels": ["env"], "target_label": "stage"},
                              {"source_labels": ["__address__"], "regex": "gone.*", "action": "drop"},
                              {"target_label": "never", "replacement": "1"}]}])
    data = c.get("/api/v1/targets").json["data"]
    assert data["droppedTargetCounts"] == {"j": 2}
    assert [d["discoveredLabels"]["__address__"] for d in data["droppedTargets"]] == ["gone:1"]
    reply = http_get(c.url + "/api/v1/targets/relabel_steps?scrapePool=j&labels=%7B%22__address__%22:%22gone:1%22,"
                             "%22env%22:%22x%22%7D").json["data"]
    assert not reply["keep"] and [s["keep"] for s in reply["steps"]] == [True, False]
    assert reply["steps"][0]["output"]["stage"] == "x"
    assert reply["steps"][1]["rule"]["action"] == "drop"
    assert http_get(c.url + "/api/v1/targets/relabel_steps?scrapePool=none").code == 404
    assert http_get(c.url + "/api/v1/targets/relabel_steps?scrapePool=j&labels=[]").code == 400
    assert "j: 1 active, 2 dropped" in c.get("/service-discovery").text
    assert t.address in c.get("/targets").text
    env = {"OPS_COLLECTOR_URL": c.url}
    out = opsctl("debug", "relabel", "j", "gone:1", env=env, check=0).stdout
    assert "dropped by rule 2" in out and "stage" in out
    out = opsctl("debug", "relabel", "j", t.address, env=env, check=0).stdout
    assert "kept" in out and "never" in out
    opsctl("debug", "relabel", "j", "unknown:1", env=env, check=1)


# ---- credentials ----

def test_oauth2(alone, target, fake):
    for in_form in (False, True):
        tokens, t = fake(fake_apis.Tokens, in_form=in_form), target("a 1\n")
        c = alone.collector([{"job_name": "o", "static_configs": [{"targets": [t.address]}], "oauth2": {
            "client_id": "client", "client_secret": "secret", "token_url": tokens.url + "/token",
            "scopes": ["read", "more"], "endpoint_params": {"audience": "x"}}}])
        wait_until(lambda: len(t.requests) >= 2)
        assert {r[1].get("Authorization") for r in t.requests} == {"Bearer token-1"}
        form = tokens.requests[-1][1]
        assert form["scope"] == ["read more"] and form["audience"] == ["x"]
        assert tokens.given == 1
        c.sigterm()


def test_oauth2_refused(alone, target, fake):
    tokens, t = fake(fake_apis.Tokens), target("a 1\n")
    c = alone.collector([{"job_name": "o", "static_configs": [{"targets": [t.address]}], "oauth2": {
        "client_id": "client", "client_secret": "wrong", "token_url": tokens.url}}])
    wait_until(lambda: active(c)[0]["health"] == "down")
    assert "no access token" in active(c)[0]["lastError"] and "invalid_client" in active(c)[0]["lastError"]
    assert t.requests == []


# ---- Docker ----

def _docker(*args):
    return subprocess.run(["docker", *args], capture_output=True, text=True, timeout=120)


def _docker_image():
    if not shutil.which("docker") or _docker("info").returncode != 0:
        return None
    found = _docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    return next((i for i in found if "<none>" not in i), None)


def test_docker_engine(alone):
    image = _docker_image()
    if image is None:
        pytest.skip("no Docker engine with an image here; its API is tested with recorded answers (test_sd.c)")
    name = "ops-sd-" + uuid.uuid4().hex[:8]
    label = f"ops.test={name}"
    made = _docker("create", "--name", name, "--label", label, "--label", "team.x=core", "--expose", "9100",
                   "--entrypoint", "sleep", image, "600")
    assert made.returncode == 0, made.stderr
    try:
        c = alone.collector([{"job_name": "d", "docker_sd_configs": [
            {"host": "unix:///var/run/docker.sock", "refresh_interval": "200ms",
             "filters": [{"name": "label", "values": [label]}]}]}])
        wait_until(lambda: discoverer(c)["state"] == "ok")
        assert active(c) == []
        assert _docker("start", name).returncode == 0
        wait_until(lambda: len(active(c)) == 1)
        found = active(c)[0]["discoveredLabels"]
        assert found["__meta_docker_container_name"] == "/" + name
        assert found["__meta_docker_container_label_team_x"] == "core"
        assert found["__meta_docker_port_private"] == "9100"
        assert found["__address__"] == found["__meta_docker_network_ip"] + ":9100"
        assert found["__meta_docker_network_name"] == "bridge"
        assert found["__meta_docker_network_scope"] == "local"
    finally:
        _docker("rm", "-f", name)
    wait_until(lambda: active(c) == [])


# ---- Consul ----

def _instance(name, number, tags=("a",), status="passing", address=""):
    return {"Node": {"ID": "x", "Node": f"n{number}", "Address": f"10.0.0.{number}", "Datacenter": "lab",
                     "TaggedAddresses": {"lan": f"10.0.0.{number}"}, "Meta": {"rack-no": "7"}},
            "Service": {"ID": f"{name}-{number}", "Service": name, "Tags": list(tags), "Address": address, "Port": 8000 + number,
                        "Meta": {"version": "2"}, "Namespace": "default", "Partition": "p"},
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "service:" + name, "Status": status}]}


def test_consul(alone, fake):
    api = fake(fake_apis.Consul)
    api.put("web", [_instance("web", 1, ("a", "b")), _instance("web", 2, address="fd00::2", status="critical")])
    api.put("db", [_instance("db", 3, ())])
    c = alone.collector([{"job_name": "c", "consul_sd_configs": [
        {"server": api.address, "token": "secret", "refresh_interval": "100ms", "namespace": "ns", "partition": "p",
         "node_meta": {"rack": "7"}, "filter": "Name != x", "path_prefix": "/"}]}])
    wait_until(lambda: addresses(c) == ["10.0.0.1:8001", "10.0.0.3:8003", "[fd00::2]:8002"])
    found = next(t for t in active(c) if "10.0.0.1:" in t["scrapeUrl"])["discoveredLabels"]
    for name, value in {"address": "10.0.0.1", "node": "n1", "namespace": "default", "partition": "p", "tags": ",a,b,", "dc": "lab",
                        "service": "web", "service_port": "8001", "service_id": "web-1", "health": "passing",
                        "metadata_rack_no": "7", "service_metadata_version": "2", "tagged_address_lan": "10.0.0.1"}.items():
        assert found["__meta_consul_" + name] == value, name
    others = {t["discoveredLabels"]["__meta_consul_node"]: t["discoveredLabels"] for t in active(c)}
    assert others["n2"]["__meta_consul_health"] == "critical" and others["n2"]["__meta_consul_service_address"] == "fd00::2"
    assert others["n3"]["__meta_consul_tags"] == ",,"
    path, query, headers = next(r for r in api.requests if r[0] == "/v1/catalog/services")
    assert headers["X-Consul-Token"] == "secret"
    assert {k: query[k] for k in ("ns", "partition", "node-meta", "filter", "wait")} == {
        "ns": "ns", "partition": "p", "node-meta": "rack:7", "filter": "Name != x", "wait": "120s"}
    assert "stale" in query
    api.put("db", [_instance("db", 3, ()), _instance("db", 4, ())])
    wait_until(lambda: "10.0.0.4:8004" in addresses(c))
    api.drop("web")
    wait_until(lambda: addresses(c) == ["10.0.0.3:8003", "10.0.0.4:8004"])
    with api.changed:  # the agent began anew
        api.index, api.services = 2, {"cache": [_instance("cache", 5)]}
        api.changed.notify_all()
    wait_until(lambda: addresses(c) == ["10.0.0.5:8005"])
    assert max(int(r[1].get("index", 0)) for r in api.requests) > 2
    with api.changed:
        api.index, api.refuses = 9, True
        api.changed.notify_all()
    wait_until(lambda: discoverer(c)["state"] == "failing")
    assert "403" in discoverer(c)["lastError"]
    assert addresses(c) == ["10.0.0.5:8005"], "what was found stays"


def test_consul_chosen_services(alone, fake):
    api = fake(fake_apis.Consul)
    for number, (name, tags) in enumerate((("web", ["a", "b"]), ("web2", ["a"]), ("db", ["a", "b"])), 1):
        api.put(name, [_instance(name, number, tags)])
    settings = {"server": api.address, "refresh_interval": "100ms", "datacenter": "there", "allow_stale": False}
    c = alone.collector([
        {"job_name": "named", "consul_sd_configs": [{**settings, "services": ["web", "absent"]}]},
        {"job_name": "tagged", "consul_sd_configs": [{**settings, "tags": ["a", "b"], "tag_separator": ";"}]}])
    wait_until(lambda: addresses(c) == ["10.0.0.1:8001", "10.0.0.1:8001", "10.0.0.3:8003"])
    assert {t["discoveredLabels"]["__meta_consul_tags"] for t in active(c) if t["scrapePool"] == "tagged"} == {";a;b;"}
    assert {t["discoveredLabels"]["__meta_consul_dc"] for t in active(c)} == {"there"}
    assert not [r for r in api.requests if r[0] == "/v1/agent/self"]
    assert all(r[1]["dc"] == "there" and "stale" not in r[1] for r in api.requests)
    wanted = {r[0].rsplit("/", 1)[1]: r[1] for r in api.requests if "/health/" in r[0]}
    assert set(wanted) == {"web", "absent", "db"}, "no other service is asked for"


# ---- Kubernetes ----

def _pod(name, ip, port=9100, namespace="shop", **labels):
    return {"metadata": {"namespace": namespace, "name": name, "uid": "u-" + name, "labels": labels,
                         "managedFields": [{"manager": "x"}]},
            "spec": {"nodeName": "n1", "containers": [
                {"name": "app", "image": "img:1", "ports": [{"name": "http", "containerPort": port,
                                                             "protocol": "TCP"}]}]},
            "status": {"podIP": ip, "phase": "Running", "hostIP": "192.0.2.1",
                       "conditions": [{"type": "Ready", "status": "True"}]}}


NODE = {"metadata": {"name": "n1", "labels": {"zone": "a"}},
        "spec": {"providerID": "p://n1"},
        "status": {"addresses": [{"type": "Hostname", "address": "host-n1"}, {"type": "InternalIP",
                                                                               "address": "192.0.2.1"}],
                   "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}
K8S = "__meta_kubernetes_"


def test_kubernetes_pods(alone, fake):
    api = fake(fake_apis.Kubernetes)
    pods = "/api/v1/pods"
    for i in range(5):  # three pages
        api.add(pods, _pod(f"p{i}", f"10.0.0.{i + 1}", app="web"))
    api.add("/api/v1/nodes", json.loads(json.dumps(NODE)))
    c = alone.collector([{"job_name": "k", "kubernetes_sd_configs": [
        {"role": "pod", "api_server": api.url, "attach_metadata": {"node": True},
         "selectors": [{"role": "pod", "label": "app=web"}]}]}])
    wait_until(lambda: addresses(c) == [f"10.0.0.{i + 1}:9100" for i in range(5)])
    found = next(t for t in active(c) if "10.0.0.1:" in t["scrapeUrl"])["discoveredLabels"]
    for name, value in {"namespace": "shop", "pod_name": "p0", "pod_label_app": "web", "pod_ready": "true",
                        "pod_labelpresent_app": "true", "pod_phase": "Running", "pod_uid": "u-p0",
                        "pod_container_name": "app", "pod_container_image": "img:1", "pod_container_init": "false",
                        "pod_container_port_number": "9100", "pod_container_port_name": "http", "pod_ip": "10.0.0.1",
                        "pod_node_name": "n1", "pod_host_ip": "192.0.2.1", "node_label_zone": "a"}.items():
        assert found[K8S + name] == value, name
    assert all(q["labelSelector"] == "app=web" for p, q, _ in api.requests if p == pods)
    api.add(pods, _pod("p9", "10.0.0.9"))
    wait_until(lambda: "10.0.0.9:9100" in addresses(c))
    api.delete(pods, _pod("p0", "10.0.0.1"))
    wait_until(lambda: "10.0.0.1:9100" not in addresses(c))
    api.forget()  # the watch must list again, and see what it missed
    api.add(pods, _pod("p10", "10.0.0.10"))
    wait_until(lambda: "10.0.0.10:9100" in addresses(c))
    assert discoverer(c)["state"] == "ok"


def test_kubernetes_endpoints(alone, fake):
    api = fake(fake_apis.Kubernetes)
    ns = "/namespaces/shop"
    api.add("/api/v1/namespaces/shop/pods", _pod("p1", "10.0.0.1", app="web"))
    api.add(f"/api/v1{ns}/services", {"metadata": {"namespace": "shop", "name": "web", "labels": {"team": "core"}},
                                      "spec": {}})
    ref = {"kind": "Pod", "name": "p1", "namespace": "shop"}
    api.add(f"/api/v1{ns}/endpoints", {"metadata": {"namespace": "shop", "name": "web"}, "subsets": [
        {"addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": ref}],
         "notReadyAddresses": [{"ip": "10.0.0.2"}],
         "ports": [{"name": "admin", "port": 9999, "protocol": "TCP"}]}]})
    api.add(f"/apis/discovery.k8s.io/v1{ns}/endpointslices", {
        "metadata": {"namespace": "shop", "name": "web-x", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 9100, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "targetRef": ref, "zone": "z"}]})
    settings = {"api_server": api.url, "namespaces": {"names": ["shop"]}}
    c = alone.collector([
        {"job_name": "e", "kubernetes_sd_configs": [{"role": "endpoints", **settings}]},
        {"job_name": "s", "kubernetes_sd_configs": [{"role": "endpointslice", **settings}]}])
    # the endpoint, the one that is not ready, and the pod's own port that the service does not name
    wait_until(lambda: addresses(c) == ["10.0.0.1:9100", "10.0.0.1:9100", "10.0.0.1:9999", "10.0.0.2:9999"])
    by = {(t["scrapePool"], t["discoveredLabels"]["__address__"]): t["discoveredLabels"] for t in active(c)}
    main = by["e", "10.0.0.1:9999"]
    assert main[K8S + "endpoint_ready"] == "true" and main[K8S + "endpoint_port_name"] == "admin"
    assert main[K8S + "service_label_team"] == "core" and main[K8S + "pod_name"] == "p1"
    assert main[K8S + "endpoints_name"] == "web" and main[K8S + "namespace"] == "shop"
    assert by["e", "10.0.0.2:9999"][K8S + "endpoint_ready"] == "false"
    assert by["e", "10.0.0.1:9100"][K8S + "pod_container_port_number"] == "9100"
    piece = by["s", "10.0.0.1:9100"]
    assert piece[K8S + "endpointslice_name"] == "web-x" and piece[K8S + "service_name"] == "web"
    assert piece[K8S + "endpointslice_endpoint_conditions_ready"] == "true"
    assert piece[K8S + "endpointslice_endpoint_zone"] == "z"
    assert piece[K8S + "pod_container_port_name"] == "http"


def test_kubernetes_other_roles(alone, fake, tmp_path):
    api = fake(fake_apis.Kubernetes)
    api.token = "tok"
    api.add("/api/v1/nodes", json.loads(json.dumps(NODE)))
    api.add("/api/v1/services", {"metadata": {"namespace": "shop", "name": "web"}, "spec": {
        "type": "ClusterIP", "clusterIP": "10.9.0.1", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}})
    api.add("/apis/networking.k8s.io/v1/ingresses", {"metadata": {"namespace": "shop", "name": "in"}, "spec": {
        "ingressClassName": "nginx", "tls": [{"hosts": ["*.example"]}],
        "rules": [{"host": "a.example", "http": {"paths": [{"path": "/x"}]}}, {"host": "b.test"}]}})
    config = tmp_path / "kubeconfig"
    config.write_text(json.dumps({
        "current-context": "lab", "contexts": [{"name": "lab", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": api.url}}], "users": [{"name": "u", "user": {"token": "tok"}}]}))
    c = alone.collector([{"job_name": role, "kubernetes_sd_configs": [
        {"role": role, "kubeconfig_file": str(config)}]} for role in ("node", "service", "ingress")])
    wait_until(lambda: addresses(c) == ["192.0.2.1:10250", "a.example", "b.test", "web.shop.svc:80"])
    by = {t["discoveredLabels"]["__address__"]: t["discoveredLabels"] for t in active(c)}
    assert by["192.0.2.1:10250"]["instance"] == "n1"
    assert by["192.0.2.1:10250"][K8S + "node_address_Hostname"] == "host-n1"
    assert by["web.shop.svc:80"][K8S + "service_cluster_ip"] == "10.9.0.1"
    assert by["a.example"][K8S + "ingress_scheme"] == "https" and by["a.example"][K8S + "ingress_path"] == "/x"
    assert by["b.test"][K8S + "ingress_scheme"] == "http"
    api.token = "another"
    api.forget()
    api.add("/api/v1/nodes", {**json.loads(json.dumps(NODE)), "metadata": {"name": "n2"}})
    wait_until(lambda: discoverer(c)["state"] == "failing")
    assert "user is not allowed to list" in discoverer(c)["lastError"]
    assert {"192.0.2.1:10250", "web.shop.svc:80"} <= set(addresses(c)), "what was found stays"
