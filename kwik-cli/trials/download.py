"""A `kwik get` that is run again until it is done, and what it kept from run to run."""

import json

from fleet import Failed, Process

# Of what was durable when a run ended, the next may fetch so much again.
AGAIN = 0.01
# Longest that a run may take to end once it was asked to.
LEAVES = 10


# What the record's name is, after the output's, and how long its slots are.
RECORD, SLOT = ".part.kwik", 4 << 10


def parse(slot):
    """A slot of the record, or None."""
    try:
        magic, version, _check, text = slot.decode().split(" ", 3)
        return json.loads(text) if (magic, version) == ("kwik-part", "1") else None
    except ValueError:
        return None


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
        self.excused = self.checked = False
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
            if not self.checked:
                self.check(self.report["resumed_at"])
            self.checked = True
            return True
        if not self.excused:
            raise Failed(f"get ended with {code}; see {self.process.log}")
        return False

    def failed(self):
        """Whether it has ended without success, though nobody told it to."""
        return self.process.child.poll() not in (None, 0) and not self.excused

    def keep(self):
        """Notes how much is durable now that a run is over: never much less than before."""
        if self.output.exists():
            # It was killed when the file was in its place, before it could say so.
            self.durable = 0
            return
        found = self.recorded()
        self.check(found)
        self.durable = max(self.durable, found)

    def check(self, found):
        lost = max(0, self.durable - found)
        self.again += lost
        if lost > AGAIN * self.durable:
            raise Failed(f"{self.durable} bytes were durable, and then {found}")

    def recorded(self):
        """The durable prefix in the record beside the part file; 0 if there is none.

        The newer of two slots; see kwik-cli/src/record.rs. One that was cut off is no JSON.
        """
        try:
            content = self.output.with_name(self.output.name + RECORD).read_bytes()
        except FileNotFoundError:
            return 0
        slots = [slot for at in (0, SLOT) if (slot := parse(content[at : at + SLOT]))]
        return max(slots, key=lambda slot: slot["writes"])["durable"] if slots else 0

    def last_object(self):
        text = (self.process.work / "get.out").read_text()
        return json.loads(text.splitlines()[-1])
