/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Scrapes: one scraper per target, its next time, its request, its last row. Loop thread only.
 */
#include "services/collector/agenda.h"
#include "services/collector/exemplars.h"
#include "services/collector/fetch.h"
#include "services/collector/layout.h"
#include "services/collector/native.h"
#include "services/collector/rows.h"
#include "services/collector/targets.h"

enum col_health {
	COL_HEALTH_UNKNOWN,
	COL_HEALTH_UP,
	COL_HEALTH_DOWN
};
const char *col_health_text(enum col_health h);

struct col_scraper {
	struct col_scraping *owner;
	struct col_target *target; /* owned */
	struct col_series_rules rules;
	bool ours;		 /* else the target is another collector's */
	struct col_entry entry;	 /* for the next scrape */
	struct col_fetch *fetch; /* NULL until the first scrape */
	bool fetching;
	int64_t due_ms;		    /* of the next scrape, wall clock */
	int64_t time_ms;	    /* of the scrape under way, as its samples get it */
	int64_t started_ns;	    /* monotonic */
	struct col_layout *cache;   /* of the last body that could be read */
	struct col_layout *reports; /* for failed scrapes */
	struct col_rows rows;	    /* of one of the two */
	struct col_exemplars exemplars;
	struct col_native native;
	bool reparse; /* the job's settings changed: the cache does not hold for the next body */
	bool keep;    /* while targets are applied */

	enum col_health health;
	int64_t last_scrape_ms;
	double last_duration;
	double body_bytes; /* unpacked; 0: none came, -1: too many */
	char last_error[512];
};

struct col_scraping_config {
	struct ops_loop *loop;
	struct col_fetch_config fetch;
	struct col_publisher *publisher;
	/* Whether the target with this hash is this collector's, one of so many that scrape it. */
	bool (*owns)(void *arg, uint64_t target_hash, size_t replicas);
	void *arg;
};

struct col_scraping {
	struct col_scraping_config cfg;
	struct ops_map *scrapers; /* target key -> struct col_scraper */
	struct col_agenda agenda;
	size_t owned;
	size_t fetching; /* scrapes under way */
	struct col_exemplar_reader exemplars;
	struct ops_protobuf_body
		protobuf;	  /* of the answer that is read; native histograms of any */
	struct ops_arena scratch; /* while they are read */
};

void col_scraping_init(struct col_scraping *s, const struct col_scraping_config *cfg);
void col_scraping_done(struct col_scraping *s); /* without a word on the bus */
/* Takes the targets out of t. Those with a key that is known keep their state. */
void col_scraping_apply(struct col_scraping *s, struct col_targets *t);
/* What is ours changed: starts and stops scraping. */
void col_scraping_rebalance(struct col_scraping *s);
/* No more scrapes; requests under way are dropped, other collectors take over. */
void col_scraping_stop(struct col_scraping *s);
