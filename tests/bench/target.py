# SPDX-License-Identifier: Apache-2.0
"""Many fake targets in one process: bodies made beforehand, so that serving costs little and costs everyone the same.

usage: target.py PORT SERIES VARIANTS     prints "ready"; then reads commands from standard input:
  breach on|off      sets the gauge bench_breach of every target; answers "ok"
  shown              "AGENT MONOTONIC": since when each scraper has been shown the present state of target /0
  posted             JSON list of [MONOTONIC, body] of what was posted to /api/v2/alerts since the last time

Every body has SERIES series in families of 20 with five labels; three of four values change from scrape to scrape.
"""
import asyncio
import json
import sys
import time

port, series, variants = map(int, sys.argv[1:4])
breach = 0
shown, posted = {}, []


def make(variant):
    lines = []
    for i in range(series - 1):
        if i % 20 == 0:
            lines.append(f"# HELP bench_{i // 20}_total Requests by handler.\n# TYPE bench_{i // 20}_total counter")
        value = i * 1313 + (variant * (7 + i % 11) if i % 4 else 0)
        lines.append(f'bench_{i // 20}_total{{handler="/api/v1/resource/{i}",method="{("GET", "POST", "PUT")[i % 3]}",code="200",'
                     f'zone="eu-central-1",version="2.5.1"}} {value}' + (".25" if i % 3 == 0 else ""))
    return ("\n".join(lines) + "\n# TYPE bench_breach gauge\n").encode()


bodies = [make(v) for v in range(variants)]
turn = 0


async def serve(reader, writer):
    global turn
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = {k.strip().lower(): v.strip() for k, _, v in (x.partition(b":") for x in head.split(b"\r\n")[1:])}
            if head.startswith(b"POST"):
                body = await reader.readexactly(int(fields.get(b"content-length", 0)))
                posted.append([time.monotonic(), body.decode()])
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            turn += 1
            body = bodies[turn % variants] + b"bench_breach %d\n" % breach
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if head.startswith(b"GET /0 ") or head.startswith(b"GET /0?"):
                agent = fields.get(b"user-agent", b"-").decode().split("/")[0]
                shown.setdefault(agent, time.monotonic())
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def command(line):
    global breach
    words = line.split()
    if words[0] == "breach":
        breach = 1 if words[1] == "on" else 0
        shown.clear()
        return "ok"
    if words[0] == "shown":
        return json.dumps(shown)
    taken = json.dumps(posted)
    posted.clear()
    return taken


async def main():
    await asyncio.start_server(serve, "127.0.0.1", port, backlog=512)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(command(line), flush=True)


asyncio.run(main())
