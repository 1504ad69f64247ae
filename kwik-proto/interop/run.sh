#!/bin/sh
# Golden vectors against Google's protobuf, both ways. Needs python3 with venv, and pip's index the first time.
#
# usage: run.sh [--update]    --update also keeps Python's encodings in vectors/python
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
venv=$target/interop-venv
out=$target/interop

if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/requirements.txt"
fi

rm -rf "$out"
"$venv/bin/python" "$here/check.py" "$root/proto" "$root/kwik-proto/vectors" "$out"
if [ "${1-}" = --update ]; then
    cp "$out"/*.hex "$root/kwik-proto/vectors/python/"
fi
cd "$root"
KWIK_INTEROP_DIR=$out cargo test --quiet -p kwik-proto --test vectors
