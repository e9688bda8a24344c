"""What changes cost with many services: an endpoint more or less, many at once, the start of a daemon that finds its
tables in the kernel."""

import json

from . import rows, wires

BACKENDS = 10
LISTED = 0.5  # MiB: smaller tables are not named


def measure(run):
    with wires.Wires() as net:
        run.say(f"{run.size.services} services of {BACKENDS} backends")
        tool = f"{run.bin_dir}/mesh-scale --pin-dir /sys/fs/bpf/bench --services {run.size.services}"
        script = f"mount -t bpf bpf /sys/fs/bpf && exec {tool} --backends {BACKENDS} --rounds {run.rounds}"
        found = json.loads(wires.run(*wires.inside(net.namespace("scale"), "sh", "-c", script)))
    held = found["services"]
    note = "" if held == run.size.services else (
        f"{run.size.services - held} of {run.size.services} services were refused: {found['refused']}")
    with_all = f"with {run.size.services:,} services x {BACKENDS}"
    sizes = {name: size / rows.MIB for name, size in found["maps"].items() if name != "mesh_flows"}
    tables = sum(sizes.values())

    def row(name, unit, limit, values):
        return rows.Row(name, unit, {}, limit, values=values, proves=not note)

    first = row(f"one endpoint changes, processor time, {with_all}", "ms", 1, found["change_ms"])
    first.note = note
    memory = row("tables but flows, endpoints included", "MiB", 16, [tables] * run.rounds)
    memory.note = "in MiB: " + ", ".join(
        f"{name} {size:.1f}" for name, size in sorted(sizes.items(), key=lambda one: -one[1]) if size >= LISTED)
    return [
        first,
        rows.Row("1,000 endpoints change in one go", "ms", values=found["batch_ms"]),
        rows.Row("everything compared with the kernel, processor time", "ms", values=found["full_ms"]),
        row("start that finds all in the kernel", "ms", 2000, found["start_ms"]),
        rows.Row("first fill of empty tables", "ms", values=[found["fill_ms"]] * run.rounds),
        memory,
        rows.Row("resident memory of the process", "MiB", values=[found["resident_bytes"] / rows.MIB] * run.rounds),
    ]
