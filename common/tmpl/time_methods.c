/* SPDX-License-Identifier: Apache-2.0 */
/* What a template may ask of a time: {{ .StartsAt.Format "15:04" }}. */
#include "common/base/strbuf.h"
#include "common/tmpl/internal.h"

static int fn_format(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	struct ops_strbuf b OPS_CLEANUP(ops_strbuf_done) = OPS_STRBUF_INIT;
	(void)n;
	if (args[1].kind != OPS_TMPL_STRING)
		return ops_tmpl_fail(call, "Format needs a layout");
	ops_tmpl_time_format(&args[0].u.time, args[1].u.str.s, &b);
	*ret = ops_tmpl_stringn(ops_tmpl_arena(call), ops_strbuf_text(&b), b.len);
	return 0;
}

static int fn_unix(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call, (void)n;
	*ret = ops_tmpl_int(tmpl_floor_div(args[0].u.time.ms, 1000));
	return 0;
}

static int fn_is_zero(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call, (void)n;
	*ret = ops_tmpl_bool(args[0].u.time.ms == OPS_TMPL_TIME_ZERO);
	return 0;
}

static int fn_utc(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)call, (void)n;
	*ret = ops_tmpl_time(args[0].u.time.ms);
	return 0;
}

/* Seconds as a float: enough for humanizeDuration; Go has a Duration type here. */
static int fn_sub(struct ops_tmpl_call *call, const struct ops_tmpl_value *args, size_t n,
	struct ops_tmpl_value *ret)
{
	(void)n;
	if (args[1].kind != OPS_TMPL_TIME)
		return ops_tmpl_fail(call, "Sub needs a time");
	*ret = ops_tmpl_float((double)(args[0].u.time.ms - args[1].u.time.ms) / 1000);
	return 0;
}

const struct ops_tmpl_func tmpl_time_methods[] = {
	{"Format", fn_format, 1, 1},
	{"Unix", fn_unix, 0, 0},
	{"IsZero", fn_is_zero, 0, 0},
	{"UTC", fn_utc, 0, 0},
	{"Sub", fn_sub, 1, 1},
	{NULL, NULL, 0, 0},
};
