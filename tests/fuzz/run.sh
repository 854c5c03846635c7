#!/usr/bin/env bash
# Fuzzes each target for some seconds (600 without an argument). Needs a nightly compiler and cargo-fuzz.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-600}
for target in config page dates checkpoints next_links; do
  mkdir -p "tests/fuzz/corpus/$target"
  cargo +nightly fuzz run --fuzz-dir tests/fuzz "$target" "tests/fuzz/corpus/$target" "tests/fuzz/seeds/$target" \
    -- -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1
done
