"""60-byte UDP through one host, one CPU sending, generator included: through the entry host (plain routing, nftables and
iptables DNAT + masquerade, the mesh in both modes), and into a container of the backend's host (the kernel's VXLAN device
and bridge, the mesh in both modes). Then TCP, for the peer that has no UDP: connections for one message each, by DNAT, by
HAProxy, and by the mesh.

    generator ── a0  b0 ── host under test ── b1  c0 ── sink (counts)
    generator ── a0  b0 ── host under test ── mv0  eth0 of a container (counts)
"""

import contextlib
import json
import subprocess

from . import haproxy, hosts, rows, wires
from .conversations import PORT as TCP_PORT
from .conversations import Conversations

PORT = 8010
SETTLE_S = 5
CLIENT, HOST_A, HOST_B, SINK = "10.9.0.1", "10.9.0.2", "10.9.1.1", "10.9.1.2"
INNER_CLIENT, CONTAINER, INGRESS, CONTAINER_MAC = "10.8.0.1", "10.1.0.5", "10.0.0.5", "02:42:0a:00:00:05"
CONNECTIONS, PROXIED = "connections: nftables DNAT + masquerade, bridges, VXLAN", "connections: HAProxy (TCP), bridges, VXLAN"
NFT, BRIDGE = "entry: nftables DNAT + masquerade", "backend: kernel VXLAN device + bridge"


class Path:
    """A generator and the host under test, for one case."""

    def __init__(self, stack, run):
        self.frames = f"{run.bin_dir}/mesh-frames"
        self.cpu = run.cpus()[0]
        self.seconds = run.size.seconds
        self.net = net = stack.enter_context(wires.Wires())
        self.client, self.host, self.sink = (net.namespace(name) for name in ("client", "host", "sink"))
        net.veth(self.client, "a0", f"{CLIENT}/24", self.host, "b0", f"{HOST_A}/24")
        wires.run("ip", "-n", self.client, "route", "add", "default", "via", HOST_A)
        wires.run(*wires.inside(self.host, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        wires.run(*wires.inside(self.client, "ping", "-c1", "-q", "-W2", HOST_A))
        self.next_hop, self.own = net.mac(self.host, "b0"), net.mac(self.client, "a0")

    def packets_per_second(self, destination, count, tunnel=()):
        """Thousands that arrive at the sink while one CPU sends. count: what it counts, and where."""
        counter = subprocess.Popen(
            wires.inside(self.sink, self.frames, "count", *count, "--seconds", str(SETTLE_S + self.seconds)),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if counter.stderr.readline().strip() != "ready":
                raise RuntimeError("the sink did not start: " + counter.stderr.read())
            sent = json.loads(wires.run(*wires.inside(
                self.client, self.frames, "send", "--interface", "a0", "--source", CLIENT, "--destination", destination,
                "--next-hop", self.next_hop, "--own", self.own, "--port", str(PORT), "--seconds", str(self.seconds),
                "--cpu", str(self.cpu), *tunnel)))
            counter.terminate()
            counted = json.loads(counter.communicate(timeout=SETTLE_S)[0])["counted"]
        finally:
            if counter.poll() is None:
                counter.kill()
                counter.communicate()
        if counted == 0:
            raise RuntimeError(f"nothing arrived of {sent['sent']} frames to {destination}")
        return counted / sent["seconds"] / 1000


class EntryPath(Path):
    """With another wire to the sink, which counts what leaves the host."""

    def __init__(self, stack, run):
        super().__init__(stack, run)
        self.net.veth(self.host, "b1", f"{HOST_B}/24", self.sink, "c0", f"{SINK}/24")
        wires.run("ip", "-n", self.sink, "route", "add", "default", "via", HOST_B)
        wires.run(*wires.inside(self.client, "ping", "-c1", "-q", "-W2", SINK))

    def measure(self, destination, port):
        return lambda: self.packets_per_second(destination, ("--interface", "c0", "--port", str(port)))

    def description(self, mode):
        return {
            "Self": 1, "Mode": mode, "Uplinks": ["b0", "b1"],
            "Nodes": [{"Number": 1, "Address": HOST_A},
                      {"Number": 2, "Address": SINK, "Uplink": "b1", "Source": HOST_B,
                       "NextHop": self.net.mac(self.sink, "c0")}],
            "Ports": [{"Protocol": "udp", "Port": PORT, "Backends": [{"Node": 2, "Binding": 1}]}],
        }


class BackendPath(Path):
    """With a container, which counts what comes into it; the generator is an entry host."""

    def __init__(self, stack, run):
        super().__init__(stack, run)
        hosts.plug(self.host, "mv0", self.sink, CONTAINER_MAC)

    def measure(self, inner_destination, *tunnel):
        return lambda: self.packets_per_second(
            HOST_A, ("--interface", "eth0", "--port", str(PORT), "--tc"),
            ("--inner-source", INNER_CLIENT, "--inner-destination", inner_destination, *tunnel))

    def description(self, mode):
        binding = {"Index": 1, "Protocol": "udp", "Published": PORT, "Target": PORT}
        return {
            "Self": 1, "Mode": mode, "Uplinks": ["b0"],
            "Nodes": [{"Number": 1, "Address": HOST_A},
                      {"Number": 2, "Address": CLIENT, "Uplink": "b0", "Source": HOST_A, "NextHop": self.own}],
            "Ports": [{"Protocol": "udp", "Port": PORT, "Backends": [{"Node": 1, "Binding": 1}]}],
            "Endpoints": [{"Task": "sink", "Node": 1, "Ingress": INGRESS, "Address": CONTAINER, "Interface": "mv0",
                           "Namespace": f"/run/netns/{self.sink}", "Bindings": [binding]}],
        }


def _nftables(path):
    wires.run(*wires.inside(path.host, "nft", "-f", "-"), input=f"""
        table ip bench {{
            chain before {{
                type nat hook prerouting priority dstnat
                ip daddr {HOST_A} udp dport {PORT} dnat to {SINK}:{PORT}
            }}
            chain after {{
                type nat hook postrouting priority srcnat
                oifname "b1" masquerade
            }}
        }}""")


def _iptables(path):
    for rule in (("PREROUTING", "-d", HOST_A, "-p", "udp", "--dport", str(PORT), "-j", "DNAT", "--to-destination",
                  f"{SINK}:{PORT}"), ("POSTROUTING", "-o", "b1", "-j", "MASQUERADE")):
        wires.run(*wires.inside(path.host, "iptables", "-t", "nat", "-A", *rule))


def _row(name, **more):
    return rows.Row(name, "kpps", lower_is_better=False, **more)


def _entry_cases(stack, run):
    routed, nft, iptables = (EntryPath(stack, run) for _ in range(3))
    _nftables(nft)
    _iptables(iptables)
    yield _row("entry: plain routing"), routed.measure(SINK, PORT)
    yield _row(NFT), nft.measure(HOST_A, PORT)
    yield _row("entry: iptables DNAT + masquerade"), iptables.measure(HOST_A, PORT)
    for mode, limit in (("tc", 1.4), ("xdp", 3.0)):
        path = EntryPath(stack, run)
        stack.enter_context(hosts.static(run.bin_dir, path.host, path.description(mode)))
        yield _row(f"entry: mesh, {mode}", peers={NFT: limit}), path.measure(HOST_A, hosts.TUNNEL_PORT)


def _backend_cases(stack, run):
    bridged = BackendPath(stack, run)
    hosts.bridge(bridged.host, HOST_A, CLIENT, ["mv0"])
    yield _row(BRIDGE), bridged.measure(CONTAINER, "--tunnel-to", CONTAINER_MAC)
    for mode, limit in (("tc", 1.5), ("xdp", None)):
        path = BackendPath(stack, run)
        stack.enter_context(hosts.static(run.bin_dir, path.host, path.description(mode)))
        yield _row(f"backend: mesh, {mode}", peers={BRIDGE: limit}), path.measure(HOST_A, "--tunnel-binding", "1")


def _connection_cases(stack, run):
    talk = Conversations(run, stack)
    published = [("tcp", TCP_PORT, "pong")]
    classic, mesh = hosts.Hosts(stack), hosts.Hosts(stack)
    hosts.join_by_bridges(classic, published)
    hosts.join_by_mesh(mesh, run.bin_dir, "tc", published)
    yield (rows.Row(CONNECTIONS, "k/s", lower_is_better=False),
           talk.visit(classic.client, classic.containers["pong"], hosts.HOST1_CLIENT))
    peers, note = {CONNECTIONS: None}, haproxy.MISSING
    for end in talk.through_haproxy(classic):
        peers, note = {**peers, PROXIED: None}, ""
        yield rows.Row(PROXIED, "k/s", {CONNECTIONS: None}, lower_is_better=False), talk.visit(*end)
    yield (rows.Row("connections: mesh, tc", "k/s", peers, lower_is_better=False, note=note),
           talk.visit(mesh.client, mesh.containers["pong"], hosts.HOST1))


def measure(run):
    with contextlib.ExitStack() as stack:
        run.say("building the paths")
        cases = [*_entry_cases(stack, run), *_backend_cases(stack, run), *_connection_cases(stack, run)]
        return rows.interleave(cases, run)
