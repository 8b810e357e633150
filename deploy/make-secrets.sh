#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes the secrets of one stack, once; what is there is kept:  make-secrets.sh DIR
#   bus.key                 the key of the message bus
#   ops_*.password          one for each database role, ops_admin for the migrations
#   operator.token          bearer token of people and pipelines (role operator)
#   playbook.token          bearer token of playbooks
# The folder is closed to everyone else (0700). The files are readable by all because containers see them one
# by one, as a user that has no name out here.
set -eu
dir=${1:?usage: make-secrets.sh DIR}
umask 077
mkdir -p "$dir"
chmod 700 "$dir"
for name in bus.key ops_admin.password ops_owner.password ops_alertmanager.password ops_freeze.password \
	ops_auditlog.password ops_reader.password operator.token playbook.token; do
	if [ ! -s "$dir/$name" ]; then
		head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$dir/$name.new"
		chmod 444 "$dir/$name.new"
		mv "$dir/$name.new" "$dir/$name"
		echo "made $dir/$name"
	fi
done
