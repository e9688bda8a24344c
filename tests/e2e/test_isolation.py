"""Containers of one network reach each other on every host; containers of different networks never do."""

import os

import harness
from cluster import ClusterTest

# Listens for datagrams and prints each; ends with its standard input.
LISTENER = """
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9400)); print("listening", flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready: print(s.recv(100).decode(), flush=True)
    elif not sys.stdin.read(1): break
"""

# VXLAN with an inner UDP datagram, made by hand: OUTER VNI SOURCE DESTINATION TEXT.
FORGER = """
import socket, struct, sys
outer, vni, source, destination, text = sys.argv[1:]
text = text.encode()
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
udp = struct.pack("!HHHH", 5353, 9400, 8 + len(text), 0) + text
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source),
                 socket.inet_aton(destination))
ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
mac = lambda address: b"\\x02\\x42" + socket.inet_aton(address)
frame = mac(destination) + mac(source) + b"\\x08\\x00" + ip + udp
vxlan = struct.pack("!II", 0x08000000, int(vni) << 8) + frame
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(vxlan, (outer, 4789))
"""


class TestIsolation(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        for network in ("red", "blue"):
            cluster.create_network(network)
            cluster.create_service(network, "mesh-tools", options=("--network", network, "--replicas", "3"), running=3)

    def setUp(self):
        self.red = self.cluster.running("red")
        self.blue = self.cluster.running("blue")

    def pings(self, task, address):
        return self.cluster.inside(task, "ping", "-c", "1", "-W", "1", address, check=False).returncode == 0

    def connects(self, task, address, port):
        return self.cluster.inside(task, "nc", "-w", "2", "-z", address, str(port), check=False).returncode == 0

    def test_one_network_spans_all_hosts(self):
        self.assertEqual(len({self.cluster.host_of(task) for task in self.red}), 3)
        for one in self.red:
            for other in self.red:
                self.assertTrue(self.pings(one, self.cluster.address_on(other, "red")),
                                f"{self.cluster.host_of(one)} to {self.cluster.host_of(other)}")

    def test_other_networks_are_out_of_reach(self):
        for one in self.red:
            for other in self.blue:
                address = self.cluster.address_on(other, "blue")
                self.assertFalse(self.pings(one, address),
                                 f"red on {self.cluster.host_of(one)} reached blue on {self.cluster.host_of(other)}")
        self.assertFalse(self.pings(self.red[0], self.cluster.vip_of("blue", "blue")))

    def test_ingress_addresses_lead_nowhere(self):
        """Every task has one for its published ports; it is no way around the networks."""
        for other in self.blue:
            self.cluster.beside(other, "sh", "-c", "busybox nc -l -p 9401 >/dev/null 2>&1 </dev/null &")
            address = self.cluster.beside(other, "sh", "-c", "ip -o -4 addr show eth0 | grep -o '10\\.0\\.[0-9.]*'").stdout
            self.assertTrue(address.split(), "the task has an ingress address")
            self.assertFalse(self.connects(self.red[0], address.split()[0], 9401))

    def test_a_false_source_address_is_dropped(self):
        """A container with an address of another network gains nothing."""
        task, victim = self.red[0], self.blue[0]
        stolen = self.cluster.address_on(self.blue[1], "blue")
        self.cluster.beside(task, "ip", "address", "add", f"{stolen}/32", "dev", "eth0")
        self.addCleanup(self.cluster.beside, task, "ip", "address", "del", f"{stolen}/32", "dev", "eth0")
        ping = self.cluster.beside(task, "ping", "-c", "1", "-W", "1", "-I", stolen,
                                   self.cluster.address_on(victim, "blue"), check=False)
        self.assertNotEqual(ping.returncode, 0, ping.stdout)

    def test_a_strangers_vxlan_is_dropped_and_counted(self):
        victim, friend = self.red[0], self.red[1]
        host = self.cluster.host_of(victim)
        address = self.cluster.address_on(victim, "red")
        pid = str(victim["Status"]["ContainerStatus"]["PID"])
        listener = self.lab.start(host, "nsenter", "-t", pid, "-n", "--", "/usr/bin/python3", "-c", LISTENER,
                                  stdin=harness.PIPE)
        self.assertEqual(listener.stdout.readline(), "listening\n")
        for vni in range(4096, 4102):
            self.lab.run("client", "/usr/bin/python3", "-c", FORGER, self.lab.address(host), str(vni),
                         self.cluster.address_on(friend, "red"), address, "forged")
        send = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'real', (sys.argv[1], 9400))"
        self.cluster.beside(friend, "/usr/bin/python3", "-c", send, address)
        self.assertEqual(listener.stdout.readline(), "real\n", "the friend's datagram is the first that arrives")
        drops = self.lab.meshctl(host, "dataplane", "drops")
        self.assertRegex(drops, r"(?m)^\s*stranger\b.*\s[1-9]\d*$")


if __name__ == "__main__":
    harness.main()
