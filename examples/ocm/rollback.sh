#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts the release that ran before back in place. Never asks the gate: a rollback is allowed while a freeze is on.
set -eu
dir=${OPS_PORTAL_DIR:?set OPS_PORTAL_DIR to the folder that holds the release file}
version() { sed -n 's/^version: *//p' "$1"; }

if [ ! -s "$dir/release.previous" ]; then
	echo "nothing to roll back to: no release was deployed before $(version "$dir/release")"
	exit 0
fi
from=$(version "$dir/release")
cp "$dir/release.previous" "$dir/release.next"
mv "$dir/release.next" "$dir/release"
rm -f "$dir/release.previous"
echo "rolled back from $from to $(version "$dir/release")"
