# SPDX-License-Identifier: Apache-2.0
"""The detector's store in its process, killed and damaged at random places: it opens, says what it lost, never answers with a wrong value.

Few rounds by default; OPS_STORE_ROUNDS=100 makes it many. The seed of a run is printed; OPS_STORE_SEED repeats it.
"""
import os
import random
import resource
import shutil
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness import binary, free_port, http_get, wait_until

ROUNDS = int(os.environ.get("OPS_STORE_ROUNDS", 3))
SEED = int(os.environ.get("OPS_STORE_SEED", random.randrange(1 << 32)))
SERIES = 12
STEP_S = 30


@pytest.fixture
def dice():
    print("OPS_STORE_SEED =", SEED)
    return random.Random(SEED)


def value(series, t):
    """What series has at time t (seconds): counters of several speeds, fractions, a constant."""
    return (t * (series + 1) % 1000003, t / 4 + series, 7.0 + series, -(t % 97) * 0.1)[series % 4]


def text(times):
    return "".join(f'm{{i="{i}"}} {value(i, t)!r} {t}000\n' for t in times for i in range(SERIES))


class Store:
    """A detector, and what it was given; times in seconds."""

    def __init__(self, service, hours=0):
        # so many hours back, or a moment ago: no block is cut of that
        self.begin = int(time.time()) // 7200 * 7200 - hours * 3600 if hours else int(time.time()) - 1200
        self.times = []  # acknowledged
        self.detector = service("ops-detector", {
            "samples_listen": f"tcp://127.0.0.1:{free_port()}", "alerts_listen": f"tcp://127.0.0.1:{free_port()}",
            "alerts_replay_listen": f"tcp://127.0.0.1:{free_port()}"}, ready=False, start=False)
        self.folder = self.detector.state_dir / "tsdb"

    def put(self, times):
        reply = self.detector.post("/api/v1/import/prometheus", text(times))
        assert reply.code in (200, 204), reply
        self.times += times

    def fill(self, hours):
        for hour in range(hours):
            self.put([self.begin + hour * 3600 + k for k in range(0, 3600, STEP_S)])

    def samples(self):
        """{(series, t): value} of everything that the service answers."""
        end = int(time.time()) + 3600
        found = {}
        query = urllib.parse.urlencode({"query": f"m[{end - self.begin + 60}s]", "time": end})
        reply = http_get(f"{self.detector.url}/api/v1/query?{query}", timeout=60)
        assert reply.code == 200, reply
        for one in reply.json["data"]["result"]:
            for t, v in one["values"]:
                found[int(one["metric"]["i"]), t] = float(v)
        return found

    def check(self):
        """No wrong value; returns what is missing."""
        found = self.samples()
        wrong = {k: v for k, v in found.items() if v != value(*k)}
        assert not wrong, f"wrong values, seed {SEED}: {list(wrong.items())[:5]}"
        return {(i, t) for t in self.times for i in range(SERIES)} - found.keys()

    def lost(self):
        """Whether the service says that something could not be read."""
        return bool(self.detector.metric("ops_detector_recovery_lost") or self.detector.metric("ops_detector_bad_segments"))


@pytest.fixture
def store(service):
    return lambda hours=0: Store(service, hours)


def kill_at_work(store, dice, within_s):
    """Again and again: what starts at once is at work when the kill comes."""
    for _ in range(ROUNDS):
        store.detector.start()
        time.sleep(dice.uniform(0, within_s))
        store.detector.sigkill()
        store.detector.start()
        missing = store.check()
        assert not missing, f"{len(missing)} samples are gone, seed {SEED}: {sorted(missing)[:5]}"
        store.detector.sigkill()
    store.detector.start()
    assert not store.check()


def test_killed_while_ingesting(store, dice):
    """What was acknowledged is there after the kill; what was being written may be torn, and is told as lost."""
    s = store()
    s.detector.start()
    next_t = s.begin
    for _ in range(ROUNDS):
        stop = threading.Event()

        def feed():
            nonlocal next_t
            while not stop.is_set():
                try:
                    s.put([next_t])
                except OSError:  # it was killed
                    return
                next_t += 1

        feeder = threading.Thread(target=feed)
        feeder.start()
        count = len(s.times)
        wait_until(lambda: len(s.times) > count + 20)
        time.sleep(dice.uniform(0, 0.3))
        s.detector.sigkill()
        stop.set()
        feeder.join()
        next_t += 1  # the one that was under way may be there in part
        s.detector.start()
        missing = s.check()
        assert not missing, f"{len(missing)} samples are gone, seed {SEED}: {sorted(missing)[:5]}"


def test_killed_while_cutting_blocks(store, dice):
    """Old samples: every start cuts a block at once."""
    s = store(2 * (ROUNDS + 3))
    s.detector.start()
    s.fill(2 * (ROUNDS + 1))
    s.detector.sigkill()
    kill_at_work(s, dice, 0.2)


def test_killed_while_compacting(store, dice, tmp_path):
    """Blocks of two hours: every start begins to make larger ones of them."""
    s = store(40)
    s.times = list(range(s.begin, s.begin + 36 * 3600, STEP_S))
    document = tmp_path / "samples.om"
    document.write_text("# TYPE m unknown\n" + "".join(
        f'm{{i="{i}"}} {value(i, t)!r} {t}\n' for i in range(SERIES) for t in s.times) + "# EOF\n")
    s.folder.mkdir(parents=True)
    done = subprocess.run([binary("opsctl"), "tsdb", "create-blocks-from", "openmetrics", document, s.folder / "blocks"],
                          capture_output=True, text=True, env={**os.environ, "PATH": f"{binary('ops-detector').parent}:{os.environ['PATH']}"})
    assert done.returncode == 0, done.stderr
    kill_at_work(s, dice, 0.2)


def test_torn_log(store, dice):
    """The end of the log is cut off, or was never written: only the newest samples are gone."""
    s = store()
    s.detector.start()
    s.put(list(range(s.begin, s.begin + 600)))
    s.detector.sigkill()
    base = s.folder.with_name("base")
    shutil.copytree(s.folder, base)
    for turn in range(2 * ROUNDS):
        shutil.rmtree(s.folder)
        shutil.copytree(base, s.folder)
        log = max((s.folder / "wal").iterdir())
        data = log.read_bytes()
        cut = dice.randrange(1, min(4096, len(data) - 16))
        log.write_bytes(data[:-cut] + (b"" if turn % 2 else bytes(cut)))
        s.detector.start()
        missing = s.check()
        # a row of one series takes 30 bytes at least
        newest = set(sorted((t, i) for i, t in {(i, t) for t in s.times for i in range(SERIES)})[-(cut // 25 + 2):])
        assert {(t, i) for i, t in missing} <= newest, f"older samples are gone, cut {cut}, seed {SEED}"
        assert not missing or turn % 2 or s.lost()
        s.detector.sigkill()


def test_flipped_bits(store, dice):
    """A bit of any file: the service starts, what it has is right, what it has not it says."""
    s = store(12)
    s.detector.start()
    s.fill(6)
    s.detector.restart()  # cuts a block
    wait_until(lambda: any(x.name[0] != "." and x.suffix != ".tmp" for x in (s.folder / "blocks").iterdir()), 60)
    s.put([s.begin + 6 * 3600 + k for k in range(0, 600, STEP_S)])
    s.detector.sigkill()
    base = s.folder.with_name("base")
    shutil.copytree(s.folder, base)
    files = sorted(f.relative_to(base) for f in base.rglob("*") if f.is_file() and f.stat().st_blocks)
    for turn in range(max(4 * ROUNDS, len(files) if ROUNDS > 3 else 0)):
        shutil.rmtree(s.folder)
        subprocess.run(["cp", "-a", "--sparse=always", base, s.folder], check=True)
        name = files[turn % len(files)] if ROUNDS > 3 else dice.choice(files)
        with open(s.folder / name, "r+b") as f:
            size = min(f.seek(0, 2), 1 << 20)  # head files end in a hole
            at, bit = dice.randrange(size), dice.randrange(8)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << bit]))
        s.detector.start()
        missing = s.check()
        assert not missing or s.lost(), f"{len(missing)} samples are gone and nobody says so: bit {bit} of byte {at} of {name}, seed {SEED}"
        s.detector.sigkill()


def test_full_disk(store):
    """No file may grow any more: samples stay in memory and are answered; when there is room again they reach the disk."""
    s = store()
    s.detector.start()
    s.put(list(range(s.begin, s.begin + 100)))
    pid = s.detector.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    for k in range(100, 400, 20):
        s.put(list(range(s.begin + k, s.begin + k + 20)))
    wait_until(lambda: s.detector.metric("ops_detector_disk_failing") == 1)
    assert "memory only" in str(s.detector.get("/health").json)
    assert not s.check()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    wait_until(lambda: s.detector.metric("ops_detector_disk_failing") == 0)
    s.put(list(range(s.begin + 400, s.begin + 420)))
    s.detector.sigkill()
    s.detector.start()
    assert not s.check()


def test_full_disk_and_killed(store):
    """The same, but it is killed before there is room: what was written before is there, nothing is wrong."""
    s = store()
    s.detector.start()
    s.put(list(range(s.begin, s.begin + 100)))
    before = list(s.times)
    pid = s.detector.process.pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]))
    s.put(list(range(s.begin + 100, s.begin + 200)))
    wait_until(lambda: s.detector.metric("ops_detector_disk_failing") == 1)
    s.detector.sigkill()
    s.detector.start()
    assert {t for _, t in s.check()}.isdisjoint(before)
