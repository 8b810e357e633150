#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints ten minutes of samples up to now, every 15 s: text with times, or OpenMetrics when told so.
# usage: history.sh [openmetrics]
exec awk -v now="$(date +%s)" -v format="${1:-text}" '
function row(series, value) { printf "%s %s %s%s\n", series, value, t, format == "text" ? "000" : "" }
function type(name, kind) { printf "# TYPE %s %s\n", format == "text" ? name : family, kind }
BEGIN {
	n = 40
	family = "http_requests"
	type("http_requests_total", "counter")
	for (code = 200; code <= 500; code += 300)
		for (i = 0; i <= n; i++) {
			t = now - (n - i) * 15
			row("http_requests_total{job=\"web\",instance=\"a\",code=\"" code "\"}", i * (code == 200 ? 90 : 10))
		}
	family = "http_seconds"
	type("http_seconds", "histogram")
	split("0.1 0.5 1 +Inf", le, " ")
	for (b = 1; b <= 4; b++)
		for (i = 0; i <= n; i++) {
			t = now - (n - i) * 15
			row("http_seconds_bucket{job=\"web\",instance=\"a\",le=\"" le[b] "\"}", i * b * 25)
		}
	family = "queue_length"
	type("queue_length", "gauge")
	for (i = 0; i <= n; i++) {
		t = now - (n - i) * 15
		row("queue_length{job=\"web\",instance=\"a\"}", i % 7)
	}
	family = "up"
	type("up", "gauge")
	for (i = 0; i <= n; i++) {
		t = now - (n - i) * 15
		row("up{job=\"web\",instance=\"a\"}", 1)
	}
	if (format != "text")
		print "# EOF"
}'
