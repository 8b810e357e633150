#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What the compose suite stands on: a Docker engine, and images that are made here when no registry is in reach.
#   engine.sh check    installs and starts what is missing; says why and exits 1 when there can be no engine
#   engine.sh images   hms-ops:test and hms-ops-postgres:test (and debian:bookworm-slim, when it is missing)
#   engine.sh stop     stops the engine if, and only if, `check` had to start it
set -euo pipefail
ROOT=$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)
BASE_IMAGE=${BASE_IMAGE:-debian:bookworm-slim}
MIRROR=${OPS_DEBIAN_MIRROR:-http://deb.debian.org/debian}
STATE=$ROOT/build/engine
export DOCKER_BUILDKIT=0 # Debian's docker.io comes without buildx

say() { printf '==> %s\n' "$*" >&2; }
no() {
	printf '%s\n' "$*"
	exit 1
}

install_engine() {
	local missing=() p policy=/usr/sbin/policy-rc.d made=''
	for p in docker.io:dockerd docker-compose:docker-compose debootstrap:debootstrap iptables:iptables; do
		command -v "${p#*:}" >/dev/null || missing+=("${p%:*}")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	if [ ! -e $policy ]; then # the engine is started below, in sight
		made=1
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
	fi
	local rc=0
	{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } \
		>"$STATE/install.log" 2>&1 || rc=$?
	[ -z "$made" ] || rm -f $policy
	return $rc
}

engine_answers() { timeout 10 docker info >/dev/null 2>&1; }

# A second dockerd would take the first one's socket away: one that is there already is waited for.
start_engine() {
	local i
	for i in $(seq 60); do
		pgrep -x dockerd >/dev/null || break
		if engine_answers; then return 0; fi
		[ "$i" -lt 60 ] || no "a dockerd is running, but does not answer"
		sleep 1
	done
	say "starting dockerd"
	setsid dockerd --pidfile "$STATE/dockerd.pid" >"$STATE/dockerd.log" 2>&1 </dev/null &
	local pid=$!
	for i in $(seq 120); do
		if engine_answers; then return 0; fi
		kill -0 $pid 2>/dev/null || break
		sleep 0.5
	done
	kill $pid 2>/dev/null || true
	return 1
}

check() {
	[ "$(id -u)" = 0 ] || engine_answers || no "a Docker engine needs root"
	mkdir -p "$STATE"
	if [ "$(id -u)" = 0 ]; then install_engine || no "could not install docker.io, docker-compose and debootstrap: $(tail -n 1 "$STATE/install.log")"; fi
	command -v docker-compose >/dev/null || no "docker-compose is not installed"
	engine_answers || start_engine || no "dockerd does not start: $(grep -o 'failed to start daemon.*' "$STATE/dockerd.log" | tail -n 1)"
}

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

base_image() {
	have_image "$BASE_IMAGE" && return 0
	if timeout 60 docker pull -q "$BASE_IMAGE" >/dev/null 2>&1; then return 0; fi
	[ "$BASE_IMAGE" = debian:bookworm-slim ] || { say "no registry has $BASE_IMAGE"; return 1; }
	say "no registry in reach: making $BASE_IMAGE by debootstrap"
	local dir
	dir=$(mktemp -d /var/tmp/ops-base.XXXXXX)
	debootstrap --variant=minbase bookworm "$dir" "$MIRROR" >"$STATE/debootstrap.log" 2>&1 || { tail -n 5 "$STATE/debootstrap.log" >&2; rm -rf "$dir"; return 1; }
	# With the security updates, as Debian's own image has them.
	printf 'deb %s bookworm main\ndeb %s bookworm-updates main\ndeb %s-security bookworm-security main\n' \
		"$MIRROR" "$MIRROR" "$MIRROR" >"$dir/etc/apt/sources.list"
	rm -rf "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
	tar -C "$dir" -c . | docker import - "$BASE_IMAGE" >/dev/null
	rm -rf "$dir"
}

build() { # TAG DOCKERFILE CONTEXT
	say "building $1"
	if ! docker build --force-rm --network=host --build-arg "BASE_IMAGE=$BASE_IMAGE" -t "$1" -f "$2" "$3" >"$STATE/${1%%:*}.log" 2>&1; then
		tail -n 40 "$STATE/${1%%:*}.log" >&2
		return 1
	fi
}

images() {
	mkdir -p "$STATE"
	base_image
	build hms-ops-postgres:test "$ROOT/tests/compose/Dockerfile.postgres" "$ROOT/tests/compose"
	build hms-ops:test "$ROOT/deploy/Dockerfile" "$ROOT"
}

stop() {
	[ -s "$STATE/dockerd.pid" ] || return 0
	local pid i
	pid=$(cat "$STATE/dockerd.pid")
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
	say "stopping dockerd"
	kill "$pid"
	for i in $(seq 100); do
		[ -d "/proc/$pid" ] || return 0
		[ "$i" -lt 100 ] || kill -KILL "$pid"
		sleep 0.1
	done
}

case ${1:-} in
check | images | stop) "$1" ;;
*)
	sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
