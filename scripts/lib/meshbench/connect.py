"""What a virtual IP costs: connect() to it and to the address behind it in turn, from one process, by UDP, so that no
packet and no other host has a part in it."""

import contextlib
import json

from . import hosts, rows, wires
from .cgroup import own_cgroup

PORT = 7000
EXCHANGES = 5  # connections for each exchange of a ping-pong


def measure(run):
    with contextlib.ExitStack() as stack:
        run.say("building the mesh")
        cgroup = stack.enter_context(own_cgroup())
        mesh = hosts.Hosts(stack, bare=run.uplink_mode == "xdp")
        hosts.join_by_mesh(mesh, run.bin_dir, run.uplink_mode, (), cgroup.path)
        command = [*cgroup.enter, *wires.pinned(run.cpus()[0], *wires.inside(
            mesh.containers["ping"], f"{run.bin_dir}/mesh-pingpong", "connect", f"{hosts.VIP}:{PORT}",
            f"{hosts.address('pong')}:{PORT}", "--count", str(EXCHANGES * run.size.exchanges)))]
        by_vip, by_address = rows.Row("connect() by VIP", "us"), rows.Row("connect() by address", "us")
        for number in range(run.rounds):
            run.say(f"round {number + 1}/{run.rounds}")
            vip, address = json.loads(wires.run(*command))["p50_us"]
            by_vip.values.append(vip)
            by_address.values.append(address)
        # From the best of the other: a disturbed one would make the difference smaller.
        more = [value - by_address.best() for value in by_vip.values]
        return [by_vip, by_address, rows.Row("VIP minus address", "us", {}, 0.5, values=more)]
