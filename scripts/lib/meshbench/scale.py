"""What changes cost with many services: an endpoint more or less, many at once, the start of a daemon that finds its
tables in the kernel. Of the data plane alone, and of a whole host: from the manager's message to the kernel."""

import json
import tempfile

from . import rows, wires

BACKENDS = 10
LISTED = 0.5  # MiB: smaller tables are not named


def _run_tool(run, namespace, tool, *options):
    command = [f"{run.bin_dir}/{tool}", "--pin-dir", "/sys/fs/bpf/bench", "--services", str(run.size.services),
               "--backends", str(BACKENDS), "--rounds", str(run.rounds), *options]
    script = "mount -t bpf bpf /sys/fs/bpf && exec " + " ".join(command)
    return json.loads(wires.run(*wires.inside(namespace, "sh", "-c", script)))


def _measure_host(run, net):
    host, wire = net.namespace("tables"), net.namespace("wire")
    net.veth(host, "up0", "192.0.2.1/24", wire, "up1", "192.0.2.254/24")
    with tempfile.TemporaryDirectory(prefix="mesh-tables-") as directory:
        return _run_tool(run, host, "mesh-tables", "--dir", directory, "--uplink", "up0")


def measure(run):
    with wires.Wires() as net:
        run.say(f"{run.size.services} services of {BACKENDS} backends: the data plane")
        found = _run_tool(run, net.namespace("scale"), "mesh-scale")
        run.say(f"{run.size.services} services of {BACKENDS} backends: agent and data plane")
        host = _measure_host(run, net)
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
        row(f"one endpoint change, agent and data plane, processor time, {with_all}", "ms", 1, host["change_ms"]),
        rows.Row("1,000 changes that wait, agent and data plane", "ms", values=host["batch_ms"]),
        rows.Row("tables that came as a whole, agent and data plane", "ms", values=host["all_ms"]),
        row("start of agent and data plane that find all on the disk and in the kernel", "ms", 2000,
            host["start_ms"]),
        rows.Row("resident memory of agent and data plane", "MiB",
                 values=[host["resident_bytes"] / rows.MIB] * run.rounds),
    ]
