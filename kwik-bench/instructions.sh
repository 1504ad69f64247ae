#!/bin/sh
# Counts the instructions of the core and the codec, and compares with instructions.txt. Needs Valgrind; installs
# gungraun's runner into the target directory the first time.
#
# usage: instructions.sh [--update]    --update keeps the counts instead of comparing them
#
# Fails when a count grew by more than 5 %, or when a benchmark is on one side only. Counts move with the compiler and
# the C library: the file's first line says which they came from, and a new compiler is a reason to update.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
kept=$here/instructions.txt

command -v valgrind >/dev/null || { echo "valgrind is not installed" >&2; exit 1; }
version=$(sed -n 's/^gungraun = "=\(.*\)"$/\1/p' Cargo.toml)
tools=$target/gungraun-$version
if [ ! -x "$tools/bin/gungraun-runner" ]; then
    cargo install --quiet --locked gungraun-runner --version "=$version" --root "$tools"
fi

counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
log=$target/instructions.log
export GUNGRAUN_RUNNER=$tools/bin/gungraun-runner
if ! cargo bench --locked -p kwik-bench --features instructions --bench instructions >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi

# A line that names the benchmark ("instructions::core::reassemble in_order:..."), and under it its events.
echo "# $(rustc --version | cut -d' ' -f1-2), $(valgrind --version), $(uname -m)" >"$counts"
awk '
    /^[^ ].*::/ { split($2, case_, ":"); sub(/^[^:]*::/, "", $1); name = $1 "/" case_[1] }
    $1 == "Instructions:" { split($2, sides, "|"); print name, sides[1] }
' "$log" >>"$counts"

if [ "${1-}" = --update ]; then
    cp "$counts" "$kept"
    cat "$kept"
    exit 0
fi

head -n 1 "$kept" | sed 's/^#/kept:/'
head -n 1 "$counts" | sed 's/^#/here:/'
awk '
    /^#/ { next }
    FNR == NR { kept[$1] = $2; next }
    !($1 in kept) { printf "%-40s %12d  not kept: --update\n", $1, $2; bad = 1; next }
    {
        grown = 100 * ($2 / kept[$1] - 1)
        failed = grown > 5
        printf "%-40s %12d %12d %+7.2f %%%s\n", $1, kept[$1], $2, grown, failed ? "  FAILED" : ""
        bad = bad || failed
        delete kept[$1]
    }
    END {
        for (name in kept) { printf "%-40s was not measured\n", name; bad = 1 }
        exit bad
    }
' "$kept" "$counts"
