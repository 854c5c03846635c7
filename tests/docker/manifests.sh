#!/usr/bin/env bash
# Holds the Compose and Kubernetes examples of docs/operate.md against their schemas. Needs python3; the validators come from PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in compose.yaml kubernetes.yaml; do
  awk -v mark="<!-- $name -->" '$0 == mark {on = 1; next} on && /^```yaml$/ {in_it = 1; next} in_it && /^```$/ {exit} in_it' docs/operate.md > "$work/$name"
  [ -s "$work/$name" ] || { echo "docs/operate.md has no $name"; exit 1; }
done
if ! python3 -m venv "$work/venv" > /dev/null 2>&1; then
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy python3-venv; } > /dev/null 2>&1
  python3 -m venv "$work/venv"
fi
"$work/venv/bin/pip" install -q --disable-pip-version-check kubernetes-validate
"$work/venv/bin/kubernetes-validate" --strict "$work/kubernetes.yaml"

mkdir -p "$work/secrets" "$work/logzio-api-fetcher" && touch "$work/secrets/logzio_token" "$work/secrets/azure_secret"
if docker compose version > /dev/null 2>&1; then compose=(docker compose); else
  command -v docker-compose > /dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends docker-compose; } > /dev/null 2>&1
  compose=(docker-compose)
fi
"${compose[@]}" -f "$work/compose.yaml" config -q
echo "compose.yaml: valid, by ${compose[*]}"
