"""A `kwik get` that is run again until it is done, and what it kept from run to run."""

import json
import signal
import time

from fleet import Failed, Process

# Of what was durable when a run ended, the next may fetch so much again.
AGAIN = 0.01
# Longest that a run may take to end once it was asked to.
LEAVES = 10


class Download:
    """Runs of one `kwik get`."""

    def __init__(self, work, command, output):
        self.process = Process("get", command, work)
        self.output = output
        self.runs = 0
        # What the record said when the last run ended.
        self.durable = 0
        # Bytes of it that were fetched again, of all runs.
        self.again = 0
        # Until then it may end without success, for it was told to.
        self.excused = False
        self.report = None

    def start(self):
        self.runs += 1
        self.excused = False
        self.process.spawn(self.process.work / "get.out")

    def excuse(self):
        """The run is killed, or asked to end."""
        self.excused = True

    def done(self):
        """Whether it has succeeded; after an interruption, keeps what is durable and says no."""
        code = self.process.child.poll()
        if code is None:
            return False
        if code == 0:
            self.report = self.last_object()
            self.check(self.report["resumed_at"])
            return True
        if not self.excused:
            raise Failed(f"get ended with {code}; see {self.process.log}")
        return False

    def ended(self):
        return self.process.child.poll() is not None

    def keep(self):
        """Notes how much is durable now that a run is over: never much less than before."""
        found = self.recorded()
        self.check(found)
        self.durable = max(self.durable, found)

    def check(self, found):
        lost = max(0, self.durable - found)
        self.again += lost
        if lost > AGAIN * self.durable:
            raise Failed(f"{self.durable} bytes were durable, and then {found}")

    def recorded(self):
        """The durable prefix in the record beside the part file; 0 if there is none."""
        raise NotImplementedError

    def last_object(self):
        text = (self.process.work / "get.out").read_text()
        return json.loads(text.splitlines()[-1])
