#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Deploys a release of the demo portal, if the gate lets it:  deploy.sh VERSION
# Exit codes: 0 deployed, 10 refused by a freeze, 20 the gate could not tell (which is a no), 64 usage.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=${OPS_PORTAL_DIR:?set OPS_PORTAL_DIR to the folder that holds the release file}
scope=${OPS_DEPLOY_SCOPE:-claims}
opsctl=${OPSCTL:-opsctl}

if [ $# -ne 1 ] || [ ! -f "$here/releases/$1" ]; then
	echo "usage: deploy.sh VERSION, one of: $(cd "$here/releases" && echo *)" >&2
	exit 64
fi

code=0
"$opsctl" freeze check --scope "$scope" --action deploy || code=$?
case $code in
0) ;;
10)
	echo "deploy of $1 refused: $scope is frozen" >&2
	exit 10
	;;
*)
	echo "deploy of $1 refused: the gate could not tell (exit $code)" >&2
	exit 20
	;;
esac

# On record before it takes effect.
"$opsctl" audit record --action deploy --object "release/$scope/$1" --reason "${OPS_DEPLOY_REASON:-deploy.sh}"
[ ! -s "$dir/release" ] || cp "$dir/release" "$dir/release.previous"
cp "$here/releases/$1" "$dir/release.next"
mv "$dir/release.next" "$dir/release"
echo "deployed $1"
