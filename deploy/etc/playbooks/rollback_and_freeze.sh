#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Rolls the last release back, freezes deployments of the scope, and leaves a note at the alert.
# Started by ops-alertmanager with the alert as JSON on standard input and OPS_* in the environment.
set -eu
opsctl=${OPSCTL:-opsctl}
alert=$(cat)
fingerprint=$(printf '%s' "$alert" | jq -r .fingerprint)
name=$(printf '%s' "$alert" | jq -r .labels.alertname)
scope=$(printf '%s' "$alert" | jq -r '.labels.scope // "claims"')

echo "rolling back the last deploy"
"${OPS_ROLLBACK:?set playbook_environment OPS_ROLLBACK to the rollback program}"

echo "freezing changes to $scope"
"$opsctl" freeze set --scope "$scope" --source alert --alert "$fingerprint" --ttl "${OPS_FREEZE_TTL:-4h}" \
	--actor playbook/rollback_and_freeze.sh --reason "$name is firing; release rolled back"

"$opsctl" note --alert "$fingerprint" --author playbook/rollback_and_freeze.sh \
	"rolled back the last release and froze scope $scope"
echo "done: people on call, please investigate"
