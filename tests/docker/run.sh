#!/usr/bin/env bash
# Builds the real image and runs it as users do: owners of the directory, users, rights, signals, health.
# Needs Docker and node. Where no engine runs, Debian's is installed and started; where no registry is reached, the base
# images are made locally. Prints a table; exits with 1 if a line of it failed.
set -uo pipefail
# Directories of several owners can be made by root alone.
[ "$(id -u)" -eq 0 ] || exec sudo -E env "PATH=$PATH" "$0" "$@"
cd "$(dirname "$0")/../.."
image=logzio/logzio-api-fetcher
work=$(mktemp -d)
started=()
containers=()
failed=0
passed=0

finish() {
  [ "${#containers[@]}" -eq 0 ] || docker rm -f "${containers[@]}" > /dev/null 2>&1
  [ "${#started[@]}" -eq 0 ] || kill "${started[@]}" 2> /dev/null
  rm -rf "$work"
}
trap finish EXIT
give_up() { echo "tests/docker: $*"; [ -z "${CI:-}" ] || exit 1; exit 0; }

# --- the engine
if ! docker info > /dev/null 2>&1; then
  command -v dockerd > /dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy docker.io; } > "$work/apt" 2>&1
  command -v dockerd > /dev/null || give_up "no Docker engine runs here, and none can be installed"
  pgrep -x dockerd > /dev/null 2>&1 || rm -f /var/run/docker.pid
  dockerd > "$work/dockerd" 2>&1 &
  started+=($!)
  for _ in $(seq 60); do docker info > /dev/null 2>&1 && break; sleep 0.5; done
  docker info > /dev/null 2>&1 || { tail -n 5 "$work/dockerd"; give_up "no Docker engine can be started here"; }
fi
echo "engine: $(docker version -f '{{.Server.Version}}')"

# --- the base images and the image
bases=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' Dockerfile)
for base in $bases; do
  docker image inspect "$base" > /dev/null 2>&1 || timeout 300 docker pull -q "$base" > /dev/null 2>&1 || missing=1
done
# One made here is good for the crates of one lock file.
made_for=$(docker image inspect -f '{{index .Config.Labels "made-for"}}' "$(echo "$bases" | head -n 1)" 2> /dev/null || true)
[ -z "$made_for" ] || [ "$made_for" = "$(tests/docker/base-images.sh stamp)" ] || missing=1
if [ -n "${missing:-}" ]; then
  command -v debootstrap > /dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy debootstrap; } > "$work/apt" 2>&1
  tests/docker/base-images.sh || give_up "the base images can neither be pulled nor made"
fi
for base in $bases; do
  echo "base: $base, $(docker image inspect -f '{{if .RepoDigests}}from its registry{{else}}made on this machine{{end}}' "$base")"
done
if docker buildx version > /dev/null 2>&1; then export DOCKER_BUILDKIT=1; else export DOCKER_BUILDKIT=0; fi
# Of a tree that is no checkout any number does: it has to come out as it went in.
commit=$(git rev-parse HEAD 2> /dev/null || echo 0123456789abcdef0123456789abcdef01234567)
docker build --build-arg COMMIT="$commit" -t "$image" . > "$work/build" 2>&1 || { tail -n 30 "$work/build"; echo "the image can't be built"; exit 1; }

# --- the mock
node tests/docker/mock.mjs > "$work/port" &
started+=($!)
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
mock="http://127.0.0.1:$(cat "$work/port")"
asked() { node -e "fetch('$mock/asked').then((r) => r.text()).then(console.log)"; }
count() { node -e "fetch('$mock/count').then((r) => r.text()).then(console.log)"; }

# --- helpers
# directory OWNER API: a directory with a config, as the page has it.
directory() {
  local folder
  folder=$(mktemp -d "$work/XXXXXX")
  cat > "$folder/config.yaml" <<YAML
logzio: {url: '$mock', token: shipping-token}
auth_apis:
  - type: general
    name: events
    credentials: {id: a, key: b}
    http_request: {url: '$mock/$2/events'}
    start_date_name: since
    json_paths: {data: data, data_date: date, next_url: next}
    settings: {time_interval: 1s}
YAML
  chmod 755 "$folder"
  chown -R "$1:$1" "$folder"
  echo "$folder"
}
# dialect OWNER: a directory with a config of the original's version 2.
dialect() {
  local folder
  folder=$(mktemp -d "$work/XXXXXX")
  cat > "$folder/config.yaml" <<YAML
apis:
  - {name: events, type: general, url: '$mock/quick/events', response_data_path: data, additional_fields: {type: quick}}
logzio: {url: '$mock', token: shipping-token}
YAML
  chmod 755 "$folder"
  chown -R "$1:$1" "$folder"
  echo "$folder"
}
# The command of the page; only the network is the host's, where the mock is.
start() { containers+=("$1"); docker run -d --name "$1" --network host "${@:2}" > /dev/null; }
# No pipe into `grep -q`: it goes at the first match, and what still writes to it then fails the whole line.
wrote() { grep -q "$2" <<< "$(docker logs "$1" 2>&1)"; }
wait_log() { for _ in $(seq 100); do wrote "$1" "$2" && return 0; sleep 0.1; done; says "$1" "$2"; }
says() { wrote "$1" "$2" || { echo "        no '$2' in the log of $1, which ends with:"; docker logs "$1" 2>&1 | tail -n 3 | cut -c 1-300; return 1; }; }
wait_health() { for _ in $(seq 200); do [ "$(docker inspect -f '{{.State.Health.Status}}' "$1")" = "$2" ] && return 0; sleep 0.1; done; return 1; }
exit_code() { docker inspect -f '{{.State.ExitCode}}' "$1"; }
owners() { stat -c %u "$1/last_start_dates.txt" "$1/.logzio-api-fetcher.lock" | sort -u; }
# check WHAT COMMAND: a line of the table.
check() {
  local what=$1
  shift
  if "$@"; then passed=$((passed + 1)); printf '  ok    %s\n' "$what"; else failed=$((failed + 1)); printf '  FAIL  %s\n' "$what"; fi
}
is() { [ "$1" = "$2" ] || { echo "        got '$1', not '$2'"; return 1; }; }

echo "the image"
size() { docker image inspect -f '{{.Size}}' "$1"; }
above=$(( ($(size "$image") - $(size "$(echo "$bases" | tail -n 1)")) / 1000000 ))
check "is at most 30 MB above its base: $above MB" test "$above" -le 30
demo() { docker run --rm "$image" demo > "$work/demo" 2>&1 && grep -q '0 missing, 0 duplicates' "$work/demo"; }
check "runs the demo" demo
version() { grep -q "(${commit:0:12}, built " <<< "$(docker run --rm "$image" --version)"; }
check "knows the commit that it was built from" version
check "has certificates to trust" docker run --rm --entrypoint grep "$image" -q "BEGIN CERTIFICATE" /etc/ssl/certs/ca-certificates.crt

works() { # NAME FOLDER OWNER [OPTIONS]: it ships, its files belong to OWNER, and it stops with 0.
  local before
  before=$(count)
  start "$1" -v "$2":/app/src/shared "${@:4}" "$image"
  wait_log "$1" 'iteration done' || return 1
  docker stop -t 30 "$1" > /dev/null
  is "$(exit_code "$1")" 0 && is "$(owners "$2")" "$3" && [ "$(count)" -gt "$before" ]
}
refused() { # NAME TEXT [OPTIONS]: it ends with 2 and says TEXT.
  start "$1" "${@:3}" "$image"
  is "$(docker wait "$1")" 2 && says "$1" "$2"
}

echo "the owner of the directory"
check "a directory of uid 1000: works, and the files are its" works owner-1000 "$(directory 1000 quick)" 1000
check "a directory of root: works" works owner-root "$(directory 0 quick)" 0
check "--user 1000:1000: works" works user-1000 "$(directory 1000 quick)" 1000 --user 1000:1000
check "--read-only: works" works read-only "$(directory 1000 quick)" 1000 --read-only
check "--cap-drop ALL with --user: works" works no-caps-user "$(directory 1000 quick)" 1000 --cap-drop ALL --user 1000:1000
check "--cap-drop ALL, a directory of root: works" works no-caps-root "$(directory 0 quick)" 0 --cap-drop ALL
check "--cap-drop ALL, a directory of uid 1000: says what is missing, ends with 2" \
  refused no-caps "start as --user 1000:1000, or with the capabilities SETUID and SETGID" \
  --cap-drop ALL -v "$(directory 1000 quick)":/app/src/shared
check "a read-only mount: says so, ends with 2" refused read-only-mount "Read-only file system" \
  -v "$(directory 1000 quick)":/app/src/shared:ro
check "another --user: says who owns it, ends with 2" refused other-user "as user 1001:1001 (it belongs to 1000:1000)" \
  --user 1001:1001 -v "$(directory 1000 quick)":/app/src/shared
check "nothing mounted: says what to mount, ends with 2" refused nothing "mount the directory that holds config.yaml"
folder=$(directory 1000 quick)
single() {
  start single -v "$folder/config.yaml":/app/src/shared/config.yaml:ro "$image"
  wait_log single 'iteration done' && docker exec single test -s src/shared/last_start_dates.txt && docker stop -t 30 single > /dev/null && is "$(exit_code single)" 0
}
check "a single mounted config file: works" single
two_files() {
  printf 'events: 2020-01-01T00:00:00Z\nevents: 2020-01-02T00:00:00Z\n' > "$folder/last_start_dates.txt"
  start two-files -v "$folder/config.yaml":/app/src/shared/config.yaml:ro \
    -v "$folder/last_start_dates.txt":/app/src/shared/last_start_dates.txt "$image"
  wait_log two-files 'iteration done' && docker stop -t 30 two-files > /dev/null && ! grep -q 2020-01-01 "$folder/last_start_dates.txt" \
    && grep -q 'events: 20' "$folder/last_start_dates.txt"
}
check "a single mounted last_start_dates.txt: rewritten in place" two_files

echo "the dialect of the original's version 2"
# As its users start it: with an argument, and without a command.
unchanged() {
  local folder before
  folder=$(dialect 1000)
  before=$(count)
  start unchanged -v "$folder":/app/src/shared "$image" --level DEBUG
  wait_log unchanged 'iteration done' || return 1
  docker stop -t 30 unchanged > /dev/null
  is "$(exit_code unchanged)" 0 && is "$(owners "$folder")" 1000 && [ "$(count)" -gt "$before" ]
}
check "docker run … --level DEBUG with a list apis: works" unchanged
# As its helm chart mounts it: the file alone, for reading, beside no volume.
helm() {
  local folder before
  folder=$(dialect 0)
  before=$(count)
  start helm -v "$folder/config.yaml":/app/src/shared/config.yaml:ro "$@" "$image" --level INFO
  wait_log helm 'iteration done' && [ "$(count)" -gt "$before" ] && says helm 'WARN.*state' || return 1
  docker rm -f helm > /dev/null
}
check "config.yaml alone, read-only, without a volume: works, and says that the state is lost with the container" helm
check "the same with a root that is read-only: works, and says so" helm --read-only --tmpfs /tmp

echo "signals"
during() {
  local folder
  folder=$(directory 1000 slow)
  start during -v "$folder":/app/src/shared "$image"
  for _ in $(seq 100); do [ "$(asked)" -gt 0 ] && break; sleep 0.1; done
  docker stop -t 30 during > /dev/null
  is "$(exit_code during)" 0 && says during 'iteration done.*records=5' && grep -q 'events: 20' "$folder/last_start_dates.txt"
}
check "docker stop during an iteration: it ends, with 0" during
hanging() {
  start hanging -v "$(directory 1000 hang)":/app/src/shared "$image"
  sleep 1
  local begun=$SECONDS
  docker stop -t 30 hanging > /dev/null
  local took=$((SECONDS - begun))
  is "$(exit_code hanging)" 0 && [ "$took" -lt 30 ] && says hanging 'cut short by the stop' && echo "        gone after $took s"
}
check "docker stop with an API that hangs: cut in time, with 0" hanging
hangup() {
  start hangup -v "$(directory 1000 quick)":/app/src/shared "$image"
  wait_log hangup 'iteration done' || return 1
  docker kill -s HUP hangup > /dev/null
  wait_log hangup SIGHUP && is "$(docker inspect -f '{{.State.Running}}' hangup)" true
}
check "docker kill -s HUP does not kill" hangup
edited() {
  local folder
  folder=$(directory 1000 quick)
  start edited -v "$folder":/app/src/shared "$image"
  wait_log edited 'iteration done' || return 1
  # As editors do it: another file in the old one's place.
  sed 's/name: events/name: renamed/' "$folder/config.yaml" > "$folder/new" && mv "$folder/new" "$folder/config.yaml"
  wait_log edited 'config reloaded: new renamed; removed events' && wait_log edited 'iteration done api="renamed"'
}
check "an edit of the mounted config.yaml is taken over while it runs" edited
page() {
  local folder
  folder=$(directory 1000 quick)
  echo "status: {listen: '127.0.0.1:0'}" >> "$folder/config.yaml"
  start page -v "$folder":/app/src/shared "$image"
  wait_log page 'the status page is at' || return 1
  local url
  url=$(docker logs page 2>&1 | grep -o 'http://127.0.0.1:[0-9]*/')
  node -e "fetch('$url').then((r) => r.text()).then((t) => process.exit(t.includes('events') ? 0 : 1))"
}
check "the status page is served where the config says" page
docker stop -t 30 hangup > /dev/null
check "docker logs shows why it stopped" says hangup SIGTERM

echo "health"
healthy() {
  start healthy --health-interval 1s --health-start-period 0s -v "$(directory 1000 quick)":/app/src/shared "$image"
  wait_health healthy healthy
}
check "healthy while it works" healthy
hung() { docker kill -s STOP healthy > /dev/null && wait_health healthy unhealthy; local got=$?; docker kill -s CONT healthy > /dev/null; return $got; }
check "unhealthy when it hangs" hung
failing() {
  start failing --health-interval 1s --health-start-period 0s -v "$(directory 1000 bad)":/app/src/shared "$image"
  wait_health failing unhealthy && grep -q 'not allowed' <<< "$(docker inspect -f '{{json .State.Health.Log}}' failing)"
}
check "unhealthy when every API has been failing, and says why" failing

echo "several replicas"
check "the Compose example of three fetchers and three nodes of etcd: holds what it promises" tests/docker/cluster.sh

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
