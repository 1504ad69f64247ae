"""Downloads from healthy servers while all cores are busy: every one must succeed. See healthy.sh."""

import concurrent.futures
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import fleet
from fleet import Failed, Fleet, Process

# Downloads at a time.
AT_ONCE = 4
# Longest that one may take, processes that compete for the cores included.
LONGEST = 120
# Failures after which it is clear enough.
ENOUGH = 5
KIB, MIB = 1 << 10, 1 << 20


class Load:
    """A busy loop for each core."""

    def __init__(self, work):
        loop = [sys.executable, "-c", "while True: pass"]
        self.loops = [Process(f"loop{core}", loop, work) for core in range(os.cpu_count() or 1)]
        for process in self.loops:
            process.spawn(os.devnull)

    def end(self):
        for process in self.loops:
            process.end()


def download(servers, name, content, number):
    """None, or what went wrong."""
    out = servers.work / f"out-{number}"
    command = [servers.kwik, "get", servers.url(0, name), "--pin", servers.pin, "--quiet", "-o", str(out)]
    try:
        done = subprocess.run(
            command,
            cwd=servers.work,
            env=fleet.environment(servers.work),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return f"download {number} of {name}: not done after {LONGEST} s"
    if done.returncode != 0 or done.stderr:
        said = done.stderr.decode(errors="replace").strip()
        return f"download {number} of {name}: exit {done.returncode}: {said}"
    if out.read_bytes() != content:
        return f"download {number} of {name}: the file differs"
    out.unlink()
    return None


def series(servers, name, size, count):
    """So many downloads of a file; how many failed."""
    content = random.randbytes(size)
    for index in range(len(servers.servers)):
        (servers.work / f"root{index}" / name).write_bytes(content)
    start, failures = time.monotonic(), []
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(download, servers, name, content, number) for number in range(count)]
        for job in concurrent.futures.as_completed(jobs):
            if failure := job.result():
                print(failure, file=sys.stderr, flush=True)
                failures.append(failure)
                if len(failures) == ENOUGH:
                    pool.shutdown(cancel_futures=True)
                    break
    took = time.monotonic() - start
    print(f"{count} downloads of {name}: {len(failures)} failed, {took:.1f} s", flush=True)
    return len(failures)


def main(kwik, small, large):
    work = pathlib.Path(tempfile.mkdtemp(prefix="kwik-healthy-"))
    servers = load = None
    failed = True
    try:
        servers = Fleet(kwik, work, [[1, 2], [], []])
        servers.start()
        load = Load(work)
        failures = series(servers, "4KiB", 4 * KIB, int(small)) + series(servers, "1MiB", MIB, int(large))
        failed = failures > 0
    except Failed as failure:
        print(failure, file=sys.stderr)
    finally:
        for started in (load, servers):
            if started:
                started.end()
        if failed:
            print(f"the servers' logs are in {work}", file=sys.stderr)
        else:
            shutil.rmtree(work)
    return int(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(*sys.argv[1:]))
