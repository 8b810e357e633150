/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A grid of cells. With Unicode each is a braille character of 2 x 4 dots, otherwise one dot, drawn
 * as a star. Points are joined by straight lines of dots; a cell has the colour of what was drawn
 * last. The value axis stands left in ten columns, the times below, the legend with what each
 * series came to under it.
 */
#include "cli/chart.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	AXIS_WIDTH = 11,
	LEGEND_MAX = 20,
	WIDTH_MIN = 30,
	HEIGHT_MIN = 4
};

static const int palette[] = {36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91};

struct canvas {
	const struct ctl_chart *chart;
	unsigned cells, rows, dots_x, dots_y; /* dots_x, dots_y: of one cell */
	unsigned char *dots, *colors;
	double low, high;
};

unsigned ctl_chart_columns(const struct ctl_chart *chart)
{
	unsigned width = OPS_MAX(chart->width, (unsigned)WIDTH_MIN) - AXIS_WIDTH;
	return width * (chart->unicode ? 2 : 1);
}

/* ---- dots ---- */

static void set_dot(struct canvas *c, long x, long y, unsigned char color)
{
	static const unsigned char bits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
	if (x < 0 || y < 0 || x >= (long)c->cells * (long)c->dots_x ||
		y >= (long)c->rows * (long)c->dots_y) {
		return;
	}
	size_t cell = (size_t)y / c->dots_y * c->cells + (size_t)x / c->dots_x;
	c->dots[cell] |= bits[(size_t)y % c->dots_y][(size_t)x % c->dots_x];
	c->colors[cell] = color;
}

static void draw_line(struct canvas *c, const long from[2], const long to[2], unsigned char color)
{
	long dx = labs(to[0] - from[0]), dy = labs(to[1] - from[1]);
	long steps = OPS_MAX(OPS_MAX(dx, dy), 1);
	for (long i = 0; i <= steps; i++) {
		set_dot(c, from[0] + (to[0] - from[0]) * i / steps,
			from[1] + (to[1] - from[1]) * i / steps, color);
	}
}

static void place(const struct canvas *c, int64_t t_ms, double v, long ret[2])
{
	double span = (double)OPS_MAX(c->chart->end_ms - c->chart->start_ms, 1);
	double right = c->cells * c->dots_x - 1, bottom = c->rows * c->dots_y - 1;
	ret[0] = lround((double)(t_ms - c->chart->start_ms) / span * right);
	ret[1] = lround((c->high - v) / (c->high - c->low) * bottom);
}

static void draw_series(struct canvas *c, const struct ctl_chart_series *s, unsigned char color)
{
	int64_t last_ms = INT64_MIN / 2;
	long last[2] = {0, 0};
	for (size_t i = 0; i < s->n; i++) {
		long at[2];
		if (!isfinite(s->v[i])) {
			continue;
		}
		place(c, s->t_ms[i], s->v[i], at);
		bool joined = s->t_ms[i] - last_ms <= 2 * c->chart->step_ms;
		draw_line(c, joined ? last : at, at, color);
		last_ms = s->t_ms[i];
		memcpy(last, at, sizeof(last));
	}
}

/* ---- scale ---- */

static bool find_range(struct canvas *c)
{
	c->low = INFINITY;
	c->high = -INFINITY;
	for (size_t i = 0; i < c->chart->n; i++) {
		const struct ctl_chart_series *s = &c->chart->series[i];
		for (size_t k = 0; k < s->n; k++) {
			if (isfinite(s->v[k])) {
				c->low = fmin(c->low, s->v[k]);
				c->high = fmax(c->high, s->v[k]);
			}
		}
	}
	if (c->low > c->high) {
		return false;
	}
	if (!(c->high - c->low > fabs(c->high) * 1e-12)) { /* a flat line goes into the middle */
		double pad = c->high != 0 ? fabs(c->high) / 2 : 1;
		c->low -= pad;
		c->high += pad;
	}
	return true;
}

static void format_value(double v, char *buf, size_t size)
{
	static const char *const units[] = {"", "k", "M", "G", "T", "P"};
	size_t unit = 0;
	while (fabs(v) >= 1000 && unit + 1 < OPS_LENGTH(units)) {
		v /= 1000;
		unit++;
	}
	snprintf(buf, size, "%.4g%s", v, units[unit]);
}

static void format_time(int64_t t_ms, int64_t span_ms, char *buf, size_t size)
{
	struct tm tm;
	time_t seconds = (time_t)(t_ms / 1000);
	buf[0] = '\0';
	if (localtime_r(&seconds, &tm) == NULL) {
		return;
	}
	bool days = span_ms > 2 * 86400000LL;
	if ((days ? strftime(buf, size, "%m-%d %H:%M", &tm)
		  : strftime(buf, size, "%H:%M:%S", &tm)) == 0) {
		buf[0] = '\0';
	}
}

/* ---- printing ---- */

static void print_cell(const struct canvas *c, size_t cell)
{
	unsigned char dots = c->dots[cell];
	if (dots == 0) {
		putchar(' ');
		return;
	}
	if (c->chart->color) {
		printf("\033[%dm", palette[c->colors[cell] % OPS_LENGTH(palette)]);
	}
	if (c->chart->unicode) { /* U+2800 and the dots */
		printf("\xe2%c%c", 0xa0 | dots >> 6, 0x80 | (dots & 0x3f));
	} else {
		putchar('*');
	}
	fputs(c->chart->color ? "\033[0m" : "", stdout);
}

static void print_rows(const struct canvas *c)
{
	for (unsigned y = 0; y < c->rows; y++) {
		char label[32] = "";
		bool labelled = y == 0 || y + 1 == c->rows || y == c->rows / 2;
		if (labelled) {
			double part = (double)y / (c->rows - 1);
			format_value(c->high - (c->high - c->low) * part, label, sizeof(label));
		}
		printf("%9.9s %s", label, c->chart->unicode ? (labelled ? "┤" : "│") : "|");
		for (unsigned x = 0; x < c->cells; x++) {
			print_cell(c, (size_t)y * c->cells + x);
		}
		putchar('\n');
	}
}

static void print_times(const struct canvas *c)
{
	int64_t span = c->chart->end_ms - c->chart->start_ms;
	char start[32], middle[32], end[32];
	format_time(c->chart->start_ms, span, start, sizeof(start));
	format_time(c->chart->start_ms + span / 2, span, middle, sizeof(middle));
	format_time(c->chart->end_ms, span, end, sizeof(end));
	int used = (int)(strlen(start) + strlen(middle) + strlen(end));
	int room = (int)c->cells - used;
	printf("%*s%s", AXIS_WIDTH, "", start);
	if (room >= 2) {
		printf("%*s%s%*s%s\n", room / 2, "", middle, room - room / 2, "", end);
	} else {
		printf("%*s%s\n", OPS_MAX((int)c->cells - (int)(strlen(start) + strlen(end)), 1),
			"", end);
	}
}

static void summary(const struct ctl_chart_series *s, char *buf, size_t size)
{
	double low = INFINITY, high = -INFINITY, last = NAN;
	char texts[3][32];
	for (size_t i = 0; i < s->n; i++) {
		if (isfinite(s->v[i])) {
			low = fmin(low, s->v[i]);
			high = fmax(high, s->v[i]);
			last = s->v[i];
		}
	}
	format_value(last, texts[0], sizeof(texts[0]));
	format_value(low, texts[1], sizeof(texts[1]));
	format_value(high, texts[2], sizeof(texts[2]));
	snprintf(buf, size, "last %s, %s to %s", texts[0], texts[1], texts[2]);
}

/* At most room characters of a name; the cut is shown. */
static void print_name(const char *name, size_t room, bool unicode)
{
	size_t n = 0;
	const char *at = name;
	for (; *at != '\0' && n < room; n++) {
		at++;
		while (((unsigned char)*at & 0xc0) == 0x80) {
			at++;
		}
	}
	if (*at != '\0' && n > 1) {
		do {
			at--;
		} while (((unsigned char)*at & 0xc0) == 0x80);
	}
	for (const char *p = name; p < at; p++) {
		putchar((unsigned char)*p < 0x20 || *p == 0x7f ? ' ' : *p);
	}
	if (*at != '\0') {
		fputs(unicode ? "…" : ".", stdout);
	}
}

static void print_legend(const struct canvas *c)
{
	const struct ctl_chart *chart = c->chart;
	size_t shown = OPS_MIN(chart->n, (size_t)LEGEND_MAX);
	for (size_t i = 0; i < shown; i++) {
		char text[120];
		summary(&chart->series[i], text, sizeof(text));
		if (chart->color) {
			printf("\033[%dm", palette[i % OPS_LENGTH(palette)]);
		}
		fputs(chart->unicode ? "⣿ " : "* ", stdout);
		fputs(chart->color ? "\033[0m" : "", stdout);
		size_t used = strlen(text) + 4;
		size_t width = OPS_MAX(chart->width, (unsigned)WIDTH_MIN);
		print_name(chart->series[i].name, width > used + 8 ? width - used : width - 2,
			chart->unicode);
		if (width > used + 8) {
			printf("  %s", text);
		}
		putchar('\n');
	}
	if (chart->n > shown) {
		printf("and %zu more\n", chart->n - shown);
	}
}

void ctl_chart_print(const struct ctl_chart *chart)
{
	struct canvas c = {.chart = chart,
		.cells = OPS_MAX(chart->width, (unsigned)WIDTH_MIN) - AXIS_WIDTH,
		.rows = OPS_MAX(chart->height, (unsigned)HEIGHT_MIN),
		.dots_x = chart->unicode ? 2 : 1,
		.dots_y = chart->unicode ? 4 : 1};
	if (!find_range(&c)) {
		puts("no values");
		return;
	}
	c.dots = ops_xcalloc(c.rows, c.cells);
	c.colors = ops_xcalloc(c.rows, c.cells);
	for (size_t i = chart->n; i > 0; i--) { /* the first ones on top */
		draw_series(
			&c, &chart->series[i - 1], (unsigned char)((i - 1) % OPS_LENGTH(palette)));
	}
	print_rows(&c);
	print_times(&c);
	print_legend(&c);
	free(c.dots);
	free(c.colors);
}
