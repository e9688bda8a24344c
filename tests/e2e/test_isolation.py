"""Containers of one network reach each other on every host; containers of different networks never do."""

import re

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

# Prints who connects, and from where; ends with its standard input.
ACCEPTOR = """
import select, socket, sys
s = socket.create_server(("", 9401)); print("listening", flush=True)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready: print(s.accept()[1][0], flush=True)
    elif not sys.stdin.read(1): break
"""

# Says whether SOURCE ("" for any) gets through to DESTINATION.
CONNECTOR = """
import socket, sys
try: socket.create_connection((sys.argv[2], 9401), 0.4, (sys.argv[1], 0)).close(); print("through")
except TimeoutError: print("not through")
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
        cluster.create_separate_networks("red", "blue")

    def setUp(self):
        self.red = self.cluster.running("red")
        self.blue = self.cluster.running("blue")

    def pings(self, task, address, *options):
        ping = self.cluster.beside(task, "ping", "-c", "1", "-W", "0.3", *options, address, check=False)
        return ping.returncode == 0

    def echoes_at(self, tasks):
        """Echo requests that have arrived at each task, whether or not their replies found a way back."""

        def count(task):
            head, values = [line.split() for line in self.cluster.beside(task, "cat", "/proc/net/snmp").stdout.splitlines()
                            if line.startswith("Icmp:")]
            return int(values[head.index("InEchos")])

        return [count(task) for task in tasks]

    def assert_dropped(self, task, reason, before, least=1):
        """The host of the sender counted at least so many packets since `before`, which its drops() gave."""
        host = self.cluster.host_of(task)
        grown = {key: count - before[key] for key, count in self.cluster.drops(host).items() if count != before[key]}
        self.assertGreaterEqual(grown.get(reason, 0), least, f"{reason} on {host}: {grown}")

    def drops_of(self, task):
        return self.cluster.drops(self.cluster.host_of(task))

    def listen(self, task, program):
        """One of the programs above beside a task, once it listens."""
        listener = self.cluster.start_beside(task, "/usr/bin/python3", "-c", program, stdin=harness.PIPE)
        self.assertEqual(listener.stdout.readline(), "listening\n")
        return listener

    def test_one_network_spans_all_hosts(self):
        self.assertEqual(len({self.cluster.host_of(task) for task in self.red}), 3)
        for one in self.red:
            for other in self.red:
                self.assertTrue(self.pings(one, self.cluster.address_on(other, "red")),
                                f"{self.cluster.host_of(one)} to {self.cluster.host_of(other)}")

    def test_other_networks_are_out_of_reach(self):
        addresses = [self.cluster.address_on(other, "blue") for other in self.blue]
        arrived = self.echoes_at(self.blue)
        for one in self.red:
            before = self.drops_of(one)
            source = self.cluster.address_on(one, "red")
            for address in addresses:
                for options in ((), ("-I", source)):
                    self.assertFalse(self.pings(one, address, *options), f"{source} to {address}")
            self.assert_dropped(one, "isolated", before, 2 * len(addresses))
        self.assertEqual(self.echoes_at(self.blue), arrived, "no request may arrive, be it answered or not")
        before = self.drops_of(self.red[0])
        vip = self.cluster.vip_of("blue", "blue")
        self.assertFalse(self.pings(self.red[0], vip))
        self.assert_dropped(self.red[0], "isolated", before)
        # The same from a friend, or the above shows nothing.
        for address in addresses:
            self.assertTrue(self.pings(self.blue[0], address))
        self.assertEqual(self.echoes_at(self.blue), [count + 1 for count in arrived])
        self.assertTrue(self.pings(self.blue[0], vip))

    def connect(self, task, source, address):
        return self.cluster.beside(task, "/usr/bin/python3", "-c", CONNECTOR, source, address).stdout

    def test_ingress_addresses_lead_nowhere(self):
        """Every task has one for its published ports; it is no way around the networks."""
        one = self.red[0]
        before = self.drops_of(one)
        for other in self.blue:
            listener = self.listen(other, ACCEPTOR)
            shown = self.cluster.beside(other, "ip", "-o", "-4", "addr", "show", "eth0").stdout
            address = re.search(r"inet (10\.0\.\d+\.\d+)/", shown).group(1)
            for source in ("", self.cluster.address_on(one, "red")):
                self.assertEqual(self.connect(one, source, address), "not through\n", source)
            self.assertEqual(self.connect(other, "", address), "through\n", "the task itself gets through")
            self.assertEqual(listener.stdout.readline(), address + "\n", "and nobody did before it")
            listener.stdin.close()
        self.assert_dropped(one, "isolated", before, 2 * len(self.blue))

    def test_a_false_source_address_is_dropped(self):
        """A container with an address of another network, or of a neighbour in its own, gains nothing."""
        task = self.red[0]
        for victims, network in ((self.blue, "blue"), (self.red[1:], "red")):
            owner = victims[-1]
            stolen = self.cluster.address_on(owner, network)
            self.cluster.beside(task, "ip", "address", "add", f"{stolen}/32", "dev", "eth0")
            self.addCleanup(self.cluster.beside, task, "ip", "address", "del", f"{stolen}/32", "dev", "eth0", check=False)
            before, arrived = self.drops_of(task), self.echoes_at(victims)
            # Not the owner's own address: the thief would be talking to itself.
            targets = [self.cluster.address_on(victim, network) for victim in victims[:-1]]
            for target in targets:
                self.pings(task, target, "-I", stolen)
            self.assertEqual(self.echoes_at(victims), arrived, f"from {stolen} in {network}")
            self.assert_dropped(task, "spoofed", before, len(targets))
            self.cluster.beside(task, "ip", "address", "del", f"{stolen}/32", "dev", "eth0")
            for target in targets:
                self.assertTrue(self.pings(owner, target, "-I", stolen), "the owner gets through")
            self.assertEqual(self.echoes_at(victims[:-1]), [count + 1 for count in arrived[:-1]])

    def test_a_strangers_vxlan_is_dropped_and_counted(self):
        victim, friend = self.red[0], self.red[1]
        host = self.cluster.host_of(victim)
        address = self.cluster.address_on(victim, "red")
        listener = self.listen(victim, LISTENER)
        before = self.cluster.drops(host)
        for vni in range(4096, 4102):
            self.lab.run("client", "/usr/bin/python3", "-c", FORGER, self.lab.address(host), str(vni),
                         self.cluster.address_on(friend, "red"), address, "forged")
        send = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'real', (sys.argv[1], 9400))"
        self.cluster.beside(friend, "/usr/bin/python3", "-c", send, address)
        self.assertEqual(listener.stdout.readline(), "real\n", "the friend's datagram is the first that arrives")
        self.assert_dropped(victim, "stranger", before, 3)  # the mesh has three of these networks: red, blue, ingress


if __name__ == "__main__":
    harness.main()
