#!/usr/bin/env bash
# Chaos: three servers, two of them primaries, and in the middle of each download processes are killed, asked to end, stopped
# and started again, `get` among them. Each file must be right in the end, and of what was durable at most 1 % may be
# fetched again.
#
#   bash kwik-cli/chaos.sh [ROUNDS [SEED [FIRST]]]
#
# Default: 20 rounds from a seed of the clock's, which is printed; FIRST is the first round's number (0). The schedule of a
# round comes from its seed and number alone. The first failure ends it, says how to repeat that round, and keeps the logs.
# KWIK_BIN names the program to try; by default it is built. Needs python3. Signals what it started, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

kwik=${KWIK_BIN:-}
if [ -z "$kwik" ]; then
  cargo build --release --locked -p kwik-cli
  kwik=${CARGO_TARGET_DIR:-target}/release/kwik
fi
exec python3 kwik-cli/trials/chaos.py "$(realpath "$kwik")" "${1:-20}" "${2:-$(date +%s)}" "${3:-0}"
