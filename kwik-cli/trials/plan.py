"""What is done to whom in a round of chaos, from a seed alone."""

import dataclasses
import random

GET = "get"
# Seconds from the start of a round in which faults begin. A download without any takes about two.
SPAN = 3.0
# Seconds between two faults, on the average.
MEAN = 0.5
# Longest that a victim is dead or stopped.
LONGEST = 1.5


@dataclasses.dataclass(frozen=True)
class Fault:
    """`kill`, `term` or `stop` at a victim, which is started again or goes on `away` seconds later."""

    at: float
    victim: str
    kind: str
    away: float

    def __str__(self):
        return f"{self.kind} {self.victim}"


def plan(seed, number, servers):
    """The faults of a round, in order."""
    dice = random.Random(f"{seed}/{number}")
    faults, at = [], dice.uniform(0.1, 2 * MEAN)
    while at < SPAN:
        victim = dice.choice([*servers, GET])
        kind = dice.choice(["kill", "term", "stop"])
        faults.append(Fault(at, victim, kind, dice.uniform(0.05, LONGEST)))
        at += dice.expovariate(1 / MEAN)
    return faults


def content(seed, number, size):
    """The bytes of a round's file."""
    return random.Random(f"content {seed}/{number}").randbytes(size)
