#!/usr/bin/env bash
# Downloads from healthy servers, a primary and two secondaries, while every core is busy: none may fail.
#
#   bash kwik-cli/healthy.sh [SMALL [LARGE]]
#
# SMALL downloads of 4 KiB (default 10000) and LARGE of 1 MiB (default 1000), four at a time. KWIK_BIN names the program
# to try; by default it is built. Needs python3. Ends what it started, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

kwik=${KWIK_BIN:-}
if [ -z "$kwik" ]; then
  cargo build --release --locked -p kwik-cli
  kwik=${CARGO_TARGET_DIR:-target}/release/kwik
fi
exec python3 kwik-cli/trials/healthy.py "$(realpath "$kwik")" "${1:-10000}" "${2:-1000}"
