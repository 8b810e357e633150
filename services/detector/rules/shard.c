/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rule groups shared among several detectors by their names, without talking to each other.
 * Rendezvous hashing (Thaler and Ravishankar): a group belongs to the shard that scores highest for
 * its name, so that with one shard more only the groups move that the new one gets.
 */
#include "services/detector/rules/rules.h"

#include <errno.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/number.h"

enum {
	SHARDS_MAX = 1000
};

int det_rules_shard_parse(const char *text, unsigned *ret_shard, unsigned *ret_shards)
{
	const char *slash = strchr(text, '/');
	uint64_t shard, shards;

	if (slash == NULL || ops_parse_u64(text, (size_t)(slash - text), &shard) < 0 ||
		ops_parse_u64(slash + 1, strlen(slash + 1), &shards) < 0 || shard < 1 ||
		shard > shards || shards > SHARDS_MAX)
		return -EINVAL;
	*ret_shard = (unsigned)shard - 1;
	*ret_shards = (unsigned)shards;
	return 0;
}

unsigned det_rules_shard_of(const char *group, unsigned shards)
{
	uint64_t best = 0;
	unsigned found = 0;

	for (unsigned i = 0; i < shards; i++) {
		uint64_t score = ops_hash64(group, strlen(group), i + 1);
		if (score > best) {
			best = score;
			found = i;
		}
	}
	return found;
}
