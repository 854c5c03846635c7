#!/usr/bin/env bash
# Runs the tests of several replicas with newer etcds than the machine's own: those of other Debian releases.
#   tests/cluster/newer_etcd.sh [RELEASE ...] [-- ARGUMENT ...]
# Releases: trixie and sid, unless others are named. The arguments go to the test program: names of tests, say. etcd is
# unpacked into a temporary directory, not installed. Needs Debian and cargo.
set -euo pipefail
cd "$(dirname "$0")/../.."
releases=() arguments=()
while [ "$#" -gt 0 ]; do
  if [ "$1" = -- ]; then shift; arguments=("$@"); break; fi
  releases+=("$1"); shift
done
[ "${#releases[@]}" -gt 0 ] || releases=(trixie sid)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# quietly COMMAND: shows what it said only where it failed.
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; echo "failed: $*"; exit 1; }; }

unpacked() {
  local release=$1 at=$work/$1
  mkdir -p "$at"/lists/partial "$at"/cache/archives/partial "$at"/debs "$at"/etcd
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $release main" > "$at/sources.list"
  local apt=(apt-get -q -o "Dir::Etc::sourcelist=$at/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$at/lists" -o "Dir::Cache=$at/cache")
  quietly "${apt[@]}" update
  (cd "$at/debs" && quietly "${apt[@]}" download "etcd-server/$release" "etcd-client/$release")
  for deb in "$at"/debs/*.deb; do quietly dpkg-deb -x "$deb" "$at/etcd"; done
}

for release in "${releases[@]}"; do
  unpacked "$release"
  programs=$work/$release/etcd/usr/bin
  printf '\n== %s\n' "$("$programs/etcd" --version | head -n 1)"
  PATH="$programs:$PATH" cargo test --locked --features cluster --test cluster -- "${arguments[@]}"
done
