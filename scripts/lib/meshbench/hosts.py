"""Two hosts, a client, and containers on them, made of network namespaces: joined by the mesh without a cluster
(mesh-static), or in the classic way by the kernel's bridge, VXLAN device and nftables.

    client e0 ── c0  host1  u1 ── u2  host2  c1 ── e1 client
                     ping, near       pong      containers: eth0 inside, NAME on the host

The client sends by e0; by e1 come the answers that host2 gives directly (dsr).
"""

import contextlib
import json
import os
import subprocess
import tempfile

from meshlab.waiting import wait_until

from . import wires

CLIENT, HOST1_CLIENT, HOST1, HOST2 = "10.9.0.1", "10.9.0.2", "10.9.1.1", "10.9.1.2"
CLIENT_DIRECT, HOST2_CLIENT = "10.9.2.1", "10.9.2.2"
GATEWAY, VIP = "10.0.0.1", "10.1.0.2"
VNI, TUNNEL_PORT = "4096", 4789
MTU = "1450"  # of containers: an Ethernet's 1500 without the tunnel's headers
READY_S = 10
CONTAINERS = {"ping": (1, 5), "near": (1, 6), "pong": (2, 7)}  # host, last byte of both addresses


def address(name):
    return f"10.1.0.{CONTAINERS[name][1]}"


def ingress(name):
    return f"10.0.0.{CONTAINERS[name][1]}"


def _mac(name):
    """As dataplane/ makes it of the ingress address."""
    return f"02:42:0a:00:00:{CONTAINERS[name][1]:02x}"


def plug(host, name, inside, mac):
    """A container's wire: `name` on the host, eth0 inside."""
    wires.run("ip", "-n", host, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", inside)
    wires.run("ip", "-n", inside, "link", "set", "eth0", "address", mac)
    for namespace, interface in ((host, name), (inside, "eth0")):
        wires.run("ip", "-n", namespace, "link", "set", interface, "up", "mtu", MTU)
        wires.run(*wires.inside(namespace, "ethtool", "-K", interface, "gro", "on"))


def bridge(host, own, other, members):
    """A bridge br0 of the members and a VXLAN device to the other host."""
    wires.run("ip", "-n", host, "link", "add", "br0", "type", "bridge")
    wires.run("ip", "-n", host, "link", "add", "vx0", "type", "vxlan", "id", VNI, "local", own, "remote", other,
              "dstport", str(TUNNEL_PORT), "noudpcsum")
    wires.run("ip", "-n", host, "link", "set", "vx0", "mtu", MTU)
    for device in ("vx0", *members):
        wires.run("ip", "-n", host, "link", "set", device, "master", "br0")
    for device in ("vx0", "br0"):
        wires.run("ip", "-n", host, "link", "set", device, "up")


class Hosts:
    """The wires. bare: as a card's, without checksum and segmentation offload, which XDP programs need on veth."""

    def __init__(self, stack, bare=False):
        self.stack = stack
        self.net = net = stack.enter_context(wires.Wires())
        self.client, self.host1, self.host2 = (net.namespace(name) for name in ("client", "host1", "host2"))
        net.veth(self.client, "e0", f"{CLIENT}/24", self.host1, "c0", f"{HOST1_CLIENT}/24")
        net.veth(self.host1, "u1", f"{HOST1}/24", self.host2, "u2", f"{HOST2}/24")
        net.veth(self.client, "e1", f"{CLIENT_DIRECT}/24", self.host2, "c1", f"{HOST2_CLIENT}/24")
        ends = ((self.client, "e0"), (self.host1, "c0"), (self.host1, "u1"), (self.host2, "u2"), (self.client, "e1"),
                (self.host2, "c1"))
        for namespace, interface in ends if bare else ():
            wires.run(*wires.inside(namespace, "ethtool", "-K", interface, "tx", "off", "gso", "off", "tso", "off"))
        wires.run("ip", "-n", self.client, "route", "add", "default", "via", HOST1_CLIENT)
        wires.run("ip", "-n", self.host2, "route", "add", "default", "via", HOST1)
        wires.run("ip", "-n", self.host2, "route", "add", CLIENT, "via", CLIENT_DIRECT)
        for host in (self.host1, self.host2):
            wires.run(*wires.inside(host, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        # Neighbours know each other from here on.
        wires.run(*wires.inside(self.client, "ping", "-c1", "-q", "-W2", HOST1_CLIENT))
        wires.run(*wires.inside(self.host1, "ping", "-c1", "-q", "-W2", HOST2))
        wires.run(*wires.inside(self.host2, "ping", "-c1", "-q", "-W2", CLIENT_DIRECT))
        self.containers = {name: net.namespace(name) for name in CONTAINERS}
        for name, inside in self.containers.items():
            plug(self.host_of(name), name, inside, _mac(name))

    def host_of(self, name):
        return self.host1 if CONTAINERS[name][0] == 1 else self.host2

    def underlay(self):
        """(packets, bytes) that host1 has sent to host2."""
        base = "/sys/class/net/u1/statistics/tx_"
        text = wires.run(*wires.inside(self.host1, "cat", f"{base}packets", f"{base}bytes"))
        return tuple(int(word) for word in text.split())


def _endpoint(hosts, name, number, bindings):
    host = CONTAINERS[name][0]
    row = {"Task": name, "Node": host, "Ingress": ingress(name), "Address": address(name)}
    if host == number:
        row |= {"Interface": name, "Namespace": f"/run/netns/{hosts.containers[name]}", "Bindings": bindings}
    return row


def _description(hosts, number, mode, published):
    """What mesh-static is told on host `number`. published: [(protocol, port, container) or (…, "dsr")]."""
    mac = hosts.net.mac
    far = ({"Number": 2, "Address": HOST2, "Uplink": "u1", "Source": HOST1, "NextHop": mac(hosts.host2, "u2")}
           if number == 1 else
           {"Number": 1, "Address": HOST1, "Uplink": "u2", "Source": HOST2, "NextHop": mac(hosts.host1, "u1")})
    own = {"Number": number, "Address": HOST1 if number == 1 else HOST2}
    bindings = {name: [] for name in hosts.containers}
    ports = []
    for index, (protocol, port, name, *answers) in enumerate(published, 1):
        bindings[name].append({"Index": index, "Protocol": protocol, "Published": port, "Target": port})
        ports.append({"Protocol": protocol, "Port": port, "Return": "".join(answers) or "tunnel",
                      "Backends": [{"Node": CONTAINERS[name][0], "Binding": index}]})
    return {
        "Self": number, "Mode": mode, "Uplinks": ["c0", "u1"] if number == 1 else ["u2", "c1"], "Nodes": [own, far],
        "Ports": ports,
        "Endpoints": [_endpoint(hosts, name, number, bindings[name]) for name in hosts.containers],
        "VirtualIps": [{"Address": VIP, "Backends": [address("pong")]}],
    }


@contextlib.contextmanager
def static(bin_dir, host, description, cgroup=""):
    """mesh-static on a host, until the context ends."""
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "mesh.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(description, out)
        # A bpffs of its own in a private mount namespace: `ip netns exec` makes one, and its /sys is fresh. A cgroup
        # is given by its open directory, because that /sys has none.
        command = f"{bin_dir}/mesh-static --pin-dir /sys/fs/bpf/bench"
        descriptors = ()
        if cgroup:
            descriptor = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
            descriptors = (descriptor,)
            command += f" --cgroup-root /proc/self/fd/{descriptor}"
        process = subprocess.Popen(wires.inside(host, "sh", "-c", f"mount -t bpf bpf /sys/fs/bpf && exec {command} {file}"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, pass_fds=descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("mesh-static did not start: " + process.stderr.read())
            yield
        finally:
            process.terminate()
            process.communicate(timeout=READY_S)


def join_by_mesh(hosts, bin_dir, mode, published=(), cgroup=""):
    for name, inside in hosts.containers.items():
        for own in (ingress(name), address(name)):
            wires.run("ip", "-n", inside, "addr", "add", f"{own}/32", "dev", "eth0")
        wires.run("ip", "-n", inside, "route", "add", GATEWAY, "dev", "eth0", "src", address(name))
        wires.run("ip", "-n", inside, "route", "add", "default", "via", GATEWAY, "dev", "eth0", "src", address(name))
    for number, host in ((1, hosts.host1), (2, hosts.host2)):
        hosts.stack.enter_context(static(bin_dir, host, _description(hosts, number, mode, published),
                                         cgroup if number == 1 else ""))


def join_by_bridges(hosts, published=()):
    """A bridge and a VXLAN device per host; what is published, by DNAT and masquerade on host1."""
    for host, own, other, last in ((hosts.host1, HOST1, HOST2, 253), (hosts.host2, HOST2, HOST1, 254)):
        bridge(host, own, other, [name for name in hosts.containers if hosts.host_of(name) == host])
        wires.run("ip", "-n", host, "addr", "add", f"10.1.0.{last}/24", "dev", "br0")
    for name, inside in hosts.containers.items():
        wires.run("ip", "-n", inside, "addr", "add", f"{address(name)}/24", "dev", "eth0")
    rules = "\n".join(f"ip daddr {HOST1_CLIENT} {protocol} dport {port} dnat to {address(name)}:{port}"
                      for protocol, port, name in published)
    if rules:
        wires.run(*wires.inside(hosts.host1, "nft", "-f", "-"), input=f"""
            table ip bench {{
                chain before {{ type nat hook prerouting priority dstnat; {rules}
                }}
                chain after {{ type nat hook postrouting priority srcnat; oifname "br0" masquerade
                }}
            }}""")


@contextlib.contextmanager
def serving(command, probe):
    """A server process, ready when one probe succeeds."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def failed():
        return RuntimeError(f"no answer from `{' '.join(command)}` to `{' '.join(probe)}`")

    def answers():
        if process.poll() is not None:
            raise failed()
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0

    try:
        wait_until(answers, READY_S, failed)
        yield
    finally:
        process.terminate()
        process.wait()
