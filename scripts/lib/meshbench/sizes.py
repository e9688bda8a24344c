"""The programs' sizes beside those that were committed: a jump is a question that someone should answer."""

import json
import os
import platform

from .rows import MIB

GOLDEN = os.path.join("bench", "program_sizes.json")
JUMP = 0.10
ADVICE = ("If the growth is meant, say why in the commit and renew the file on the kernel that it names:  "
          "sudo scripts/bench sizes --update")
MEASURES = {"jit": "JIT bytes", "instructions": "verified instructions", "maps": "bytes of tables"}


def machine():
    """What sizes depend on: code and verification on the kernel, tables per CPU on their number."""
    return {"kernel": ".".join(platform.release().split(".")[:2]), "machine": platform.machine(), "cpus": os.cpu_count()}


def comparable(kept):
    """The measures that this machine can be asked about."""
    here, there = machine(), kept["machine"]
    same_code = (here["kernel"], here["machine"]) == (there["kernel"], there["machine"])
    return [*(["jit", "instructions"] if same_code else []), *(["maps"] if here["cpus"] == there["cpus"] else [])]


def jumps(kept, sizes, measures):
    """One line per program and measure that grew by more than a tenth, and per program that came or went."""
    lines = [f"{name}: not in {GOLDEN}" for name in sizes if name not in kept["programs"]]
    lines += [f"{name}: in {GOLDEN}, but there is no such program" for name in kept["programs"] if name not in sizes]
    for name, before in kept["programs"].items():
        for measure in measures if name in sizes else []:
            now = sizes[name][measure]
            if now > before[measure] * (1 + JUMP):
                lines.append(f"{name}: {MEASURES[measure]} grew from {before[measure]} to {now} "
                             f"({now / before[measure] - 1:+.0%})")
    return lines


def table(sizes):
    lines = [f"  {'program':<24} {'JIT bytes':>10} {'instructions':>13} {'tables, MiB':>12}"]
    for name, one in sizes.items():
        lines.append(f"  {name:<24} {one['jit']:>10} {one['instructions']:>13} {one['maps'] / MIB:>12.1f}")
    return "\n".join(lines)


def load(source_dir):
    with open(os.path.join(source_dir, GOLDEN), encoding="utf-8") as file:
        return json.load(file)


def save(sizes, source_dir):
    path = os.path.join(source_dir, GOLDEN)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), "programs": sizes}, file, indent=2)
        file.write("\n")
    return path
