"""Processes of `kwik serve` for trials: started, signalled by their own id, and ended whatever happens."""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

# Longest wait for something that takes a moment unless the machine or the program is broken.
PATIENCE = 60


class Failed(Exception):
    """A promise was broken, or the trial could not go on."""


def first_ephemeral_port():
    """The system gives ports from there on to sockets that ask for any."""
    try:
        return int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32768


def free_ports(count):
    """Ports that nobody uses now. A server that is down for a while finds its port free again: the system gives it to none."""
    candidates = random.sample(range(10_000, max(first_ephemeral_port(), 12_000)), 50 * count)
    ports, socks = [], []
    for port in candidates:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        socks.append(sock)
        try:
            sock.bind(("0.0.0.0", port))
        except OSError:
            continue
        ports.append(port)
        if len(ports) == count:
            break
    for sock in socks:
        sock.close()
    if len(ports) < count:
        raise Failed(f"of {len(candidates)} ports {len(ports)} are free; {count} are needed")
    return ports


def wait_until(what, happened):
    """Waits until `happened` returns something, and returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := happened()):
        if time.monotonic() > end:
            raise Failed(f"{what} did not happen within {PATIENCE} s")
        time.sleep(0.005)
    return found


def environment(work):
    """Nothing of the user's is touched, and logs say what matters."""
    return os.environ | {
        "HOME": str(work),
        "XDG_STATE_HOME": str(work / "xdg"),
        "KWIK_LOG": "kwik=info,warn",
        "NO_COLOR": "1",
    }


class Process:
    """A program that the trial started."""

    def __init__(self, name, command, work):
        self.name, self.command, self.work = name, command, work
        self.child = None

    def spawn(self, output):
        """Starts it; standard output goes to `output`, which is emptied, standard error to the end of a log."""
        with open(output, "wb") as out, open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=self.work,
                env=environment(self.work),
            )

    @property
    def log(self):
        return self.work / f"{self.name}.log"

    def running(self):
        return self.child is not None and self.child.poll() is None

    def send(self, number):
        """A signal to this process, if it runs."""
        if self.running():
            self.child.send_signal(number)

    def end(self):
        """Kills it, stopped or not, and waits for its end."""
        if self.child is not None:
            self.send(signal.SIGKILL)
            self.child.wait()


class Server(Process):
    """A `kwik serve`."""

    def start(self):
        output = self.work / f"{self.name}.out"
        self.spawn(output)

        def listening():
            if not self.running():
                raise Failed(f"{self.name} ended with {self.child.returncode}; see {self.log}")
            text = output.read_text()
            return json.loads(text.splitlines()[0]) if "\n" in text else None

        event = wait_until(f"the start of {self.name}", listening)
        self.pin = event["pin"]


class Fleet:
    """Servers, each behind a slow link or not; all have one certificate, so that one pin fits all.

    `helpers` says for each server which others are its secondaries (none: it is no primary).
    """

    def __init__(self, kwik, work, helpers, mbit=None, delay_ms=10, arguments=()):
        self.kwik, self.work = str(kwik), pathlib.Path(work)
        count = len(helpers)
        ports = free_ports(2 * count)
        self.ports, self.fronts = ports[:count], ports[count:] if mbit else ports[:count]
        self.links = None
        if mbit:
            script = pathlib.Path(__file__).with_name("links.py")
            pairs = [f"{front}:{back}" for front, back in zip(self.fronts, self.ports)]
            command = [sys.executable, str(script), str(mbit), str(delay_ms), *pairs]
            self.links = Process("links", command, self.work)
            ready = self.work / "links.out"
            self.links.spawn(ready)
            wait_until("the start of the links", lambda: ready.read_text() == "ready\n")
        self.pin = None
        self.servers = []
        # Secondaries first: a primary needs their pin, which is that of all.
        self.keys(helpers)
        self.certificate(count)
        for index in range(count):
            self.servers.append(self.server(index, helpers, arguments))

    def run(self, *arguments):
        return subprocess.run(
            [self.kwik, *map(str, arguments)],
            cwd=self.work,
            env=environment(self.work),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )

    def keys(self, helpers):
        for index, others in enumerate(helpers):
            if others:
                self.run("keygen", "--out", f"keys{index}")

    def certificate(self, count):
        """Has one server make a certificate, and gives it to all."""
        for index in range(count):
            (self.work / f"root{index}").mkdir()
            (self.work / f"state{index}").mkdir(mode=0o700)
        first = Server("s0", self.command(0, []), self.work)
        try:
            first.start()
        finally:
            first.end()
        self.pin = first.pin
        secret = (self.work / "state0/server.pem").read_bytes()
        for index in range(1, count):
            path = self.work / f"state{index}/server.pem"
            path.touch(mode=0o600)
            path.write_bytes(secret)

    def command(self, index, more):
        listen = f"127.0.0.1:{self.ports[index]}"
        serve = [self.kwik, "serve", "--json", "--listen", listen]
        return [*serve, "--root", f"root{index}", "--state", f"state{index}", *more]

    def server(self, index, helpers, arguments):
        more = list(arguments)
        for other, others in enumerate(helpers):
            if index in others:
                more += ["--trust", f"keys{other}/primary.pub"]
        if helpers[index]:
            more += ["--identity", f"keys{index}/primary.key"]
        for other in helpers[index]:
            more += ["--secondary", f"127.0.0.1:{self.fronts[other]}#{self.pin}"]
        return Server(f"s{index}", self.command(index, more), self.work)

    def start(self):
        for server in self.servers:
            server.start()

    def url(self, index, name):
        return f"kwik://127.0.0.1:{self.fronts[index]}/{name}"

    def end(self):
        for process in [*self.servers, *([self.links] if self.links else [])]:
            process.end()
