#!/usr/bin/env bash
# The status page in a real browser: headless Chromium at the width of a desk and of a phone, light and dark, with 3, 30 and 300
# APIs in mixed states, and axe-core on each. Screenshots go to target/browser. Installs what it needs.
#   tests/browser/run.sh [--keep-picture]    the latter writes docs/status-page.png anew
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
  apt-get update -q && apt-get install -qy --no-install-recommends chromium chromium-driver fonts-dejavu-core
fi
if ! command -v npm >/dev/null; then
  apt-get update -q && apt-get install -qy --no-install-recommends nodejs npm
fi
npm ci --prefix tests/browser --no-audit --no-fund --silent
cargo build --locked --release --bin logzio-api-fetcher
node tests/browser/page.mjs "${CARGO_TARGET_DIR:-target}/release/logzio-api-fetcher" target/browser
if [ "${1:-}" = --keep-picture ]; then
  cp target/browser/status-page.png docs/status-page.png
fi
