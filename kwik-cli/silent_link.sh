#!/usr/bin/env bash
# A link that goes silent without closing: three servers and a client in network namespaces of their own, and in the middle
# of a download the link of one secondary is set down. The file must come over whole, and the report must blame that path.
#
#   bash kwik-cli/silent_link.sh [path of the program kwik]
#
# Needs root, `ip` and python3. What it makes has its process id in its name and is removed whatever happens. The same
# failure runs without namespaces in tests/faults.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

size_mib=${KWIK_MIB:-256}
kwik=${1:-}
if [ -z "$kwik" ]; then
  cargo build --release --locked -p kwik-cli
  kwik=${CARGO_TARGET_DIR:-target}/release/kwik
fi
kwik=$(realpath "$kwik")
work=$(mktemp -d)
prefix=kwik-$$
pids=()

tidy() {
  for pid in "${pids[@]}"; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  for host in client primary edge0 edge1; do ip netns del "$prefix-$host" 2>/dev/null || true; done
  rm -rf "$work"
}
trap tidy EXIT
trap 'exit 130' INT TERM

in_host() { local host=$1; shift; ip netns exec "$prefix-$host" "$@"; }
exec_in_host() { local host=$1; shift; exec ip netns exec "$prefix-$host" "$@"; }

ip netns add "$prefix-client"
in_host client ip link set lo up
net=0
for host in primary edge0 edge1; do
  ip netns add "$prefix-$host"
  in_host "$host" ip link set lo up
  ip -n "$prefix-client" link add "to-$host" type veth peer name eth0 netns "$prefix-$host"
  in_host client ip addr add "10.213.$net.1/30" dev "to-$host"
  in_host "$host" ip addr add "10.213.$net.2/30" dev eth0
  in_host client ip link set "to-$host" up
  in_host "$host" ip link set eth0 up
  net=$((net + 1))
done

mkdir "$work/root"
head -c "${size_mib}M" /dev/urandom >"$work/root/file"
"$kwik" keygen --out "$work/keys" >/dev/null

# serve HOST ADDRESS [ARGS...]; prints the pin.
serve() {
  local host=$1 address=$2; shift 2
  # In place of the shell, so that its number is the server's.
  exec_in_host "$host" "$kwik" serve --listen "$address:4433" --root "$work/root" --state "$work/$host" --json "$@" \
    >"$work/$host.out" 2>"$work/$host.log" &
  pids+=($!)
  for _ in $(seq 500); do [ -s "$work/$host.out" ] && break; sleep 0.02; done
}
pin() { sed 's/.*"pin":"\([^"]*\)".*/\1/' "$work/$1.out"; }

export KWIK_LOG=kwik=info,warn NO_COLOR=1
serve edge0 10.213.1.2 --trust "$work/keys/primary.pub"
serve edge1 10.213.2.2 --trust "$work/keys/primary.pub"
serve primary 10.213.0.2 --identity "$work/keys/primary.key" \
  --secondary "10.213.1.2:4433#$(pin edge0)" --secondary "10.213.2.2:4433#$(pin edge1)"

get() { "$1" client "$kwik" get kwik://10.213.0.2:4433/file --pin "$(pin primary)" --json -o "$2"; }

get in_host /dev/null >/dev/null # so that all have hashed their copies
get in_host /dev/null >"$work/quiet" # what nothing but the machine costs
get exec_in_host "$work/copy" >"$work/report" &
download=$!
pids+=("$download")
for _ in $(seq 3000); do
  had=$(stat -c %s "$work/copy.part" 2>/dev/null || echo 0)
  [ "$had" -ge $((size_mib * 1024 * 1024 / 8)) ] && break
  sleep 0.005
done
in_host edge0 ip link set eth0 down
echo "link of edge0 down after $had bytes"
wait "$download"
cmp "$work/copy" "$work/root/file"
cat "$work/report"
grep -E "lost|second server" "$work/primary.log" | grep 10.213.1.2 | tail -n 4
python3 - "$work/report" "$size_mib" "$work/quiet" <<'PY'
import json, sys

report = json.load(open(sys.argv[1]))
size = int(sys.argv[2]) << 20
silent = next(path for path in report["paths"] if path["address"].startswith("10.213.1.2"))
# It may still count as live: what it owed was soon asked of others, and who owes nothing may be silent.
assert 0 < silent["bytes"] < size / 3, silent
# As in tests/faults.rs, where the bound is argued.
bound = 500 + 2 * json.load(open(sys.argv[3]))["longest_stall_ms"]
assert report["longest_stall_ms"] < bound, (report["longest_stall_ms"], bound)
assert report["redundant_bytes"] <= size * 0.03 + (256 << 10), report["redundant_bytes"]
assert sum(path["bytes"] for path in report["paths"]) == report["bytes"] == size
for stall in report["stalls"]:
    assert stall["path"] and stall["ms"] > 50, stall
print("equal bytes; longest pause", report["longest_stall_ms"], "ms of at most", bound, "ms; redundant", report["redundant_bytes"], "bytes")
PY
