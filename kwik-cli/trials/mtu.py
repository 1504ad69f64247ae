"""What probing for packets above 1,500 bytes costs where the path does not carry them.

    python3 kwik-cli/trials/mtu.py PATH-OF-KWIK [RUNS]

Three network namespaces in a row, client, router and server, and between router and client the rate. In one arrangement the
server's own link carries 1,500 bytes, so that its kernel refuses larger packets; in the other it carries 9,000, and the
router drops them. Needs root, `ip` and `tc`. A file of what the rate carries in a second, fetched with `--max-mtu 1500` and without, at both ends,
in turns. Prints a table of medians of the whole command's time.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

KWIK = os.path.realpath(sys.argv[1])
RUNS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
PREFIX = f"kwikmtu-{os.getpid()}"
CLIENT, ROUTER, SERVER = (f"{PREFIX}-{name}" for name in ("client", "router", "server"))


def sh(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def inside(host, *words):
    sh("ip", "netns", "exec", host, *words)


def link(one, name, address, other, peer, peer_address, mtu):
    sh("ip", "-n", one, "link", "add", name, "mtu", str(mtu), "type", "veth", "peer", "name", peer, "netns", other)
    sh("ip", "-n", other, "link", "set", peer, "mtu", str(mtu))
    for host, device, place in ((one, name, address), (other, peer, peer_address)):
        sh("ip", "-n", host, "addr", "add", place, "dev", device)
        sh("ip", "-n", host, "link", "set", device, "up")


def arrange(server_mtu, mbit):
    for host in (CLIENT, ROUTER, SERVER):
        sh("ip", "netns", "add", host)
        sh("ip", "-n", host, "link", "set", "lo", "up")
    link(ROUTER, "to-client", "10.214.1.1/24", CLIENT, "eth0", "10.214.1.2/24", 1500)
    link(ROUTER, "to-server", "10.214.2.1/24", SERVER, "eth0", "10.214.2.2/24", server_mtu)
    inside(ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
    for host, via in ((CLIENT, "10.214.1.1"), (SERVER, "10.214.2.1")):
        sh("ip", "-n", host, "route", "add", "default", "via", via)
    # A queue of 20 ms at the rate, at least 64 KiB; whole segments of 64 KiB pass at once.
    queue = max(mbit * 2500, 64 << 10)
    for host, device in ((ROUTER, "to-client"), (CLIENT, "eth0")):
        inside(host, "tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", f"{mbit}mbit", "burst", "70kb",
               "limit", str(queue + (70 << 10)))


def clear():
    for host in (CLIENT, ROUTER, SERVER):
        subprocess.run(["ip", "netns", "del", host], stderr=subprocess.DEVNULL, check=False)


def flags(max_mtu):
    return ["--max-mtu", "1500"] if max_mtu == 1500 else []


def get(work, max_mtu, root):
    """Seconds of the whole command; a server of its own, so that nothing is warm."""
    serve = subprocess.Popen(
        ["ip", "netns", "exec", SERVER, KWIK, "serve", "--listen", "10.214.2.2:4433", "--root", root,
         "--state", os.path.join(work, "state"), "--json", *flags(max_mtu)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        pin = json.loads(serve.stdout.readline())["pin"]
        target = os.path.join(work, "got")
        command = ["ip", "netns", "exec", CLIENT, KWIK, "get", "kwik://10.214.2.2:4433/file", "--pin", pin,
                   "-o", target, "--quiet", *flags(max_mtu)]
        # Hashed by the first request; the second is measured.
        subprocess.run(command, check=True)
        os.remove(target)
        start = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - start
        same = [hashlib.sha256(open(path, "rb").read()).digest() for path in (target, os.path.join(root, "file"))]
        assert same[0] == same[1], "other bytes came"
        os.remove(target)
        return seconds
    finally:
        serve.kill()
        serve.wait()


def main():
    print("| link | who drops large packets | `--max-mtu 1500`, s | default, s | ratio |")
    print("| --- | --- | ---: | ---: | ---: |")
    for mbit in (10, 100, 1000):
        for server_mtu, who in ((1500, "the server's own link"), (9000, "the router")):
            with tempfile.TemporaryDirectory() as work:
                clear()
                try:
                    arrange(server_mtu, mbit)
                    root = os.path.join(work, "root")
                    os.mkdir(root)
                    with open(os.path.join(root, "file"), "wb") as file:
                        file.write(os.urandom(mbit * 125_000))
                    times = {1500: [], 9001: []}
                    for run in range(RUNS):
                        order = (1500, 9001) if run % 2 == 0 else (9001, 1500)
                        for max_mtu in order:
                            times[max_mtu].append(get(work, max_mtu, root))
                finally:
                    clear()
            plain, probing = (statistics.median(times[mtu]) for mtu in (1500, 9001))
            spread = ", ".join(f"{mtu}: {min(t):.3f} to {max(t):.3f}" for mtu, t in times.items())
            print(f"| {mbit} Mbit/s | {who} | {plain:.3f} | {probing:.3f} | {probing / plain:.3f} |", flush=True)
            print(spread, file=sys.stderr)


main()
