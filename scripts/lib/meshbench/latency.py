"""64-byte ping-pong over TCP, p50: through the mesh, between containers, by VIP; beside a direct veth, and beside what
bridges, VXLAN devices and DNAT make of the same wires."""

import contextlib
import json

from . import hosts, rows, wires
from .cgroup import own_cgroup

PORT = 7000
VETH = "direct veth"
CLASSIC = "published port, classic mesh (DNAT, bridges, VXLAN)"
BRIDGED = "containers on two hosts, bridge-VXLAN-bridge"
ACROSS = "containers on two hosts, mesh"


class Conversations:
    """Servers and the commands that ask them. Both ends are pinned to one CPU: between two, waking the other up costs three
    times as much as all that is compared here."""

    def __init__(self, run, stack):
        self.run = run
        self.stack = stack
        self.tool = f"{run.bin_dir}/mesh-pingpong"
        self.cpu = run.cpus()[0]
        self.served = set()

    def serve(self, namespace, probe):
        if namespace in self.served:
            return
        self.served.add(namespace)
        command = wires.pinned(self.cpu, *wires.inside(namespace, self.tool, "serve", str(PORT)))
        self.stack.enter_context(hosts.serving(command, [*probe, "--count", "1"]))

    def ask(self, client, server, address, prefix=()):
        """A measurement: p50 in microseconds."""
        command = [*prefix, *wires.pinned(self.cpu, *wires.inside(client, self.tool, "ask", f"{address}:{PORT}"))]
        self.serve(server, command)
        return lambda: json.loads(wires.run(*command, "--count", str(self.run.size.exchanges)))["p50_us"]


def _direct(stack):
    net = stack.enter_context(wires.Wires())
    one, other = net.namespace("a"), net.namespace("b")
    net.veth(one, "a0", "192.0.2.1/24", other, "b0", "192.0.2.2/24")
    return one, other


def measure(run):
    published = [("tcp", PORT, "pong")]
    with contextlib.ExitStack() as stack:
        talk = Conversations(run, stack)
        one, other = _direct(stack)
        run.say("building the classic mesh")
        classic = hosts.Hosts(stack)
        hosts.join_by_bridges(classic, published)
        run.say("building the mesh")
        cgroup = stack.enter_context(own_cgroup())
        mesh = hosts.Hosts(stack, bare=run.uplink_mode == "xdp")
        hosts.join_by_mesh(mesh, run.bin_dir, run.uplink_mode, published, cgroup.path)
        ping, near, pong = (mesh.containers[name] for name in ("ping", "near", "pong"))

        mode = run.uplink_mode
        tunnel = rows.Row(f"published port, mesh ({mode})", "us",
                          {VETH: 1.35 if mode == "tc" else None, CLASSIC: 0.70})
        return rows.interleave([
            (rows.Row(VETH, "us"), talk.ask(one, other, "192.0.2.2")),
            (rows.Row(CLASSIC, "us", {VETH: None}), talk.ask(classic.client, classic.containers["pong"],
                                                            hosts.HOST1_CLIENT)),
            (tunnel, talk.ask(mesh.client, pong, hosts.HOST1)),
            (rows.Row(BRIDGED, "us", {VETH: None}),
             talk.ask(classic.containers["ping"], classic.containers["pong"], hosts.address("pong"))),
            (rows.Row(ACROSS, "us", {VETH: 1.25, BRIDGED: 0.75}), talk.ask(ping, pong, hosts.address("pong"))),
            (rows.Row("containers on one host, mesh", "us", {VETH: 1.10}),
             talk.ask(ping, near, hosts.address("near"))),
            (rows.Row("containers on two hosts, by VIP", "us", {ACROSS: 1.03}),
             talk.ask(ping, pong, hosts.VIP, cgroup.enter)),
        ], run)
