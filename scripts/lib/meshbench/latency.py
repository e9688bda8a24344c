"""64-byte ping-pong over TCP, p50: through the mesh, between containers, by VIP; beside a direct veth, and beside what
bridges, VXLAN devices, and DNAT or HAProxy make of the same wires."""

import contextlib

from . import haproxy, hosts, rows, wires
from .cgroup import own_cgroup
from .conversations import DSR_PORT, PORT, Conversations

VETH = "direct veth"
CLASSIC = "published port, classic mesh (DNAT, bridges, VXLAN)"
PROXIED = "published port, HAProxy (TCP), bridges, VXLAN"
BRIDGED = "containers on two hosts, bridge-VXLAN-bridge"
ACROSS = "containers on two hosts, mesh"


def _direct(stack):
    net = stack.enter_context(wires.Wires())
    one, other = net.namespace("a"), net.namespace("b")
    net.veth(one, "a0", "192.0.2.1/24", other, "b0", "192.0.2.2/24")
    return one, other


def measure(run):
    published = [("tcp", PORT, "pong"), ("tcp", DSR_PORT, "pong", "dsr")]
    with contextlib.ExitStack() as stack:
        talk = Conversations(run, stack)
        one, other = _direct(stack)
        run.say("building the classic mesh")
        classic = hosts.Hosts(stack)
        hosts.join_by_bridges(classic, published[:1])
        run.say("building the mesh")
        cgroup = stack.enter_context(own_cgroup())
        mesh = hosts.Hosts(stack, bare=run.uplink_mode == "xdp")
        hosts.join_by_mesh(mesh, run.bin_dir, run.uplink_mode, published, cgroup.path)
        ping, near, pong = (mesh.containers[name] for name in ("ping", "near", "pong"))

        mode = run.uplink_mode
        proxied = [(rows.Row(PROXIED, "us", {VETH: None}), talk.ask(*end)) for end in talk.through_haproxy(classic)]
        tunnel = rows.Row(f"published port, mesh ({mode})", "us",
                          {VETH: 1.35 if mode == "tc" else None, CLASSIC: 0.70} | {row.name: None for row, _ in proxied},
                          note="" if proxied else haproxy.MISSING)
        dsr = rows.Row(f"published port, mesh ({mode}), dsr", "us",
                       {VETH: 1.25 if mode == "tc" else None, tunnel.name: None})
        return rows.interleave([
            (rows.Row(VETH, "us"), talk.ask(one, other, "192.0.2.2")),
            (rows.Row(CLASSIC, "us", {VETH: None}), talk.ask(classic.client, classic.containers["pong"],
                                                            hosts.HOST1_CLIENT)),
            *proxied,
            (tunnel, talk.ask(mesh.client, pong, hosts.HOST1)),
            (dsr, talk.ask(mesh.client, pong, hosts.HOST1, port=DSR_PORT)),
            (rows.Row(BRIDGED, "us", {VETH: None}),
             talk.ask(classic.containers["ping"], classic.containers["pong"], hosts.address("pong"))),
            (rows.Row(ACROSS, "us", {VETH: 1.25, BRIDGED: 0.75}), talk.ask(ping, pong, hosts.address("pong"))),
            (rows.Row("containers on one host, mesh", "us", {VETH: 1.10}),
             talk.ask(ping, near, hosts.address("near"))),
            (rows.Row("containers on two hosts, by VIP", "us", {ACROSS: 1.03}),
             talk.ask(ping, pong, hosts.VIP, prefix=cgroup.enter)),
        ], run)
