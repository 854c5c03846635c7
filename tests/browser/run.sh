#!/usr/bin/env bash
# The status page in a real browser: headless Chromium at desktop and phone width, light and dark, with few and with many
# APIs, healthy and failing. Screenshots go to target/browser. Installs what it needs.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  apt-get update -q && apt-get install -qy --no-install-recommends chromium chromium-driver
fi
if ! command -v node >/dev/null; then
  apt-get update -q && apt-get install -qy nodejs
fi
cargo build --locked --release --bin logzio-api-fetcher
node tests/browser/page.mjs target/release/logzio-api-fetcher target/browser "$@"
