# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration tests.

pg        a fresh migrated database in a private PostgreSQL: .conninfo(user), .query(), .value(), .stop(), .start()
ports     ports() -> one free tcp port, ports(3) -> a list
bus_key   path of a bus key file
target    target("a 1\n") -> a Target (an exporter whose answer a test can change), ended with the test
service   service("ops-freeze", {...config...}) -> a started Service; all are ended and checked at the end of the test
"""
import itertools
import secrets

import pytest

import harness

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def pg_cluster():
    try:
        cluster = harness.PgCluster()
    except FileNotFoundError as e:
        pytest.skip(str(e))
    try:
        cluster.start()
        _admin(cluster, "CREATE DATABASE ops_template")
        harness.migrate(cluster, "ops_template")
        yield cluster
    finally:
        cluster.remove()


def _admin(cluster, sql):
    import psycopg2
    connection = psycopg2.connect(cluster.conninfo("postgres"))
    try:
        connection.autocommit = True
        connection.cursor().execute(sql)
    finally:
        connection.close()


@pytest.fixture
def pg(pg_cluster):
    if not pg_cluster.running():
        pg_cluster.start()
    name = f"ops_{next(_numbers)}"
    _admin(pg_cluster, f"CREATE DATABASE {name} TEMPLATE ops_template")
    yield harness.PgDatabase(pg_cluster, name)
    if not pg_cluster.running():
        pg_cluster.start()
    _admin(pg_cluster, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def ports():
    def take(n=None):
        return harness.free_port() if n is None else [harness.free_port() for _ in range(n)]
    return take


@pytest.fixture
def bus_key(tmp_path):
    path = tmp_path / "bus.key"
    path.write_text(secrets.token_hex(32) + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def service(tmp_path, bus_key):
    started = []

    def make(name, config=None, start=True, folder=None, ready=True, **kw):
        instance = folder or f"{name}-{len(started)}"
        s = harness.Service(name, tmp_path / instance, config, key_file=bus_key, **kw)
        started.append(s)
        if start:
            s.start(ready)
        return s

    yield make
    errors = []
    for s in reversed(started):
        try:
            s.close()
        except AssertionError as e:
            errors.append(str(e))
    assert not errors, "\n".join(errors)


@pytest.fixture
def target():
    made = []

    def make(*args, **kw):
        made.append(harness.Target(*args, **kw))
        return made[-1]

    yield make
    for t in made:
        t.shutdown()
        t.server_close()
