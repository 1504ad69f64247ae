#!/usr/bin/env bash
# A directory of small files: kwik get -r beside rsync over ssh, from this machine to itself, into an empty directory and again unchanged.
#
# usage: directory.sh [FILES] [BYTES]    by default 10,000 files of 10,000 bytes
#
# Wants rsync, and an OpenSSH server (sshd) that it starts itself on a free port, with keys of its own. Prints seconds of
# the wall clock, the median of three runs each.
set -euo pipefail

files=${1:-10000} bytes=${2:-10000}
root=$(cd "$(dirname "$0")/.." && pwd)
dir=$(mktemp -d)
servers=()
finish() {
    [ ${#servers[@]} -eq 0 ] || kill "${servers[@]}" 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

cargo build --quiet --locked --release --manifest-path "$root/Cargo.toml" -p kwik-cli
kwik=${CARGO_TARGET_DIR:-$root/target}/release/kwik

mkdir "$dir/root"
head -c "$((files * bytes))" /dev/urandom | split -a 6 -d -b "$bytes" - "$dir/root/file-"

"$kwik" serve --listen 127.0.0.1:0 --root "$dir/root" --state "$dir/state" >"$dir/said" &
servers+=($!)
until grep -q listening "$dir/said"; do sleep 0.05; done
read -r _ _ address _ pin <"$dir/said"

sshd=$(PATH=$PATH:/usr/sbin:/sbin command -v sshd)
ssh-keygen -q -t ed25519 -N '' -f "$dir/host"
ssh-keygen -q -t ed25519 -N '' -f "$dir/user"
cp "$dir/user.pub" "$dir/authorized"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p /run/sshd 2>/dev/null || true
"$sshd" -D -f /dev/null -p "$port" -h "$dir/host" -o ListenAddress=127.0.0.1 -o "AuthorizedKeysFile=$dir/authorized" \
    -o StrictModes=no -o PasswordAuthentication=no -o PermitRootLogin=yes -o UsePAM=no -o PidFile=none 2>"$dir/sshd.log" &
servers+=($!)
ssh="ssh -p $port -i $dir/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
until $ssh 127.0.0.1 true 2>/dev/null; do sleep 0.1; done

# Seconds of a command.
took() {
    local from=$EPOCHREALTIME
    "$@" >/dev/null
    local to=$EPOCHREALTIME
    echo "$from $to" | awk '{ printf "%.2f\n", $2 - $1 }'
}
by_kwik() { "$kwik" get -r "kwik://$address/" --pin "$pin" -P "$dir/to-kwik" --quiet; }
by_rsync() { rsync -rt -e "$ssh" "127.0.0.1:$dir/root/" "$dir/to-rsync"; }

# The first run of kwik, by which the server knows the hashes.
echo "kwik, not hashed before: $(took by_kwik) s"
diff -r "$dir/root" "$dir/to-kwik"
for program in kwik rsync; do
    new=() same=()
    for _ in 1 2 3; do
        rm -rf "$dir/to-$program"
        new+=("$(took "by_$program")")
        same+=("$(took "by_$program")")
    done
    diff -r "$dir/root" "$dir/to-$program"
    median() { printf '%s\n' "$@" | sort -n | sed -n 2p; }
    echo "$program: $(median "${new[@]}") s into an empty directory, $(median "${same[@]}") s unchanged"
done
