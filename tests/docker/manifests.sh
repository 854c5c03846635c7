#!/usr/bin/env bash
# Holds the Compose and Kubernetes examples of docs/ against their schemas. Needs python3; the validators come from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/docker/lib.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in compose.yaml kubernetes.yaml; do block "$name" docs/operate.md > "$work/$name"; done
for name in cluster-compose.yaml cluster-kubernetes.yaml; do block "$name" docs/cluster.md > "$work/$name"; done
if ! python3 -m venv "$work/venv" > /dev/null 2>&1; then
  install python3-venv
  python3 -m venv "$work/venv"
fi
"$work/venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate
for name in kubernetes.yaml cluster-kubernetes.yaml; do "$work/venv/bin/kubernetes-validate" --strict "$work/$name"; done

mkdir -p "$work/secrets" "$work/logzio-api-fetcher" && touch "$work/secrets/logzio_token" "$work/secrets/azure_secret"
find_compose
for name in compose.yaml cluster-compose.yaml; do
  "${compose[@]}" -f "$work/$name" config -q
  echo "$name: valid, by ${compose[*]}"
done
