#!/usr/bin/env bash
# Starts the Compose example of docs/cluster.md, kills a fetcher and a node of etcd while records flow, and counts.
# Needs an engine that runs and the image; tests/docker/run.sh has both, and calls this. Exits with 1 if a line failed.
set -uo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/lib.sh
work=$(mktemp -d)
failed=0

# --- the file as it stands in the docs, and what belongs beside it
find_compose || exit 1
block cluster-compose.yaml docs/cluster.md > "$work/compose.yaml" || exit 1
mkdir "$work/secrets" && echo shipping-token > "$work/secrets/logzio_token"
cat > "$work/reach.yaml" <<YAML
x-reach: &reach {extra_hosts: ['host.docker.internal:host-gateway']}
services: {fetcher-0: *reach, fetcher-1: *reach, fetcher-2: *reach}
YAML
compose+=(-p fetchers -f "$work/compose.yaml" -f "$work/reach.yaml")
finish() {
  [ "$failed" -eq 0 ] || "${compose[@]}" logs --no-color --tail 15 2>&1 | cut -c 1-250
  "${compose[@]}" down -v -t 5 > /dev/null 2>&1
  [ -z "${mock_pid:-}" ] || kill "$mock_pid" 2> /dev/null
  rm -rf "$work"
}
trap finish EXIT

# --- etcd's image: its own, or one with this machine's etcd
etcd=$(sed -n 's/^ *image: *\(.*etcd.*\)$/\1/p' "$work/compose.yaml" | head -n 1)
if ! docker image inspect "$etcd" > /dev/null 2>&1 && ! timeout 300 docker pull -q "$etcd" > /dev/null 2>&1; then
  command -v etcd > /dev/null && command -v etcdctl > /dev/null || install etcd-server etcd-client || exit 1
  mkdir "$work/etcd" && cp "$(command -v etcd)" "$(command -v etcdctl)" "$work/etcd/"
  printf 'FROM debian:bookworm-slim\nCOPY etcd etcdctl /usr/local/bin/\n' > "$work/etcd/Dockerfile"
  DOCKER_BUILDKIT=0 docker build -q -t "$etcd" "$work/etcd" > /dev/null 2>&1 || exit 1
fi
echo "etcd: $(docker run --rm "$etcd" etcd --version | head -n 1)"

# --- what is fetched, where the containers reach it
gateway=$(docker run --rm --add-host host.docker.internal:host-gateway --entrypoint cat debian:bookworm-slim /etc/hosts | awk '$2 == "host.docker.internal" {print $1}')
[ -n "$gateway" ] || { echo "the containers don't reach this machine"; failed=1; exit 1; }
node tests/docker/flow.mjs "$gateway" > "$work/port" &
mock_pid=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
port=$(cat "$work/port")
mock() { node -e "fetch('http://$gateway:$port/$1').then((r) => r.text()).then(console.log)"; }
{
  echo "logzio: {url: 'http://host.docker.internal:$port', token: '\${file:/run/secrets/logzio_token}'}"
  echo "cluster: {etcd: ['http://etcd-0:2379', 'http://etcd-1:2379', 'http://etcd-2:2379']}"
  echo "auth_apis:"
  for api in 0 1 2 3 4 5; do
    echo "  - {type: general, name: api-$api, credentials: {id: a, key: b}, start_date_name: since, settings: {time_interval: 0.5s},"
    echo "     http_request: {url: 'http://host.docker.internal:$port/api-$api'}, json_paths: {data: data, data_date: date, next_url: next}}"
  done
} > "$work/config.yaml"

# --- helpers
of() { "${compose[@]}" ps -q "$1"; }
# Of whichever fetcher runs.
status() {
  local fetcher
  for fetcher in fetcher-0 fetcher-1 fetcher-2; do docker exec "$(of $fetcher)" logzio-api-fetcher cluster status 2>&1 && return; done
}
# eventually COMMAND: within two minutes.
eventually() { for _ in $(seq 240); do "$@" && return 0; sleep 0.5; done; echo "        not within two minutes: $*"; status; mock tally; return 1; }
all_deliver() { [ "$(mock tally | cut -d ' ' -f 1)" = 6 ]; }
# Each has a third of them, or nearly.
all_have_slots() { local said; said=$(status) && [ "$(grep -Ec ' 3[0-9][0-9] slots ' <<< "$said")" = 3 ]; }
# A fetcher that runs APIs at this moment.
busy() {
  local fetcher
  for fetcher in fetcher-1 fetcher-2 fetcher-0; do
    [ "$(docker logs --since 3s "$(of $fetcher)" 2>&1 | grep -c 'iteration done')" -gt 0 ] && { echo "$fetcher"; return; }
  done
}
none_is_missing() { [ "$(mock tally | cut -d ' ' -f 2)" = 0 ]; }
check() {
  local what=$1
  shift
  if "$@"; then printf '  ok    %s\n' "$what"; else failed=1; printf '  FAIL  %s\n' "$what"; fi
}
# survives COMMAND…: after it every API goes on, and none was silent for more than the ten seconds that are promised.
survives() {
  mock mark > /dev/null
  "$@" > /dev/null || return 1
  mock mark > /dev/null
  eventually all_deliver || return 1
  # A second look, so that what came was not on its way before.
  sleep 1
  local silence
  silence=$(mock tally | cut -d ' ' -f 4)
  echo "        silent for $silence ms at most"
  [ "$silence" -le 10000 ]
}

up() { "${compose[@]}" up -d > "$work/up" 2>&1 || { tail -n 20 "$work/up"; return 1; }; }
up || { failed=1; exit 1; }
check "the example starts: every API delivers" eventually all_deliver
check "three fetchers share the slots" eventually all_have_slots
check "a fetcher that is killed is replaced" survives docker kill "$(of "$(busy)")"
check "a node of etcd that is killed is not missed" survives docker kill "$(of etcd-0)"
check "both are started again" up
check "and share again" eventually all_have_slots
leaves() { docker stop -t 30 "$(of fetcher-2)" > /dev/null && [ "$(docker inspect -f '{{.State.ExitCode}}' "$(of fetcher-2)")" = 0 ]; }
check "docker stop ends a fetcher with 0" leaves
mock stop > /dev/null
check "no record is lost" eventually none_is_missing
doubled=$(mock tally | cut -d ' ' -f 3)
check "of no API more than one batch came twice: $doubled" test "$doubled" -le 1
exit "$failed"
