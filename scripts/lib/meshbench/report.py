"""docs/PERFORMANCE.md from the JSON of a run."""

import os

from . import results
from .rows import MIB

HEAD = """# Performance

Made by `scripts/bench report` from the latest figures of each group; do not edit it by hand.

Figures are the best of {rounds} or more interleaved rounds, ratios those of the best figures of one run. They compare,
they do not promise: on a shared machine everything but the best of a row is noise. The targets are ratios and
nanoseconds on one machine, so they hold for machines like it. *met*, *missed*: the targets beside it; *noisy*: the
machine did not repeat its best figures, so that nothing follows from the row.

Measured on: {machine}.
"""

TAIL = """
## Repeating it

```
sudo scripts/setup && scripts/build
sudo scripts/bench all            # or packet, forward, latency, overlay, connect, scale, start
sudo scripts/bench ipvs           # in a virtual machine, whose kernel has IPVS: minutes
sudo scripts/bench all --check    # ends with 1 where a row misses its target, with 3 where the machine was too noisy
sudo scripts/bench report         # this page
```

Each run leaves `bench/results/GROUP.json` with every single figure and `bench/results/GROUP.svg`, a bar chart. Nothing
else should run: every row says whether its best figure was reached again, and `--rounds 15` gives a busy machine more
chances. Two CPUs are enough; both ends of a conversation are pinned.

How the nanoseconds are measured: `bench/harness.bpf.c` writes the packet anew for each test run, changes the flow, and
calls the program; the same with an empty program is subtracted, and so is making room for the next packet. What the
floor is: `bench/floor.bpf.c`, the least that a stateless balancer must do.

## On real network cards

The lab's wires are veth pairs, where XDP copies each packet of ordinary sockets; a card does not. With two machines, A
(sends) and B (a host of a cluster, or `mesh-static` with a description as `bench/mesh_static.cpp` shows):

```
B: ethtool -L eth0 combined 1     # one queue, so that one CPU's figure is measured; then all of them
B: mesh-static --pin-dir /sys/fs/bpf/bench mesh.json           # "Mode": "xdp" or "tc"
C: mesh-pktgen --sink 8010                                     # in the service's container, at the backend's host
A: mesh-pktgen --target B:8010 --flows 65536                   # sent, answered, loss, latency; --tcp-syn for any service
```

`mesh-pktgen --mode live-frames` needs a driver that takes redirected frames, `af_packet` works everywhere, and a build with
`-DMESH_WITH_DPDK=ON` (`sudo scripts/setup --with-dpdk`) has `af_xdp` and whole cards: `--mode dpdk --device 0000:01:00.0`.
To count what B forwards, without answers: `mesh-frames send` at A and `mesh-frames count --port 4789` at the backend's host.

For the peer, stop mesh-static, put the rules of `scripts/lib/meshbench/forward.py` on B, and count the published port.
Interleave the two, five times or more, and compare the best.
"""


def _machine(measured):
    one = measured[0]
    return f"Linux {one['kernel'].split('-')[0]}, {one['machine']}, {one['cpus']} CPUs (a shared virtual machine, veth)"


def _section(measured):
    lines = [f"\n## {measured['group']}: {measured['title']}\n",
             "| case | best | median | unit | target | ratio to a peer | |", "|---|---:|---:|---|---|---|---|"]
    for row in measured["rows"]:
        for cells in results.cells(row):
            lines.append("| " + " | ".join(cells) + " |")
    notes = [f"- {row['name']}: {row['note']}" for row in measured["rows"] if row["note"]]
    lines.append(f"\nCommit {measured['commit']}, {measured['time']}, {measured['rounds']} rounds, load average "
                 f"{measured['load']:.1f} at the end (the measurement's own part is one or two).")
    noise = results.noise(measured)
    if noise:
        lines.append(f"Noise: {noise}.")
    if notes:
        lines += ["", *notes]
    return "\n".join(lines) + "\n"


def _sizes(sizes):
    lines = ["\n## Sizes\n", "Machine code, instructions that the verifier visited, and memory of all tables that a program "
             "uses (programs share tables).\n", "| program | JIT bytes | instructions | tables, MiB |", "|---|---:|---:|---:|"]
    for name, one in sizes.items():
        lines.append(f"| {name} | {one['jit']} | {one['instructions']} | {one['maps'] / MIB:.1f} |")
    return "\n".join(lines) + "\n"


def document(measured, sizes):
    """measured: of the groups that there are, in order."""
    text = HEAD.format(rounds=min(one["rounds"] for one in measured), machine=_machine(measured))
    return text + "".join(_section(one) for one in measured) + (_sizes(sizes) if sizes else "") + TAIL


def save(measured, sizes, source_dir):
    path = os.path.join(source_dir, "docs", "PERFORMANCE.md")
    with open(path, "w", encoding="utf-8") as file:
        file.write(document(measured, sizes))
    return path
