"""Rounds of chaos. See chaos.sh."""

import collections
import dataclasses
import pathlib
import shutil
import signal
import sys
import tempfile
import time

import plan
from download import LEAVES, Download
from fleet import Failed, Fleet, Process
from plan import GET

# Of the file of each round.
SIZE = 32 << 20
# Of each server's link, so that a round without faults takes about two seconds.
MBIT, DELAY_MS = 60, 10
# What a server that was asked to end may take for it.
GRACE = 2
# Longest that a round may take: faults are over after five seconds, and nothing is amiss from then on.
LONGEST = 60
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


@dataclasses.dataclass
class Victim:
    """A process that is stopped, dead, or about to end."""

    fault: plan.Fault
    process: Process
    since: float
    # When it comes back; unknown as long as it has not ended.
    back: float | None = None


class Round:
    """One download, and what is done meanwhile."""

    def __init__(self, servers, seed, number):
        self.servers, self.number = servers, number
        self.named = {server.name: server for server in servers.servers}
        self.faults = collections.deque(plan.plan(seed, number, list(self.named)))
        self.content = plan.content(seed, number, SIZE)
        self.name = f"file-{number}"
        self.output = servers.work / f"out-{number}"
        first, second = (0, 1) if number % 2 == 0 else (1, 0)
        urls = [servers.url(first, self.name), servers.url(second, self.name)]
        command = [servers.kwik, "get", *urls, "--pin", servers.pin, "--json", "-o", str(self.output)]
        self.get = Download(servers.work, command, self.output)
        self.away = {}
        self.done = []

    def run(self):
        for index in range(len(self.named)):
            (self.servers.work / f"root{index}" / self.name).write_bytes(self.content)
        self.start = time.monotonic()
        self.get.start()
        try:
            while not self.over():
                time.sleep(0.005)
            self.took = self.now()
            self.heal()
            self.compare()
        finally:
            self.get.process.end()
        for index in range(len(self.named)):
            (self.servers.work / f"root{index}" / self.name).unlink()
        self.output.unlink()

    def now(self):
        return time.monotonic() - self.start

    def over(self):
        if self.now() > LONGEST:
            raise Failed(f"the download is not done after {LONGEST} s")
        self.forgive()
        for name in list(self.away):
            self.restore(name)
        for name, server in self.named.items():
            if name not in self.away and not server.running():
                raise Failed(f"{name} ended with {server.child.returncode}; see {server.log}")
        if GET not in self.away and self.get.done():
            return True
        while self.faults and self.faults[0].at <= self.now():
            self.inflict(self.faults.popleft())
        return False

    def primary_lives(self):
        """Whether one of the primaries is there, though it may be stopped."""
        names = list(self.named)[:2]
        return any(self.away[name].fault.kind == "stop" if name in self.away else True for name in names)

    def forgive(self):
        """A run that began, or was about to, while no primary was there may say so and end: it is run again later."""
        if GET not in self.away and self.get.failed() and not self.primary_lives():
            self.get.excuse()
            fault = plan.Fault(self.now(), GET, "kill", 0)
            self.away[GET] = Victim(fault, self.get.process, self.now())

    def inflict(self, fault):
        """Does it, unless the victim is away already."""
        if fault.victim in self.away:
            return
        self.done.append(fault)
        if fault.victim == GET:
            process = self.get.process
            if fault.kind != "stop":
                self.get.excuse()
        else:
            process = self.named[fault.victim]
        process.send(SIGNALS[fault.kind])
        self.away[fault.victim] = Victim(fault, process, self.now())

    def restore(self, name):
        """Lets a victim go on, or starts it again, when its time has come."""
        victim = self.away[name]
        if victim.fault.kind != "stop" and victim.process.running():
            longest = LEAVES + (0 if name == GET else GRACE)
            if self.now() - victim.since > longest:
                raise Failed(f"{name} did not end within {longest} s; see {victim.process.log}")
            return
        if victim.back is None:
            victim.back = self.now() + victim.fault.away
        if self.now() < victim.back or (name == GET and not self.primary_lives()):
            return
        del self.away[name]
        if victim.fault.kind == "stop":
            victim.process.send(signal.SIGCONT)
        elif name == GET:
            self.again()
        else:
            self.exits(victim.fault, victim.process)
            victim.process.start()

    def again(self):
        """Runs `get` again, unless it was done before the signal came."""
        if not self.get.done():
            self.get.keep()
            self.get.start()

    def exits(self, fault, process):
        """A server that was asked to end says that all went well."""
        if fault.kind == "term" and process.child.returncode != 0:
            code = process.child.returncode
            raise Failed(f"{process.name} ended with {code} after SIGTERM; see {process.log}")

    def heal(self):
        """Brings everybody back that is still away, for the next round."""
        self.faults.clear()
        end = self.now() + LONGEST
        while self.away:
            for name in list(self.away):
                self.restore(name)
            if self.now() > end:
                raise Failed(f"{', '.join(self.away)} did not come back")
            time.sleep(0.005)

    def compare(self):
        if self.output.read_bytes() != self.content:
            raise Failed(f"{self.output} differs from {self.name}")
        left = [path.name for path in self.servers.work.iterdir() if self.output.name in path.name]
        if left != [self.output.name]:
            raise Failed(f"left beside the file: {left}")

    def line(self):
        faults = ", ".join(map(str, self.done)) or "nothing"
        report = self.get.report
        return (
            f"round {self.number}: {self.took:.1f} s, {self.get.runs} runs of get, "
            f"resumed at {report['resumed_at']}, {report['reconnects']} reconnects, "
            f"{self.get.again} bytes fetched again; {faults}"
        )


def main(kwik, rounds, seed, first):
    work = pathlib.Path(tempfile.mkdtemp(prefix="kwik-chaos-"))
    servers, one, number, failed = None, None, int(first), True
    kinds, runs, again = collections.Counter(), 0, 0
    print(f"seed {seed}", flush=True)
    try:
        grace = ["--grace", f"{GRACE}s"]
        servers = Fleet(kwik, work, [[1, 2], [0, 2], []], MBIT, DELAY_MS, grace)
        servers.start()
        for number in range(int(first), int(first) + int(rounds)):
            one = Round(servers, seed, number)
            one.run()
            print(one.line(), flush=True)
            kinds.update(map(str, one.done))
            runs += one.get.runs
            again += one.get.again
        failed = False
    except Failed as failure:
        print(f"round {number} of seed {seed}: {failure}", file=sys.stderr)
        done = ", ".join(f"{fault} at {fault.at:.2f} s" for fault in one.done) if one else ""
        print(f"done until then: {done or 'nothing'}", file=sys.stderr)
        print(f"to repeat it: bash kwik-cli/chaos.sh 1 {seed} {number}", file=sys.stderr)
    finally:
        if servers:
            servers.end()
        if failed:
            print(f"logs and files are in {work}", file=sys.stderr)
        else:
            shutil.rmtree(work)
    if not failed:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        print(f"{rounds} rounds: every file is right; {runs} runs of get, {again} durable bytes fetched again; {told}")
    return int(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(*sys.argv[1:]))
