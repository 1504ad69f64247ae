#!/bin/sh
# Fuzzes a decoder or a session core with libFuzzer and AddressSanitizer, on the stable toolchain. Needs a C++ compiler.
#
# usage: run.sh control|data|client|primary|secondary|files [SECONDS]
#
# Starts from corpus/, keeps what it finds in target/found/; a crash is left in target/artifacts/.
# `run.sh TARGET merge` adds to corpus/ what target/found/ covers and corpus/ does not.
set -eu

cd "$(dirname "$0")"
name=$1
how=${2:-600}
host=$(rustc -vV | sed -n 's/^host: //p')

# The sanitizer is a compiler option that stable hides; the coverage passes are what cargo-fuzz sets.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-target}
export RUSTFLAGS="-Zsanitizer=address -Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --release --target "$host" --bin "$name"
program=$CARGO_TARGET_DIR/$host/release/$name

mkdir -p "target/found/$name" target/artifacts
if [ "$how" = merge ]; then
    exec "$program" -merge=1 "corpus/$name" "target/found/$name"
fi
exec "$program" -max_total_time="$how" -max_len=4096 -print_final_stats=1 \
    -artifact_prefix="target/artifacts/$name-" "target/found/$name" "corpus/$name"
