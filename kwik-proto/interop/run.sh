#!/bin/sh
# Golden vectors against Google's protobuf, both ways, and signatures against another Ed25519. Needs python3 with venv,
# and pip's index the first time.
#
# usage: run.sh [--update]    --update also keeps what Python wrote: vectors/python, vectors/signed
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
"$venv/bin/python" "$here/check.py" "$root/proto" "$root/kwik-cli/vectors" "$out/files"
"$venv/bin/python" "$here/signed.py" "$root/kwik-proto/vectors" "$out/signed.json"
if [ "${1-}" = --update ]; then
    mkdir -p "$root/kwik-cli/vectors/python"
    cp "$out"/*.hex "$root/kwik-proto/vectors/python/"
    cp "$out"/files/*.hex "$root/kwik-cli/vectors/python/"
    cp "$out/signed.json" "$root/kwik-proto/vectors/signed/"
fi
# The tests of the crates that sign, and of the program, read the committed files: these are what they have to be.
diff -r "$out/files" "$root/kwik-cli/vectors/python"
diff "$out/signed.json" "$root/kwik-proto/vectors/signed/signed.json"
echo "messages of the file service and signatures are as committed"
cd "$root"
KWIK_INTEROP_DIR=$out cargo test --quiet -p kwik-proto --test vectors
