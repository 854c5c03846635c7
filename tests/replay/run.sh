#!/usr/bin/env bash
# What a replay touches, by the calls that the kernel sees: its cassette, what any program is made of, and no socket. A cassette may
# come from anybody, so this one names files, variables and a host. Takes the program, else the release build. Needs strace.
set -euo pipefail
cd "$(dirname "$0")/../.."
fetcher=$(realpath "${1:-target/release/logzio-api-fetcher}")
command -v strace > /dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy strace; } > /dev/null 2>&1
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
cat > "$work/cassette.yaml" <<'CASSETTE'
cassette: 1
values: synthetic
config: |
  oauth_apis:
  - type: general
    name: '${HOME}'
    token_http_request: {url: 'http://127.0.0.1:9/token', scope: all, assertion: {file: /etc/shadow, subject: '${file:/etc/hostname}'}}
    http_request: {url: 'http://localhost:9/events'}
    filters: {since: '{start_date}'}
    json_paths: {data: data, data_date: date, id: id, next_url: next}
    settings: {time_interval: 60m, days_back_fetch: 1}
    custom_fields: {file: '${file:/etc/passwd}'}
iterations:
- at: 2024-05-28T13:30:00Z
  shipped: 1
  exchanges:
  - {at: 2024-05-28T13:30:00Z, answer: {status: 200, body: '{"access_token":"t"}'}}
  - {at: 2024-05-28T13:30:01Z, answer: {status: 200, gzip: {body: '{"data":[{"id":1,"date":"2024-05-28T12:00:00Z"}]}'}}}
CASSETTE
strace -f -qq -s 300 -e trace=%file,%network -o "$work/calls" "$fetcher" replay "$work/cassette.yaml" > "$work/shipped"
grep -q '"id":1' "$work/shipped" || { echo "nothing was replayed"; cat "$work/shipped"; exit 1; }

# A pair of sockets between two parts of the process leads nowhere.
if grep -E '(socket|connect|bind|listen|accept4?|sendto|sendmsg)\(' "$work/calls" | grep -v 'socketpair('; then
  echo "a replay opened a socket"; exit 1
fi
own='/(usr/)?lib(32|64)?/|/etc/ld\.so\.|/usr/share/(locale|zoneinfo)/|/proc/self/|/sys/fs/cgroup'
others=$(grep -oE '^[0-9]+ +[a-z0-9_]+\([^"]*"[^"]+"' "$work/calls" | sed -E 's/^[^"]*"//; s/"$//' | sort -u |
  grep -vE "^($own)" | grep -vxF -e "$fetcher" -e "$work/cassette.yaml" || true)
[ -z "$others" ] || { echo "a replay touched:"; echo "$others"; exit 1; }
grep -qF "$work/cassette.yaml" "$work/calls" || { echo "strace saw nothing"; exit 1; }
echo "a replay touches its cassette alone: $(wc -l < "$work/calls") calls"
