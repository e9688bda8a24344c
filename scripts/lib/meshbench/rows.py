"""What a run is, and its figures: interleaved rounds of several cases, as a table and as JSON."""

import json
import os
import platform
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass, field

NOISY = 0.15  # spread of the quartiles over the median beyond which a row is marked: shared machines swing by this


@dataclass(frozen=True)
class Size:
    """How much one figure measures."""

    packets: int  # test runs
    seconds: float  # of sending
    exchanges: int  # of a ping-pong


FULL = Size(packets=1 << 20, seconds=1.0, exchanges=4000)
# Shows that everything works, and no figure; packets enough for each of 64 Ki flows.
SMALL = Size(packets=1 << 17, seconds=0.1, exchanges=100)


@dataclass(frozen=True)
class Run:
    """What every group is asked for. say(text) tells where it is."""

    bin_dir: str
    rounds: int
    uplink_mode: str
    size: Size
    say: object


@dataclass
class Row:
    """One case. values: one figure per round. peer: the row that the ratio compares with."""

    name: str
    unit: str
    peer: str = ""
    lower_is_better: bool = True
    values: list = field(default_factory=list)

    def best(self):
        return (min if self.lower_is_better else max)(self.values)

    def median(self):
        return statistics.median(self.values)

    def noisy(self):
        if len(self.values) < 4:
            return False
        low, _, high = statistics.quantiles(self.values, n=4)
        return high - low > NOISY * self.median()


def interleave(cases, run):
    """cases: [(Row, measure)]; every round measures each case once, so that a slow moment meets them all."""
    for number in range(run.rounds):
        for row, measure in cases:
            run.say(f"round {number + 1}/{run.rounds}: {row.name}")
            row.values.append(measure())
    return [row for row, _ in cases]


def ratio(row, rows):
    """Median of the ratios of the same round: what a swing of the machine leaves alone."""
    peer = next((other for other in rows if other.name == row.peer), None)
    if peer is None or len(peer.values) != len(row.values):
        return None
    return statistics.median(own / other for own, other in zip(row.values, peer.values))


def table(title, rows):
    lines = [title, f"  {'case':<46} {'best':>12} {'median':>12} {'unit':<6} {'ratio':>7}  to"]
    for row in rows:
        compared = ratio(row, rows)
        shown = f"{compared:7.2f}  {row.peer}" if compared is not None else f"{'':7}"
        lines.append(f"  {row.name:<46} {row.best():>12.2f} {row.median():>12.2f} {row.unit:<6} {shown}"
                     + ("  (noisy)" if row.noisy() else ""))
    return "\n".join(lines)


def save(group, rows, source_dir, directory):
    """GROUP.json in the directory; returns the path."""
    commit = subprocess.run(["git", "-C", source_dir, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    result = {
        "group": group,
        "commit": commit,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "rows": [{**asdict(row), "best": row.best(), "median": row.median(), "ratio": ratio(row, rows),
                  "noisy": row.noisy()} for row in rows],
    }
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"{group}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    return path
