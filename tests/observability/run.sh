#!/usr/bin/env bash
# Holds docs/'s alerts and dashboard against Prometheus, Grafana's types, and the /metrics of a real fetcher.
#   tests/observability/run.sh METRICS_FILE    a file with the answer of /metrics; the fetcher should have shipped records
# Needs Debian and node. Prometheus comes from Debian's package, which is unpacked, not installed: nothing of it is started but
# one on loopback, here, that ends with this script.
set -euo pipefail
[ "$#" -eq 1 ] && [ -s "$1" ] || { echo "usage: tests/observability/run.sh METRICS_FILE, a file with the answer of /metrics"; exit 2; }
metrics=$(realpath "$1")
cd "$(dirname "$0")/../.."
here=tests/observability
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
step() { printf '\n== %s\n' "$*"; }
# quietly COMMAND: shows what it said only where it failed.
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; echo "failed: $*"; exit 1; }; }

step "tools"
command -v npm > /dev/null || { quietly apt-get update -q; quietly env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm; }
quietly npm ci --prefix "$here" --no-audit --no-fund
download() { (cd "$work" && apt-get download -q prometheus); }
download > "$work/log" 2>&1 || { quietly apt-get update -q; quietly download; }
quietly dpkg-deb -x "$work"/prometheus_*.deb "$work/prometheus"
promtool=$work/prometheus/usr/bin/promtool
$promtool --version | head -n 1
(cd "$here" && npm ls --depth 0 2> /dev/null | tail -n +2)

step "the metrics: as Prometheus wants them"
$promtool check metrics < "$metrics"
echo "$(grep -c '^[^#]' "$metrics") samples"

step "the alerts"
$promtool check rules docs/prometheus-rules.yaml docs/prometheus-rules.cluster.yaml
$promtool test rules docs/prometheus-rules.test.yaml docs/prometheus-rules.days.test.yaml docs/prometheus-rules.cluster.test.yaml

# check_dashboard FILE: its expressions as rules, its build, and itself against Grafana's types.
ln -s "$PWD/$here/node_modules" "$work/node_modules"
check_dashboard() {
  step "$1: its expressions, as rules"
  DASHBOARD=$1 node "$here/expressions.mjs" "$work/dashboard-rules.yaml"
  $promtool check rules "$work/dashboard-rules.yaml"
  step "$1: its build"
  DASHBOARD=$1 node "$here/dashboard.mjs"
  step "$1: against Grafana's types"
  DASHBOARD=$1 node "$here/types.mjs" "$work"
  "$here/node_modules/.bin/tsc" --project "$work/tsconfig.json"
  echo "no fault"
}
check_dashboard grafana-dashboard.json
check_dashboard grafana-dashboard.cluster.json

step "every metric and label that alerts, their tests and the dashboard name, against the metrics"
node "$here/names.mjs" "$metrics"

step "every expression, by a Prometheus that scrapes the metrics"
node "$here/evaluate.mjs" "$work/prometheus/usr/bin/prometheus" "$metrics" "$work"

printf '\nalerts and dashboard: all checks passed\n'
