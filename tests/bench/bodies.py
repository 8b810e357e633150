#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fake targets for the measurement of the collector alone: bodies made beforehand, plain or packed, whose series stay or go.

usage: bodies.py PORT SERIES plain|gzip CHURN_PERCENT_A_MINUTE     prints "ready", ends with its standard input

Three of four values change from scrape to scrape. With churn each target replaces that share of its series once a minute, as a deployment does;
the minutes of the targets begin at different times.
"""
import asyncio
import gzip
import resource
import sys
import time

port, series, encoding, churn = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
VARIANTS, PHASES, MINUTE = 5, 60, 60.0
begin = time.monotonic()


def make(variant, generation):
    lines, going = [], round(series * churn / 100)
    for i in range(series):
        if i % 20 == 0:
            lines.append(f"# HELP bench_{i // 20}_total Requests by handler.\n# TYPE bench_{i // 20}_total counter")
        value = i * 1313 + (variant * (7 + i % 11) if i % 4 else 0)
        version = generation if i < going else 0
        lines.append(f'bench_{i // 20}_total{{handler="/api/v1/resource/{i}",method="{("GET", "POST", "PUT")[i % 3]}",code="200",'
                     f'zone="eu-central-1",version="2.5.{version}"}} {value}' + (".25" if i % 3 == 0 else ""))
    body = ("\n".join(lines) + "\n").encode()
    packed = gzip.compress(body, 6) if encoding == "gzip" else body
    more = b"Content-Encoding: gzip\r\n" if encoding == "gzip" else b""
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n" + more + b"Content-Length: %d\r\n\r\n" % len(packed)) + packed


generations = {}


def replies_of(generation):
    if generation not in generations:
        generations[generation] = [make(v, generation) for v in range(VARIANTS)]
    return generations[generation]


class Target(asyncio.Protocol):
    turn = 0

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""
        transport.set_write_buffer_limits(high=64 << 20)

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head, self.rest = self.rest[:end], self.rest[end + 4:]
            path = head.split(b" ", 2)[1].lstrip(b"/").split(b"?")[0]
            Target.turn += 1
            phase = int(path or b"0") % PHASES * MINUTE / PHASES
            generation = int((time.monotonic() - begin + phase) / MINUTE) if churn else 0
            self.transport.write(replies_of(generation)[Target.turn % VARIANTS])


async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    loop = asyncio.get_running_loop()
    for generation in range(8 if churn else 1):  # not while it is measured
        generations[generation] = [make(v, generation) for v in range(VARIANTS)]
    await loop.create_server(Target, "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
