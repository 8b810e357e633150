/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Six of ten series belong to histograms, two are counters, two gauges. Rates are spread over four
 * decades, as handlers and methods are: most of a service is idle. Half of the sums are those of a
 * client that adds floats, the other half come rounded to microseconds.
 */
#include "tests/bench/typical.h"

#include <math.h>

static const char *const bounds[] = {
	"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"};
static const double limits[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

struct source {
	double rate;	/* per scrape */
	double latency; /* median, seconds */
	double level;
};

struct typical {
	unsigned instance, nseries, nhistograms, ncounters;
	uint64_t random;
	struct source *sources; /* per series; histograms use that of their first */
	double *values;
};

static uint64_t next_random(struct typical *t)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random;
}

static double uniform(struct typical *t)
{
	return (double)(next_random(t) >> 11) / 9007199254740992.0;
}

static double normal(struct typical *t)
{
	double u = uniform(t) + 1e-12, v = uniform(t);
	return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static unsigned poisson(struct typical *t, double mean)
{
	if (mean > 30) {
		double v = mean + sqrt(mean) * normal(t);
		return v > 0 ? (unsigned)lrint(v) : 0;
	}
	double limit = exp(-mean), product = uniform(t);
	unsigned n = 0;
	while (product > limit) {
		product *= uniform(t);
		n++;
	}
	return n;
}

struct typical *typical_new(unsigned instance, unsigned nseries)
{
	struct typical *t = ops_xcalloc(1, sizeof(*t));
	t->instance = instance;
	t->nseries = nseries;
	t->random = 0x9e3779b97f4a7c15ULL * (instance + 1);
	t->nhistograms = nseries * 6 / 10 / TYPICAL_HISTOGRAM;
	t->ncounters = nseries * 2 / 10;
	t->sources = ops_xcalloc(nseries, sizeof(*t->sources));
	t->values = ops_xcalloc(nseries, sizeof(*t->values));
	for (unsigned i = 0; i < nseries; i++) {
		struct source *s = &t->sources[i];
		s->rate = pow(10, uniform(t) * 4 - 1.5);
		s->latency = pow(10, uniform(t) * 2 - 2.5);
		s->level = pow(10, uniform(t) * 4);
		t->values[i] = i / TYPICAL_HISTOGRAM < t->nhistograms ? 0 : floor(s->level);
	}
	return t;
}

void typical_free(struct typical *t)
{
	free(t->sources);
	free(t->values);
	free(t);
}

static void observe(struct typical *t, const struct source *s, double *v)
{
	double seconds = s->latency * exp(normal(t) * 0.8);
	unsigned b = 0;
	while (b < TYPICAL_BUCKETS - 1 && seconds > limits[b]) {
		b++;
	}
	for (; b < TYPICAL_BUCKETS; b++) {
		v[b]++;
	}
	v[TYPICAL_BUCKETS] += seconds;
	v[TYPICAL_BUCKETS + 1]++;
}

static void step_histogram(struct typical *t, unsigned first)
{
	double *v = t->values + first;
	unsigned n = poisson(t, t->sources[first].rate);
	for (unsigned i = 0; i < n; i++) {
		observe(t, &t->sources[first], v);
	}
	if (first / TYPICAL_HISTOGRAM % 2 == 0) {
		v[TYPICAL_BUCKETS] = rint(v[TYPICAL_BUCKETS] * 1e6) / 1e6;
	}
}

static void step_gauge(struct typical *t, unsigned i)
{
	double *v = &t->values[i], level = t->sources[i].level;
	switch (i % 10) {
	case 0: /* memory, in pages */
		*v = floor(level * 2000 + normal(t) * 40) * 4096;
		break;
	case 1:
	case 2: /* connections, goroutines */
		*v = rint(level + normal(t) * sqrt(level));
		break;
	case 3: /* degrees, per cent */
		*v = rint((20 + fmod(level, 50) + normal(t)) * 10) / 10;
		break;
	case 4: /* a ratio, all its digits */
		*v = level / (level + 50 + normal(t));
		break;
	case 5: /* seldom another */
		*v = uniform(t) < 0.01 ? rint(level * uniform(t)) : *v;
		break;
	default: /* start times, limits, build info */
		break;
	}
}

const double *typical_step(struct typical *t)
{
	unsigned i = 0;
	for (; i < t->nhistograms * TYPICAL_HISTOGRAM; i += TYPICAL_HISTOGRAM) {
		step_histogram(t, i);
	}
	for (unsigned end = i + t->ncounters; i < end; i++) {
		t->values[i] += poisson(t, t->sources[i].rate);
	}
	for (; i < t->nseries; i++) {
		step_gauge(t, i);
	}
	return t->values;
}

static void add_labels(const struct typical *t, unsigned n, struct ops_strbuf *out)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "DELETE"};
	ops_strbuf_printf(out,
		"handler=\"/api/v1/resource/%u\",instance=\"10.1.%u.%u:9100\",job=\"service-%u\","
		"method=\"%s\"",
		n / 4 % 60, t->instance / 200, t->instance % 200, t->instance / 10, methods[n % 4]);
}

void typical_name(const struct typical *t, unsigned series, struct ops_strbuf *out)
{
	unsigned h = series / TYPICAL_HISTOGRAM, part = series % TYPICAL_HISTOGRAM;
	if (h >= t->nhistograms) {
		unsigned i = series - t->nhistograms * TYPICAL_HISTOGRAM;
		bool counter = i < t->ncounters;
		ops_strbuf_printf(out, "service_part_%u_%s{", (counter ? i : series) / 10,
			counter ? "total" : "state");
		add_labels(t, series, out);
		ops_strbuf_adds(out, "}");
		return;
	}
	const char *suffix = part < TYPICAL_BUCKETS    ? "bucket"
			     : part == TYPICAL_BUCKETS ? "sum"
						       : "count";
	ops_strbuf_printf(out, "http_request_duration_seconds_%s{", suffix);
	add_labels(t, h, out);
	if (part < TYPICAL_BUCKETS) {
		ops_strbuf_printf(out, ",le=\"%s\"", bounds[part]);
	}
	ops_strbuf_adds(out, "}");
}
