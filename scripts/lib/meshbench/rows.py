"""What a run is, and its figures: interleaved rounds of several cases, judged beside their targets."""

import os
import statistics
from dataclasses import dataclass, field

# The best figure of a case is what the machine allows without disturbance, if it can be reached again: of five rounds or
# more the third best must be as near as this. Shared machines swing by far more.
NOISY = 0.10
ROUNDS_MIN = 5  # fewer prove nothing

MET, MISSED, UNCERTAIN = "met", "missed", "noisy"
MIB = 1 << 20


@dataclass(frozen=True)
class Size:
    """How much one figure measures."""

    packets: int  # test runs
    seconds: float  # of sending
    exchanges: int  # of a ping-pong, and connections
    services: int  # of the scale group


FULL = Size(packets=1 << 20, seconds=1.0, exchanges=4000, services=10000)
# Shows that everything works, and no figure; packets enough for each of 64 Ki flows.
SMALL = Size(packets=1 << 17, seconds=0.1, exchanges=100, services=100)


@dataclass(frozen=True)
class Run:
    """What every group is asked for. say(text) tells where it is."""

    bin_dir: str
    rounds: int
    uplink_mode: str
    size: Size
    say: object

    def cpus(self):
        """Two CPUs to pin to, for both ends of a conversation; the same one twice if there is no other."""
        usable = sorted(os.sched_getaffinity(0))
        return usable[-1], usable[-2 if len(usable) > 1 else -1]


@dataclass
class Row:
    """One case. values: one figure per round. limit: what the best of them must reach. peers: the rows that it is
    compared with, and the ratio that it must reach to each of them or None."""

    name: str
    unit: str
    peers: dict = field(default_factory=dict)
    limit: float = None
    lower_is_better: bool = True
    values: list = field(default_factory=list)
    note: str = ""
    proves: bool = True  # False: what the target is about could not be measured, which misses it

    def best(self):
        return (min if self.lower_is_better else max)(self.values)

    def median(self):
        return statistics.median(self.values)

    def noisy(self):
        if len(self.values) < ROUNDS_MIN:
            return True
        ordered = sorted(self.values, reverse=not self.lower_is_better)
        return abs(ordered[2] - ordered[0]) > NOISY * abs(ordered[0])

    def reaches(self, value, limit):
        return value <= limit if self.lower_is_better else value >= limit


def ratio(row, other):
    """Of the best figures of the same interleaved run."""
    return row.best() / other.best() if other.best() else None


@dataclass(frozen=True)
class Verdict:
    mark: str  # "" without any target
    ratios: dict  # peer -> ratio


def _mark(reached, doubtful_if_met, doubtful_if_missed):
    if reached:
        return UNCERTAIN if doubtful_if_met else MET
    return UNCERTAIN if doubtful_if_missed else MISSED


def judge(row, rows):
    """Beside its targets. Noise makes figures worse, never better: a row that reaches its limit has done so, and one that
    does not may have been kept from it. A peer that was kept from its best flatters the ratio to it."""
    peers = {other.name: other for other in rows if other.name in row.peers}
    ratios = {name: ratio(row, peer) for name, peer in peers.items()}
    marks = [] if row.proves else [MISSED]
    if row.limit is not None:
        marks.append(_mark(row.reaches(row.best(), row.limit), False, row.noisy()))
    for name, limit in row.peers.items():
        if limit is not None and ratios.get(name) is not None:
            marks.append(_mark(row.reaches(ratios[name], limit), peers[name].noisy(), row.noisy()))
    worst = next((mark for mark in (MISSED, UNCERTAIN, MET) if mark in marks), "")
    return Verdict(worst, ratios)


def interleave(cases, run):
    """cases: [(Row, measure)]; every round measures each case once, so that a slow moment meets them all."""
    for number in range(run.rounds):
        for row, measure in cases:
            run.say(f"round {number + 1}/{run.rounds}: {row.name}")
            row.values.append(measure())
    return [row for row, _ in cases]
