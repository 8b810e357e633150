#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The story of the lab against a running stack (./dev up): breach, page, playbook, freeze, refused deploy, thaw, proof.
# Ends with 0 only when every step was seen; safe to repeat.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
opsctl=${OPSCTL:-opsctl}
portal=${OPS_PORTAL_URL:-http://127.0.0.1:8001}
auditlog=${OPS_AUDITLOG_URL:-http://127.0.0.1:9095}
freeze=${OPS_FREEZE_URL:-http://127.0.0.1:9096}
alertmanager=${OPS_ALERTMANAGER_URL:-http://127.0.0.1:9093}
sink=${OPS_SINK_URL:-http://127.0.0.1:5001}
alert=P1_Claims_Errors

chapter() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() {
	printf '\n   did not happen: %s\n' "$*" >&2
	exit 1
}

# until_true SECONDS WHAT COMMAND...: waits, showing that it waits
until_true() {
	local limit=$1 what=$2 i
	shift 2
	for ((i = 0; i < limit * 2; i++)); do
		if "$@" >/dev/null 2>&1; then
			[ ! -t 1 ] || printf '\r\033[K'
			note "✓ $what"
			return 0
		fi
		[ ! -t 1 ] || printf '\r   … waiting: %s (%d s)' "$what" $((i / 2))
		sleep 0.5
	done
	printf '\n'
	fail "$what, within $limit s"
}

citizens() { # keeps requests coming until the demo ends
	while :; do
		for _ in 1 2 3 4 5; do
			curl -s -o /dev/null --max-time 2 -X POST "$portal/claims/submit" || true
			curl -s -o /dev/null --max-time 2 "$portal/refund/status" || true
		done
		sleep 0.2
	done
}

alert_state() { "$opsctl" alerts --json --filter "alertname=$alert"; }
pending_or_firing() { curl -fsS "${OPS_DETECTOR_URL:-http://127.0.0.1:9090}/api/v1/alerts" | jq -e ".data.alerts[] | select(.labels.alertname == \"$alert\")"; }
firing() { alert_state | jq -e 'length > 0 and .[0].status.state == "active"'; }
resolved() { alert_state | jq -e 'length == 0'; }
paged() { curl -fsS "$sink/pages" | jq -e ".[] | select(.page.status == \"$1\" and .page.commonLabels.alertname == \"$alert\" and (.page.alerts | any(.fingerprint == \"$2\" and .startsAt == \"$3\")))"; }
frozen() { [ "$(curl -s -o /dev/null -w '%{http_code}' "$freeze/v1/gate?scope=claims&action=deploy")" = 423 ]; }
deployed() { [ "$(curl -fsS "$portal/release" | jq -r .version)" = "$1" ]; }
flag_restored() { grep -q '^FREEZE' "$OPS_STATE_DIR/freeze/flags/claims.flag" && "$opsctl" audit tail --object freeze/claims | grep -q freeze.out_of_band; }
deploy() { "$here/deploy.sh" "$1"; }
query_ready() { "$opsctl" query --json 'rate(claims_requests_total[30s])' | jq -e '.data.result | length > 0'; }

citizens &
crowd=$!
trap 'kill $crowd 2>/dev/null || true' EXIT

chapter "0. A quiet morning"
curl -fsS -o /dev/null -X POST "$portal/chaos" -H 'content-type: application/json' -d '{}' || fail "the portal does not answer, is the stack up? (./dev up)"
if frozen; then "$opsctl" freeze clear --scope claims --reason "left over from before the demo" >/dev/null; fi
until_true 60 "citizens submit claims, the collector scrapes them" query_ready
until_true 120 "no claims alert is open" resolved

before=$(curl -fsS "$portal/release" | jq -r .version)
chapter "1. Release 2.5.0 goes out; most claims begin to fail"
deploy 2.5.0 | sed 's/^/   /'
until_true 10 "the portal runs 2.5.0" deployed 2.5.0

chapter "2. Detected"
until_true 60 "the rule saw the breach (pending, then firing)" pending_or_firing
until_true 90 "$alert is active at the alert router" firing
fingerprint=$(alert_state | jq -r '.[0].fingerprint')
started=$(alert_state | jq -r '.[0].startsAt')
note "fingerprint $fingerprint, firing since $started"

chapter "3. Acted on"
until_true 30 "the pager was called" paged firing "$fingerprint" "$started"
until_true 30 "the playbook rolled back to $before" deployed "$before"

chapter "4. Governed"
until_true 30 "scope claims is frozen" frozen
curl -s "$freeze/v1/gate?scope=claims" | jq -c '{decision, reason: .freezes[0].reason, alert: .freezes[0].alert}' | sed 's/^/   /'
code=0
"$opsctl" freeze check --scope claims >/dev/null || code=$?
[ $code = 10 ] || fail "opsctl freeze check exits 10 (it said $code)"
note "✓ opsctl freeze check exits 10"
code=0
deploy 2.5.1 2>&1 | sed 's/^/   /' || code=${PIPESTATUS[0]}
[ "$code" = 10 ] || fail "the deploy of 2.5.1 is refused (exit $code)"
note "✓ the deploy of 2.5.1 was refused"

if [ -n "${OPS_STATE_DIR:-}" ] && [ -e "$OPS_STATE_DIR/freeze/flags/claims.flag" ]; then
	note "somebody tries the old way: rm claims.flag"
	rm "$OPS_STATE_DIR/freeze/flags/claims.flag"
	until_true 10 "the flag file was put back, and the hand on it is on record" flag_restored
fi

chapter "5. Recovered"
until_true 180 "$alert resolved" resolved
until_true 60 "the pager was told" paged resolved "$fingerprint" "$started"
"$opsctl" freeze clear --scope claims --reason "rolled back, errors stopped, 2.5.1 reviewed" | sed 's/^/   /'
deploy 2.5.1 | sed 's/^/   /'
until_true 10 "the portal runs 2.5.1" deployed 2.5.1

chapter "6. Proved"
curl -fsS -X POST "$auditlog/ops/change" -H 'X-User: alice' -H 'content-type: application/json' \
	-d '{"dashboard": "claims", "change": "added the error panel"}' | sed 's/^/   /'
printf '\n'
until_true 30 "opsctl audit verify proves the log" "$opsctl" audit verify
chapter "The incident, from first breach to deploy (SELECT ... FROM ops.timeline)"
"$opsctl" timeline "$fingerprint"
kill $crowd 2>/dev/null || true
printf '\nThat was the loop. Alert manager: %s/api/v2/alerts, pages: %s/pages\n' "$alertmanager" "$sink"
