/* SPDX-License-Identifier: Apache-2.0 */
/* A large group gives way: the loop turns between its slices, other groups and arrivals get their
 * turn, order and time stay those of the group, and a reload in the middle leaves nothing behind.
 */
#include "services/detector/rules/test_world.h"

#include "common/loop/loop.h"

enum {
	RULES = 40
};

/* big: rule n records the one before it plus 1, the first one `seed`; small: one alert. */
static char *rules_text(const char *tail)
{
	struct ops_strbuf out = OPS_STRBUF_INIT;
	ops_strbuf_adds(&out, "groups:\n- name: big\n  rules:\n  - {record: r0, expr: seed}\n");
	for (int i = 1; i < RULES; i++) {
		ops_strbuf_printf(&out, "  - {record: r%d, expr: r%d + 1}\n", i, i - 1);
	}
	ops_strbuf_adds(&out, tail);
	return ops_strbuf_take(&out);
}

#define SMALL "- name: small\n  rules:\n  - {alert: Down, expr: up == 0}\n"

/* One rule a slice, so that nothing depends on how fast the machine is. */
static void setup_slices(struct world *w, const char *tail)
{
	char *text = rules_text(tail);
	setup(w, text);
	w->rules->cfg.slice_ns = 1;
	free(text);
}

static struct det_rule_group *group(struct world *w, const char *name)
{
	struct det_generation *gen = w->rules->gen;
	size_t i = 0;
	while (i < gen->n && strcmp(gen->groups[i].def->name, name) != 0) {
		i++;
	}
	ops_assert(i < gen->n);
	return &gen->groups[i];
}

static size_t evaluated(const struct det_rule_group *g)
{
	size_t n = 0;
	while (n < g->n && g->rules[n].evaluations > 0) {
		n++;
	}
	for (size_t i = n; i < g->n; i++) {
		assert_int_equal(g->rules[i].evaluations, 0); /* in their order */
	}
	return n;
}

static void seed(struct world *w)
{
	struct ops_labels *ls = ops_labels_of("__name__", "seed", NULL);
	assert_int_equal(det_store_append(w->store, ls, now_ms, 1), 0);
	ops_labels_unref(ls);
}

static void test_turns_between(void **state)
{
	struct world w;
	(void)state;
	setup_slices(&w, SMALL);
	seed(&w);
	struct det_rule_group *big = group(&w, "big");
	det_pass_start(big, now_ms);
	assert_true(big->pass.on);
	assert_int_equal(evaluated(big), 1);
	det_pass_on_turn(w.rules);
	assert_int_equal(evaluated(big), 2);
	now_ms += 700; /* the rest comes later, but has the time of the pass */
	for (int i = 2; i < RULES; i++) {
		assert_true(big->pass.on);
		det_pass_on_turn(w.rules);
		assert_int_equal(evaluated(big), i + 1);
	}
	assert_false(big->pass.on);
	assert_true(recorded(&w, "r39") == RULES);
	assert_true(recorded(&w, "timestamp(r39)") == (double)T0 / 1000);
	assert_true(recorded(&w, "timestamp(r0)") == (double)T0 / 1000);
	teardown(&w);
}

static void test_groups_take_turns(void **state)
{
	struct world w;
	(void)state;
	setup_slices(&w, "- name: other\n  rules:\n  - {record: o1, expr: seed}\n"
			 "  - {record: o2, expr: o1 * 2}\n");
	seed(&w);
	struct det_rule_group *big = group(&w, "big"), *other = group(&w, "other");
	det_pass_start(big, now_ms);
	det_pass_start(other, now_ms);
	assert_int_equal(evaluated(other), 1);
	det_pass_on_turn(w.rules);
	assert_int_equal(evaluated(big), 2);
	det_pass_on_turn(w.rules);
	assert_int_equal(evaluated(other), 2); /* over, while big has begun only */
	assert_false(other->pass.on);
	assert_true(recorded(&w, "o2") == 2);
	assert_int_equal(evaluated(big), 2);
	teardown(&w);
}

/* An alert on arrival in the middle of the pass of another group, and of its own. */
static void test_arrivals_go_on(void **state)
{
	struct world w;
	(void)state;
	setup_slices(&w, "  - {alert: Late, expr: up == 0}\n" SMALL);
	seed(&w);
	struct det_rule_group *big = group(&w, "big"), *small = group(&w, "small");
	det_pass_start(big, now_ms);
	now_ms += 10;
	sample(&w, "a", 0);
	assert_true(det_group_catch_up(small, now_ms, INT64_MAX));
	assert_true(det_group_catch_up(big, now_ms, INT64_MAX));
	assert_int_equal(w.n, 2);
	assert_true(big->pass.on);
	assert_int_equal(big->rules[RULES].evaluations, 1);
	while (big->pass.on) {
		det_pass_on_turn(w.rules);
	}
	/* Evaluated on arrival after the pass began: not once more with an older time. */
	assert_int_equal(big->rules[RULES].evaluations, 1);
	assert_int_equal(w.n, 2);
	assert_true(recorded(&w, "r39") == RULES);
	teardown(&w);
}

/* Arrivals whose time is over go on where they stopped. */
static void test_arrivals_give_way(void **state)
{
	struct world w;
	(void)state;
	setup(&w, "groups:\n- name: g\n  rules:\n  - {record: a, expr: up}\n"
		  "  - {record: b, expr: up}\n  - {record: c, expr: up}\n");
	struct det_rule_group *g = group(&w, "g");
	now_ms += 10;
	sample(&w, "a", 1);
	assert_true(det_group_catch_up(g, now_ms, 0));
	assert_int_equal(evaluated(g), 1);
	assert_true(det_group_catch_up(g, now_ms, 0));
	assert_int_equal(evaluated(g), 2);
	assert_true(det_group_catch_up(g, now_ms, 0));
	assert_int_equal(evaluated(g), 3);
	teardown(&w);
}

static void test_reload_in_the_middle(void **state)
{
	struct world w;
	struct ops_error err;
	(void)state;
	setup_slices(&w, SMALL);
	seed(&w);
	det_pass_start(group(&w, "big"), now_ms);
	det_pass_on_turn(w.rules);
	char *text = rules_text("");
	assert_int_equal(load_rules(&w, text, &err), 0);
	det_pass_on_turn(w.rules); /* the timer that was set before */
	struct det_rule_group *big = group(&w, "big");
	assert_false(big->pass.on);
	assert_int_equal(evaluated(big), 0);
	assert_true(recorded(&w, "r1") == 2); /* what was evaluated stays */
	det_pass_start(big, now_ms + 1);
	det_pass_on_turn(w.rules);
	assert_int_equal(evaluated(big), 2);
	free(text);
	teardown(&w); /* and stopped in the middle */
}

/* On the loop itself: something else has its turn between two slices. */
static struct world *turning;
static size_t seen_between;

static void on_between(void *arg)
{
	struct ops_timer **again = arg;
	struct det_rule_group *big = group(turning, "big");
	seen_between += big->pass.on && evaluated(big) > 0;
	if (evaluated(big) == big->n) {
		ops_loop_stop(turning->loop);
	}
	ops_timer_start(*again, 0);
}

static void test_loop_turns(void **state)
{
	struct world w;
	(void)state;
	setup_slices(&w, SMALL);
	turning = &w;
	seen_between = 0;
	seed(&w);
	/* On arrival each rule would be taken as soon as the one before it has recorded. */
	w.rules->gen->trigger = DET_RULES_INTERVAL;
	struct ops_timer *other = NULL;
	other = ops_timer_new(w.loop, on_between, &other);
	det_pass_start(group(&w, "big"), now_ms);
	ops_timer_start(other, 0);
	ops_loop_run(w.loop);
	assert_true(seen_between >= RULES / 2);
	ops_timer_free(other);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns_between),
		cmocka_unit_test(test_groups_take_turns),
		cmocka_unit_test(test_arrivals_go_on),
		cmocka_unit_test(test_arrivals_give_way),
		cmocka_unit_test(test_reload_in_the_middle),
		cmocka_unit_test(test_loop_turns),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
