// Writes incidentd.json, the Grafana dashboard, with Grafana's own types for dashboards:
//
//	go run .            writes incidentd.json; commit what changes
//	go run . --check    fails when incidentd.json is another dashboard than this, or not one that Grafana's types take
//
// To add a panel, add a row to the table in rows(). Names of metrics are those of docs/operations.md; a test compares them with
// what the daemon serves.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

const file = "incidentd.json"

// What a panel shows.
type look int

const (
	lines look = iota
	stacked
	// One number, green at 0 and red above.
	number
	// One number without a colour.
	plain
	// A table of what is there now.
	list
)

// A query and the legend of its series. SEL stands for the selected job and instances.
type query struct{ expr, legend string }

type panel struct {
	look    look
	title   string
	about   string
	unit    string
	queries []query
}

func rows() []struct {
	title  string
	panels []panel
} {
	quantiles := func(metric, by string) []query {
		const shape = `histogram_quantile(%s, sum by (le%s) (rate(%s_bucket{SEL}[$__rate_interval])))`
		comma, legend := "", "%s"
		if by != "" {
			comma, legend = ", "+by, "{{"+by+"}} %s"
		}
		return []query{
			{fmt.Sprintf(shape, "0.5", comma, metric), fmt.Sprintf(legend, "half")},
			{fmt.Sprintf(shape, "0.99", comma, metric), fmt.Sprintf(legend, "99 %")},
		}
	}
	return []struct {
		title  string
		panels []panel
	}{
		{"Fleet", []panel{
			{plain, "Tenants", "Tenants that are read now, over all replicas.", "none",
				[]query{{`sum(incidentd_tenants{SEL})`, ""}}},
			{number, "Not ok", "Tenants in any state but ok and starting.", "none",
				[]query{{`sum(incidentd_tenants{SEL,state!~"ok|starting"})`, ""}}},
			{number, "Alarms", "Causes for which several tenants fail.", "none",
				[]query{{`sum(incidentd_alarms{SEL})`, ""}}},
			{plain, "Longest overdue", "How long the sweep of the tenant that waits longest is overdue, by its own schedule.", "s",
				[]query{{`max(incidentd_max_overdue_seconds{SEL})`, ""}}},
			{number, "Refused reloads", "Replicas whose last reload was refused, or that wait for a restart.", "none",
				[]query{{`sum(incidentd_config_last_reload_successful{SEL} == bool 0) + sum(incidentd_config_restart_needed{SEL} > bool 0)`, ""}}},
			{plain, "Replicas", "Daemons that answer.", "none",
				[]query{{`count(incidentd_build_info{SEL})`, ""}}},
			{stacked, "Tenants not ok, by state", "Each state has an entry in docs/operations.md.", "none",
				[]query{{`sum by (state) (incidentd_tenants{SEL,state!="ok"})`, "{{state}}"}}},
			{list, "Tenants not ok now", "Empty with http.metrics = \"fleet\": see the status page, or `incidentd status`.", "none",
				[]query{{`incidentd_tenant_state{SEL,state!~"ok|starting"} == 1`, ""}}},
		}},
		{"Reading", []panel{
			{lines, "Sweeps a second", "", "ops",
				[]query{{`sum by (source) (rate(incidentd_sweep_duration_seconds_count{SEL}[$__rate_interval]))`, "{{source}}"},
					{`sum(rate(incidentd_missed_firings_total{SEL}[$__rate_interval]))`, "missed turns"}}},
			{lines, "Length of sweeps", "", "s", quantiles("incidentd_sweep_duration_seconds", "source")},
			{lines, "Lag", "How far what is published is behind what Microsoft may have, of the tenant that is furthest behind; and how long a sweep is overdue.", "s",
				[]query{{`max(incidentd_max_lag_seconds{SEL})`, "longest lag"},
					{`max(incidentd_max_overdue_seconds{SEL})`, "longest overdue"}}},
			{lines, "Back-fill", "Time of last updates that is still to be read beside live polling, over all tenants.", "s",
				[]query{{`sum(incidentd_backfill_open_seconds{SEL})`, "open"}}},
		}},
		{"Publishing", []panel{
			{stacked, "Published, by change", "Incidents a second that Kafka has acknowledged.", "ops",
				[]query{{`sum by (change) (rate(incidentd_records_published_total{SEL}[$__rate_interval]))`, "{{change}}"}}},
			{lines, "From a page's arrival to Kafka's acknowledgement", "", "s", quantiles("incidentd_publish_duration_seconds", "")},
			{lines, "Out of the ordinary", "Incidents an hour.", "none",
				[]query{{`3600 * sum(rate(incidentd_late_found_total{SEL}[$__rate_interval]))`, "found late"},
					{`3600 * sum(rate(incidentd_split_total{SEL}[$__rate_interval]))`, "in parts"},
					{`3600 * sum(rate(incidentd_stale_readings_total{SEL}[$__rate_interval]))`, "older than published"},
					{`3600 * sum(rate(incidentd_dead_letters_total{SEL}[$__rate_interval]))`, "dead letters"}}},
		}},
		{"Microsoft", []panel{
			{lines, "Requests a minute and tenant, and the budget", "The mean over all tenants. $budget is poll.requests_per_minute: 75 by default on Graph, 25 on the Defender API.", "none",
				[]query{{`60 * sum by (source) (rate(incidentd_api_requests_total{SEL}[$__rate_interval])) / scalar(sum(incidentd_tenants{SEL}))`, "{{source}}"},
					{`vector($budget)`, "budget"}}},
			{stacked, "Answers a second, by status", "none: no answer.", "reqps",
				[]query{{`sum by (source, status) (rate(incidentd_api_requests_total{SEL}[$__rate_interval]))`, "{{source}} {{status}}"}}},
			{lines, "Asked for a pause", "429s and the like an hour. They are the exception: incidentd keeps its budget by itself.", "none",
				[]query{{`3600 * sum by (source) (rate(incidentd_throttled_total{SEL}[$__rate_interval]))`, "{{source}}"}}},
			{lines, "Time of a request", "", "s", quantiles("incidentd_api_request_duration_seconds", "source")},
			{lines, "Token requests an hour", "", "none",
				[]query{{`3600 * sum by (outcome) (rate(incidentd_token_requests_total{SEL}[$__rate_interval]))`, "{{outcome}}"}}},
			{plain, "Next federated token ends in", "", "s",
				[]query{{`min(incidentd_next_credential_expiry_timestamp_seconds{SEL}) - time()`, ""}}},
		}},
		{"Kafka and ledger", []panel{
			{lines, "Replicas by Kafka's state", "", "none",
				[]query{{`sum by (state) (incidentd_kafka_state{SEL})`, "{{state}}"}}},
			{lines, "Replicas by the ledger's state", "", "none",
				[]query{{`sum by (state) (incidentd_ledger_state{SEL})`, "{{state}}"}}},
			{lines, "In flight", "Bytes fetched and not yet acknowledged; fetching waits at poll.max_in_flight.", "bytes",
				[]query{{`incidentd_in_flight_bytes{SEL}`, "{{instance}}"}}},
			{lines, "Incidents that the ledger knows", "", "short",
				[]query{{`incidentd_ledger_versions{SEL}`, "{{instance}}"}}},
			{stacked, "Partitions, by replica and stage", "With the ledger in Kafka. Together they have to be as many as there are.", "none",
				[]query{{`incidentd_ledger_partitions{SEL} > 0`, "{{instance}} {{state}}"},
					{`max(incidentd_ledger_topic_partitions{SEL})`, "all"}}},
			{lines, "Fenced and failed partitions an hour", "With the ledger in Kafka.", "none",
				[]query{{`3600 * sum(rate(incidentd_ledger_fenced_total{SEL}[$__rate_interval]))`, "fenced by another"},
					{`3600 * sum(rate(incidentd_ledger_partition_failures_total{SEL}[$__rate_interval]))`, "failed"}}},
		}},
		{"Process", []panel{
			{lines, "Memory", "", "bytes",
				[]query{{`process_resident_memory_bytes{SEL}`, "{{instance}}"}}},
			{lines, "Processors", "", "percentunit",
				[]query{{`rate(process_cpu_seconds_total{SEL}[$__rate_interval])`, "{{instance}}"}}},
			{lines, "Open files, of those allowed", "", "percentunit",
				[]query{{`process_open_fds{SEL} / process_max_fds{SEL}`, "{{instance}}"}}},
			{lines, "Time since the start", "", "s",
				[]query{{`time() - process_start_time_seconds{SEL}`, "{{instance}}"}}},
		}},
	}
}

func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("$datasource")}
}

func board() *dashboard.DashboardBuilder {
	all := dashboard.VariableOption{
		Text:  dashboard.StringOrArrayOfString{String: cog.ToPtr("All")},
		Value: dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")},
	}
	labels := func(name, query string) *dashboard.QueryVariableBuilder {
		return dashboard.NewQueryVariableBuilder(name).
			Datasource(source()).
			Query(dashboard.StringOrMap{String: cog.ToPtr(query)}).
			Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
			Sort(dashboard.VariableSortAlphabeticalAsc)
	}
	board := dashboard.NewDashboardBuilder("incidentd").
		Uid("incidentd").
		Description("Microsoft's security incidents of many tenants on their way to Kafka. Made by deploy/grafana/main.go.").
		Tags([]string{"incidentd"}).
		Time("now-6h", "now").
		Refresh("1m").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Editable().
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Type("prometheus")).
		WithVariable(labels("job", "label_values(incidentd_build_info, job)")).
		WithVariable(labels("instance", `label_values(incidentd_build_info{job="$job"}, instance)`).
			Multi(true).IncludeAll(true).AllValue(".*").Current(all)).
		WithVariable(dashboard.NewTextBoxVariableBuilder("budget").
			Label("poll.requests_per_minute").
			DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("75")}))
	id := uint32(0)
	next := func() uint32 { id++; return id }
	for _, row := range rows() {
		board = board.WithRow(dashboard.NewRowBuilder(row.title).Id(next()))
		for _, panel := range row.panels {
			board = board.WithPanel(panel.builder(next()))
		}
	}
	return board
}

func (p panel) builder(id uint32) cog.Builder[dashboard.Panel] {
	switch p.look {
	case number, plain:
		steps := []dashboard.Threshold{{Color: "text"}}
		if p.look == number {
			steps = []dashboard.Threshold{{Color: "green"}, {Value: cog.ToPtr(1.0), Color: "red"}}
		}
		return stat.NewPanelBuilder().Id(id).
			Title(p.title).Description(p.about).Unit(p.unit).
			Datasource(source()).Height(4).Span(4).
			Thresholds(dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
			Targets(p.targets())
	case list:
		return table.NewPanelBuilder().Id(id).
			Title(p.title).Description(p.about).
			Datasource(source()).Height(8).Span(12).
			WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
				"excludeByName": map[string]bool{"Time": true, "Value": true, "__name__": true, "job": true},
			}}).
			Targets(p.targets())
	default:
		stacking, fill := common.StackingModeNone, 0.0
		if p.look == stacked {
			stacking, fill = common.StackingModeNormal, 30.0
		}
		return timeseries.NewPanelBuilder().Id(id).
			Title(p.title).Description(p.about).Unit(p.unit).
			Datasource(source()).Height(8).Span(12).Min(0).
			FillOpacity(fill).
			Stacking(common.NewStackingConfigBuilder().Mode(stacking)).
			Targets(p.targets())
	}
}

func (p panel) targets() []cog.Builder[variants.Dataquery] {
	var targets []cog.Builder[variants.Dataquery]
	for n, query := range p.queries {
		expr := strings.ReplaceAll(query.expr, "SEL", `job="$job",instance=~"$instance"`)
		target := prometheus.NewDataqueryBuilder().
			Datasource(source()).Expr(expr).LegendFormat(query.legend).RefId(string(rune('A' + n)))
		if p.look == list {
			target = target.Format(prometheus.PromQueryFormatTable).Instant()
		} else {
			target = target.Range()
		}
		targets = append(targets, target)
	}
	return targets
}

func main() {
	built, err := board().Build()
	fail(err)
	text, err := json.MarshalIndent(built, "", "  ")
	fail(err)
	text = append(text, '\n')
	if len(os.Args) == 1 {
		fail(os.WriteFile(file, text, 0o644))
		return
	}
	there, err := os.ReadFile(file)
	fail(err)
	var read dashboard.Dashboard
	fail(read.UnmarshalJSONStrict(there))
	fail(read.Validate())
	if !bytes.Equal(there, text) {
		fail(fmt.Errorf("%s is not what main.go makes: run `go run .` in this folder, and commit what changes", file))
	}
}

func fail(err error) {
	// The types' own functions answer with an empty list where nothing is wrong.
	if found, isList := err.(cog.BuildErrors); isList && len(found) == 0 {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
