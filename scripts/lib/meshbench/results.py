"""A group's figures as a table and as JSON; bench/results/GROUP.json is what charts and documents are made from."""

import json
import os
import platform
import subprocess
import time

from . import rows as figures


def _number(value):
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}"


def _limit(row, limit):
    return "" if limit is None else f"{'≤' if row['lower_is_better'] else '≥'} {_number(limit)}"


def result(group, title, rows, source_dir):
    """What is kept of a run: nothing that names the machine."""
    commit = subprocess.run(["git", "-C", source_dir, "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            check=False).stdout.strip()
    kept = []
    for row in rows:
        verdict = figures.judge(row, rows)
        kept.append({
            "name": row.name, "unit": row.unit, "values": row.values, "best": row.best(), "median": row.median(),
            "lower_is_better": row.lower_is_better, "limit": row.limit, "noisy": row.noisy(), "mark": verdict.mark,
            "note": row.note,
            "peers": [{"name": name, "ratio": verdict.ratios.get(name), "limit": limit}
                      for name, limit in row.peers.items()],
        })
    return {
        "group": group, "title": title, "commit": commit, "time": time.strftime("%Y-%m-%d", time.gmtime()),
        "kernel": platform.release(), "machine": platform.machine(), "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],  # of the last minute: the measurement's own part is one or two
        "rounds": max((len(row.values) for row in rows), default=0), "rows": kept,
    }


def cells(row):
    """[(case, best, median, unit, target, ratio to, mark)]: one line for the row, one more for each further peer."""
    lines = []
    for i, peer in enumerate(row["peers"] or [None]):
        compared = ""
        if peer and peer["ratio"] is not None:
            asked = _limit(row, peer["limit"])
            compared = f"{peer['ratio']:.2f}{f' ({asked})' if asked else ''} to {peer['name']}"
        first = i == 0
        lines.append((row["name"] if first else "", _number(row["best"]) if first else "",
                      _number(row["median"]) if first else "", row["unit"] if first else "",
                      _limit(row, row["limit"]) if first else "", compared, row["mark"] if first else ""))
    return lines


def table(measured):
    width = max(len(row["name"]) for row in measured["rows"])
    lines = [measured["title"],
             f"  {'case':<{width}} {'best':>10} {'median':>10} {'unit':<5} {'target':>9}  {'':<6}  ratio to"]
    for row in measured["rows"]:
        for name, best, median, unit, target, compared, mark in cells(row):
            lines.append(f"  {name:<{width}} {best:>10} {median:>10} {unit:<5} {target:>9}  {mark:<6}  {compared}".rstrip())
        if row["note"]:
            lines.append(f"    {row['note']}")
    return "\n".join(lines)


def noise(measured):
    """A sentence about the machine, or nothing to say."""
    rows = measured["rows"]
    if measured["rounds"] < figures.ROUNDS_MIN:
        return f"{measured['rounds']} rounds prove nothing; at least {figures.ROUNDS_MIN} are needed (--rounds)"
    noisy = [row["name"] for row in rows if row["noisy"]]
    uncertain = [row["name"] for row in rows if row["mark"] == figures.UNCERTAIN]
    if not noisy:
        return ""
    text = f"{len(noisy)} of {len(rows)} rows did not repeat their best within {figures.NOISY:.0%}"
    if uncertain:
        text += f"; the machine was too noisy to judge {', '.join(uncertain)}: run it again when nothing else runs"
    return text


def save(measured, directory):
    """GROUP.json in the directory; returns the path."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, f"{measured['group']}.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(measured, file, indent=2, ensure_ascii=False)
        file.write("\n")
    return path


def load(group, directory):
    """None if the group was not measured."""
    path = os.path.join(directory, f"{group}.json")
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)
