"""Bulk TCP between containers on two hosts, in tc mode: whether large segments stay in one piece on the underlay, and the
throughput beside the kernel's bridges and VXLAN device. Gbit/s swing on a shared machine; bytes per packet do not."""

import contextlib
import json

from . import hosts, rows, wires

PORT = 7000
KB = 1000


def _connected(stack, run, net):
    """A measurement of one path: (Gbit/s, kB per underlay packet)."""
    tool = f"{run.bin_dir}/mesh-pingpong"
    sending, taking = run.cpus()
    bulk = wires.pinned(sending, *wires.inside(net.containers["ping"], tool, "bulk", f"{hosts.address('pong')}:{PORT}"))
    take = wires.pinned(taking, *wires.inside(net.containers["pong"], tool, "take", str(PORT)))
    stack.enter_context(hosts.serving(take, [*bulk, "--seconds", "0.01"]))

    def measure():
        packets, sent = net.underlay()
        found = json.loads(wires.run(*bulk, "--seconds", str(run.size.seconds)))
        packets_after, sent_after = net.underlay()
        return found["bytes"] * 8 / found["seconds"] / 1e9, (sent_after - sent) / (packets_after - packets) / KB
    return measure


def measure(run):
    with contextlib.ExitStack() as stack:
        run.say("building the bridges and the mesh")
        bridged, mesh = hosts.Hosts(stack), hosts.Hosts(stack)
        hosts.join_by_bridges(bridged)
        hosts.join_by_mesh(mesh, run.bin_dir, "tc")
        paths = (("mesh, tc", _connected(stack, run, mesh)), ("kernel VXLAN device", _connected(stack, run, bridged)))
        peers = {"kernel VXLAN device, throughput": 1.0}
        speed = {name: rows.Row(f"{name}, throughput", "Gb/s", peers if name == "mesh, tc" else {}, None, False)
                 for name, _ in paths}
        size = {name: rows.Row(f"{name}, bytes per underlay packet", "kB", {}, 10 if name == "mesh, tc" else None, False)
                for name, _ in paths}
        for number in range(run.rounds):
            for name, path in paths:
                run.say(f"round {number + 1}/{run.rounds}: {name}")
                gigabits, kilobytes = path()
                speed[name].values.append(gigabits)
                size[name].values.append(kilobytes)
        return [*size.values(), *speed.values()]
