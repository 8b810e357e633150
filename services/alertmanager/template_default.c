/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are Alertmanager's, for compatibility; the wording is ours: first what is wrong and how
 * many, then where, then what the rule's author wrote.
 */
#include "services/alertmanager/template_default.h"

#include <stddef.h>

const char *const alm_template_default[] = {
	"{{ define \"__subject\" }}{{ .Status | toUpper }}"
	"{{ if eq .Status \"firing\" }} ({{ .Alerts.Firing | len }}){{ end }}"
	" {{ with .CommonLabels.alertname }}{{ . }}{{ else }}{{ .GroupLabels.SortedPairs.Values | "
	"join \" \" }}{{ end }}"
	"{{ with .GroupLabels.Remove (stringSlice \"alertname\") }}{{ with .SortedPairs }} [{{ "
	".Values | join \", \" }}]"
	"{{ end }}{{ end }}{{ end }}",

	"{{ define \"__summary\" }}{{ with .CommonAnnotations.summary }}{{ . }}{{ else }}"
	"{{ with .CommonAnnotations.description }}{{ . }}{{ end }}{{ end }}{{ end }}",

	"{{ define \"__alertmanager\" }}HMS-OPS{{ end }}"
	"{{ define \"__alertmanagerURL\" }}{{ .ExternalURL }}/api/v2/alerts?receiver={{ .Receiver "
	"| urlquery }}{{ end }}"
	"{{ define \"__text_alert_list\" }}{{ range . }}- {{ range $i, $p := .Labels.SortedPairs "
	"}}{{ if $i }}, {{ end }}"
	"{{ $p.Name }}={{ $p.Value }}{{ end }}\n"
	"{{ range .Annotations.SortedPairs }}  {{ .Name }}: {{ .Value }}\n{{ end }}"
	"{{ with .GeneratorURL }}  source: {{ . }}\n{{ end }}{{ end }}{{ end }}",

	"{{ define \"slack.default.title\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"slack.default.username\" }}{{ template \"__alertmanager\" . }}{{ end }}"
	"{{ define \"slack.default.fallback\" }}{{ template \"slack.default.title\" . }} {{ "
	"template \"slack.default.titlelink\" . }}{{ end }}"
	"{{ define \"slack.default.callbackid\" }}{{ end }}"
	"{{ define \"slack.default.pretext\" }}{{ end }}"
	"{{ define \"slack.default.titlelink\" }}{{ template \"__alertmanagerURL\" . }}{{ end }}"
	"{{ define \"slack.default.iconemoji\" }}{{ end }}"
	"{{ define \"slack.default.iconurl\" }}{{ end }}"
	"{{ define \"slack.default.text\" }}{{ template \"__summary\" . }}{{ end }}"
	"{{ define \"slack.default.footer\" }}{{ end }}"
	"{{ define \"slack.default.color\" }}{{ if eq .Status \"firing\" }}danger{{ else }}good{{ "
	"end }}{{ end }}",

	"{{ define \"pagerduty.default.description\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"pagerduty.default.client\" }}{{ template \"__alertmanager\" . }}{{ end }}"
	"{{ define \"pagerduty.default.clientURL\" }}{{ template \"__alertmanagerURL\" . }}{{ end "
	"}}"
	"{{ define \"pagerduty.default.instances\" }}{{ template \"__text_alert_list\" . }}{{ end "
	"}}",

	"{{ define \"email.default.subject\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"email.default.html\" }}<!DOCTYPE html>\n<html><head><meta "
	"charset=\"utf-8\"></head><body>"
	"<h2>{{ template \"__subject\" . }}</h2>\n"
	"{{ with .CommonAnnotations.summary }}<p>{{ . }}</p>\n{{ end }}"
	"{{ range .Alerts }}<h3>{{ .Status }}: {{ .Labels.alertname }}</h3>\n<table>"
	"{{ range .Labels.SortedPairs }}<tr><td>{{ .Name }}</td><td>{{ .Value }}</td></tr>{{ end }}"
	"{{ range .Annotations.SortedPairs }}<tr><td><i>{{ .Name }}</i></td><td>{{ .Value "
	"}}</td></tr>{{ end }}"
	"</table>\n<p>since {{ .StartsAt.Format \"2006-01-02 15:04:05 MST\" }}"
	"{{ with .GeneratorURL }} &middot; <a href=\"{{ . }}\">source</a>{{ end }}</p>\n{{ end }}"
	"<p><a href=\"{{ .ExternalURL }}\">{{ template \"__alertmanager\" . "
	"}}</a></p></body></html>\n{{ end }}"
	"{{ define \"email.default.text\" }}{{ template \"__subject\" . }}\n\n{{ template "
	"\"__text_alert_list\" .Alerts }}{{ end }}",

	"{{ define \"opsgenie.default.message\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"opsgenie.default.description\" }}{{ template \"__summary\" . }}{{ end }}"
	"{{ define \"opsgenie.default.source\" }}{{ template \"__alertmanagerURL\" . }}{{ end }}"
	"{{ define \"telegram.default.message\" }}{{ template \"__subject\" . }}\n{{ template "
	"\"__text_alert_list\" .Alerts }}{{ end }}"
	"{{ define \"discord.default.title\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"discord.default.message\" }}{{ template \"__text_alert_list\" .Alerts }}{{ "
	"end }}"
	"{{ define \"msteams.default.summary\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"msteams.default.title\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"msteams.default.text\" }}{{ template \"__text_alert_list\" .Alerts }}{{ end }}"
	"{{ define \"pushover.default.title\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"pushover.default.message\" }}{{ template \"__summary\" . }}{{ end }}"
	"{{ define \"pushover.default.url\" }}{{ template \"__alertmanagerURL\" . }}{{ end }}"
	"{{ define \"victorops.default.state_message\" }}{{ template \"__text_alert_list\" .Alerts "
	"}}{{ end }}"
	"{{ define \"victorops.default.entity_display_name\" }}{{ template \"__subject\" . }}{{ "
	"end }}"
	"{{ define \"victorops.default.monitoring_tool\" }}{{ template \"__alertmanager\" . }}{{ "
	"end }}"
	"{{ define \"sns.default.subject\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"sns.default.message\" }}{{ template \"__text_alert_list\" .Alerts }}{{ end }}"
	"{{ define \"webex.default.message\" }}{{ template \"__subject\" . }}\n{{ template "
	"\"__text_alert_list\" .Alerts }}{{ end }}"
	"{{ define \"wechat.default.message\" }}{{ template \"__subject\" . }}\n{{ template "
	"\"__text_alert_list\" .Alerts }}{{ end }}"
	"{{ define \"jira.default.summary\" }}{{ template \"__subject\" . }}{{ end }}"
	"{{ define \"jira.default.description\" }}{{ template \"__text_alert_list\" .Alerts }}{{ "
	"end }}",

	NULL,
};
