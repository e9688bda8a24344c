"""Names and virtual IPs inside the cluster, as three resolvers, dig and applications see them."""

import os
import re
import socket
import subprocess

import harness
from cluster import ClusterTest

RESOLVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "resolver.py")
DNS = "127.0.0.11"

# FAMILY ADDRESS CONNECTED: one datagram to mesh-echo; prints who answered, and the number and sequence it sent back.
ASKER = """
import socket, sys
s = socket.socket(getattr(socket, sys.argv[1]), socket.SOCK_DGRAM); s.settimeout(5)
if sys.argv[3]: s.connect((sys.argv[2], 9000)); s.send(b"7 1\\n")
else: s.sendto(b"7 1\\n", (sys.argv[2], 9000))
data, sender = s.recvfrom(2000)
print(*sender[:2], *data.decode().split()[3:5])
"""

# ADDRESS: 20 datagrams of one socket that is not connected; each answer is awaited.
SENDER = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
for i in range(20):
    s.sendto(f"7 {i}\\n".encode(), (sys.argv[1], 9000))
    s.recvfrom(2000)
"""

# ADDRESS: a datagram of one connected socket a moment, until input ends; prints who answered each, or what the error was.
CONNECTED = """
import errno, select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1); s.connect((sys.argv[1], 9000))
number = 0
while not select.select([sys.stdin], [], [], 0.1)[0]:
    number += 1
    try:
        s.send(f"7 {number}\\n".encode())
        while True:
            answer = s.recv(2000).decode().split()
            if int(answer[4]) == number: break
        print(number, "answer", answer[0], s.getpeername()[0], flush=True)
    except TimeoutError: print(number, "lost", flush=True)
    except OSError as error: print(number, errno.errorcode[error.errno], flush=True)
"""

# ADDRESS: how a connection to it and a datagram end, with a time limit far above what it should take.
REFUSED = """
import errno, socket, sys
def name(call):
    try: call()
    except TimeoutError: return "timeout"
    except OSError as error: return errno.errorcode[error.errno]
    return "done"
tcp = socket.socket(); tcp.settimeout(5)
print(name(lambda: tcp.connect((sys.argv[1], 80))))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.settimeout(5); udp.connect((sys.argv[1], 80)); udp.send(b"x" * 40)
print(name(lambda: udp.recv(10)))
"""


class TestNames(ClusterTest):
    @classmethod
    def deploy(cls, cluster):
        cluster.lab.daemon("client", "/usr/bin/python3", "-B", RESOLVER, harness.CLIENT_V4)
        cluster.create_network("backend")
        cluster.create_network("elsewhere")
        network = ("--network", "backend")
        cluster.create_service("iotd", "iotd", options=(*network, "--replicas", "3"), running=3)
        cluster.create_service("tools", "mesh-tools", options=(*network, "--replicas", "3"), running=3)
        cluster.create_service("stranger", "mesh-tools", options=("--network", "elsewhere"), running=1)

    def setUp(self):
        self.tools = self.cluster.running("tools")
        self.vip = self.cluster.vip_of("iotd", "backend")

    def dig(self, task, *arguments):
        return self.cluster.beside(task, "dig", f"@{DNS}", "+tries=1", "+time=3", *arguments).stdout

    def short(self, task, *arguments):
        return sorted(self.dig(task, "+short", *arguments).split())

    def addresses_of(self, service):
        return sorted(self.cluster.address_on(task, "backend") for task in self.cluster.running(service))

    def test_service_name_is_its_virtual_ip_on_every_host(self):
        self.assertEqual(len({self.cluster.host_of(task) for task in self.tools}), 3, "one asker on each host")
        for task in self.tools:
            self.assertEqual(self.short(task, "iotd"), [self.vip])
            self.assertEqual(self.short(task, "+tcp", "iotd"), [self.vip])

    def test_tasks_name_lists_every_task(self):
        for task in self.tools:
            self.assertEqual(self.short(task, "tasks.iotd"), self.addresses_of("iotd"))

    def test_c_libraries_and_busybox_resolve(self):
        for task in self.tools:
            for program in ("resolve-glibc", "resolve-musl"):
                self.assertIn(self.vip, self.cluster.inside(task, program, "iotd").stdout, program)
            self.assertIn(self.vip, self.cluster.inside(task, "nslookup", "iotd").stdout)
            self.assertIn(DNS, self.cluster.inside(task, "cat", "/etc/resolv.conf").stdout)

    def test_record_types(self):
        task = self.tools[0]
        empty = self.dig(task, "iotd", "AAAA")
        self.assertIn("status: NOERROR", empty)
        self.assertIn("ANSWER: 0", empty)
        self.assertIn("status: NXDOMAIN", self.dig(task, "nobody"))
        with_edns = self.dig(task, "+bufsize=1232", "iotd")
        self.assertIn("EDNS: version: 0", with_edns)
        address = self.addresses_of("iotd")[0]
        self.assertRegex(self.dig(task, "+short", "-x", address), r"^iotd\.\d+\.")
        self.assertRegex(self.dig(task, "+short", "-x", self.vip), r"^iotd\.")

    def test_other_names_come_from_the_hosts_resolver(self):
        for task in self.tools:
            self.assertEqual(self.short(task, "world.test"), [harness.addresses.WORLD_V4])
            self.assertEqual(self.short(task, "+tcp", "world.test"), [harness.addresses.WORLD_V4])
            self.assertIn("NXDOMAIN", self.dig(task, "nowhere.test"))

    def test_names_stay_within_their_networks(self):
        stranger = self.cluster.running("stranger")[0]
        for name in ("iotd", "tasks.iotd", "tools"):
            self.assertEqual(self.short(stranger, name), [], name)
        self.assertEqual(self.short(self.tools[0], "stranger"), [])

    def test_virtual_ip_balances_and_answers_ping(self):
        for task in self.tools:
            script = "for i in $(seq 40); do wget -q -O - http://iotd/image | grep -o '\"task\":\"[^\"]*\"'; done | sort -u"
            self.assertEqual(len(self.cluster.inside(task, "sh", "-c", script).stdout.split()), 3)
            ping = self.cluster.beside(task, "ping", "-c", "2", "-i", "0.2", "-W", "2", self.vip)
            self.assertIn("2 received", ping.stdout)

    def test_v4_mapped_sockets_reach_the_virtual_ip(self):
        program = ("import socket; s = socket.create_connection(('::ffff:" + self.vip + "', 80), 5); "
                   "s.sendall(b'GET /healthz HTTP/1.0\\r\\n\\r\\n'); print(s.recv(64), s.getpeername()[0])")
        output = self.cluster.beside(self.tools[0], "/usr/bin/python3", "-c", program).stdout
        self.assertIn("200", output)
        self.assertIn(f"::ffff:{self.vip}", output, "the peer is who was asked for")

    def test_datagrams_reach_the_virtual_ip(self):
        """Connected and not, by IPv4 sockets and v4-mapped ones: the answer comes from the address that was asked."""
        self.create_service("echo", "mesh-tools", "/usr/bin/mesh-echo", "9000", options=("--network", "backend"), running=1)
        vip = self.cluster.vip_of("echo", "backend")
        for task in self.tools:
            for family, address in (("AF_INET", vip), ("AF_INET6", f"::ffff:{vip}")):
                for connected in (True, False):
                    output = self.cluster.beside(task, "/usr/bin/python3", "-c", ASKER, family, address,
                                                 "connected" if connected else "").stdout
                    self.assertEqual(output.split(), [address, "9000", "7", "1"], f"connected: {connected}")

    def test_datagrams_of_a_socket_that_is_not_connected_go_to_one_task(self):
        self.create_service("echoes", "mesh-tools", "/usr/bin/mesh-echo", "9000",
                            options=("--network", "backend", "--replicas", "3"), running=3)
        vip = self.cluster.vip_of("echoes", "backend")

        def received():
            return [self.datagrams_received(task) for task in self.cluster.running("echoes")]

        used = set()
        for _ in range(12):
            before = received()
            self.cluster.beside(self.tools[0], "/usr/bin/python3", "-c", SENDER, vip)
            grown = [after - one for one, after in zip(before, received())]
            self.assertEqual(sorted(grown), [0, 0, 20], "all of one socket's datagrams reached one task")
            used.add(grown.index(20))
        self.assertGreater(len(used), 1, "sockets are spread")

    def test_a_connected_datagram_socket_outlives_who_it_was_connected_to(self):
        """Twice all tasks are replaced: the same socket is answered by the new ones, as if by the address it asked."""
        self.create_service("lasting", "mesh-tools", "/usr/bin/mesh-echo", "9000",
                            options=("--network", "backend", "--replicas", "3"), running=3)
        vip = self.cluster.vip_of("lasting", "backend")
        clients = [self.cluster.start_beside(task, "/usr/bin/python3", "-u", "-c", CONNECTED, vip, stdin=subprocess.PIPE)
                   for task in self.tools]
        for client in clients:
            self.addCleanup(client.wait, 30)
            self.addCleanup(client.stdin.close)
        for _ in range(2):
            unwanted = {self.instance(task) for task in self.cluster.running("lasting")} | {""}
            self.lab.meshctl("node1", "service", "update", "--force", "lasting", timeout=120)
            for client in clients:
                harness.wait_for(lambda c=client: self.answers_of(c).isdisjoint(unwanted), 30, "only answers of new tasks")
        for client in clients:
            client.stdin.close()
            self.assertEqual([line for line in client.stdout if f" {vip}\n" not in line], [])

    def instance(self, task):
        """As mesh-echo calls itself, without what is random in it."""
        return self.cluster.inside(task, "hostname").stdout.strip()

    def answers_of(self, client):
        """Who gave the next ten answers, or failed to: "" for one that was lost."""
        lines = [client.stdout.readline().split() for _ in range(10)]
        self.assertNotIn([], lines, "the client has ended")
        return {line[2].rsplit("-", 1)[0] if line[1] == "answer" else "" for line in lines}

    def datagrams_received(self, task):
        names, values = re.findall(r"(?m)^Udp: (.*)$", self.cluster.inside(task, "cat", "/proc/net/snmp").stdout)
        return int(values.split()[names.split().index("InDatagrams")])

    def test_an_address_that_nobody_has_is_refused_at_once(self):
        unused = self.vip.rsplit(".", 1)[0] + ".250"
        self.assertEqual(self.cluster.beside(self.tools[0], "/usr/bin/python3", "-c", REFUSED, unused).stdout.split(),
                         ["EHOSTUNREACH", "ECONNREFUSED"])

    def test_answers_too_long_for_a_datagram(self):
        """RFC 1035 4.2.1, RFC 6891: cut off and marked, then whole by TCP or in a larger datagram."""
        self.create_service("many", "mesh-tools", options=("--network", "backend", "--replicas", "40"), running=40)
        expected = self.addresses_of("many")
        for task in self.tools:
            harness.wait_for(lambda t=task: self.short(t, "+tcp", "tasks.many") == expected, 5, "all addresses by TCP")
            cut = self.dig(task, "+noedns", "+ignore", "tasks.many")
            self.assertRegex(cut, r"flags:[a-z ]* tc[ ;]")
            self.assertLessEqual(int(re.search(r"MSG SIZE  rcvd: (\d+)", cut).group(1)), 512)
            self.assertNotIn("(TCP)", cut)
            followed = self.dig(task, "+noedns", "tasks.many")
            self.assertIn("Truncated, retrying in TCP mode", followed)
            self.assertIn("ANSWER: 40", followed)
            large = self.dig(task, "+bufsize=1232", "+ignore", "tasks.many")
            self.assertNotRegex(large, r"flags:[a-z ]* tc[ ;]")
            self.assertIn("ANSWER: 40", large)

    def test_scaling_changes_the_answers(self):
        self.create_service("changing", "mesh-tools", options=("--network", "backend", "--replicas", "1"), running=1)
        for count in (4, 2):
            self.lab.meshctl("node1", "service", "scale", "-d", f"changing={count}")
            self.cluster.wait_running("changing", count)
            for task in self.tools:
                harness.wait_for(lambda t=task: self.short(t, "tasks.changing") == self.addresses_of("changing"), 5,
                                 f"{count} addresses, as {self.cluster.host_of(task)} answers")
        # A name that is the cluster's own is not asked of the world while it has no address.
        self.lab.meshctl("node1", "service", "scale", "-d", "changing=0")
        for task in self.tools:
            harness.wait_for(lambda t=task: not self.short(t, "tasks.changing"), 5, "no address")
            empty = self.dig(task, "tasks.changing")
            self.assertIn("status: NOERROR", empty)
            self.assertIn("ANSWER: 0", empty)

    def test_aliases(self):
        self.create_service("named", "mesh-tools", options=("--network", "name=backend,alias=db"), running=1)
        vip = self.cluster.vip_of("named", "backend")
        for task in self.tools:
            harness.wait_for(lambda t=task: self.short(t, "db") == [vip], 5, "the alias")
            self.assertEqual(self.short(task, "named"), [vip])

    def test_names_go_on_while_meshd_is_dead(self):
        task = self.tools[0]
        host = self.cluster.host_of(task)
        pid = str(task["Status"]["ContainerStatus"]["PID"])
        # Queries without pause until the file appears; prints what failed and how many were asked.
        script = (f"n=0; until [ -e /run/enough ]; do n=$((n+1)); a=$(dig @{DNS} +short +tries=1 +time=1 iotd); "
                  f"[ \"$a\" = {self.vip} ] || echo failed: $a; done; echo asked $n")
        self.addCleanup(self.lab.run, host, "rm", "-f", "/run/enough")
        asking = self.lab.start(host, "nsenter", "-t", pid, "-n", "--", "sh", "-c", script)
        expected = self.addresses_of("iotd")  # asked before: the host may be the manager's
        for action in ("kill", "start", "restart"):
            self.lab.verb("meshd", action, host)
            # Nothing asks the manager meanwhile: it may be the host that is dead.
            answer = self.lab.run(host, "nsenter", "-t", pid, "-n", "--", "dig", f"@{DNS}", "+tries=1", "+time=3", "+short",
                                  "tasks.iotd").stdout
            self.assertEqual(sorted(answer.split()), expected)
        self.lab.run(host, "touch", "/run/enough")
        output, _ = asking.communicate(timeout=20)
        self.assertNotIn("failed", output)
        self.assertGreater(int(re.search(r"asked (\d+)", output).group(1)), 10)


class TestWayOut(ClusterTest):
    """Containers reach the world through their own host, unless their network is internal."""

    @classmethod
    def deploy(cls, cluster):
        cluster.create_network("open")
        cluster.create_network("closed", "--internal")
        cluster.create_service("out", "mesh-tools", options=("--network", "open", "--replicas", "3"), running=3)
        cluster.create_service("in", "mesh-tools", options=("--network", "closed", "--replicas", "3"), running=3)

    def setUp(self):
        echo = self.lab.daemon("client", os.path.join(harness.BIN_DIR, "mesh-echo"), "9100")
        self.addCleanup(self.lab.run, "client", "kill", echo)
        harness.wait_for(lambda: ":9100" in self.lab.run("client", "ss", "-Hltn").stdout, 10, "the world listens")

    def ask(self, task, address, timeout_s=3):
        """The address that the world saw, "" without an answer."""
        program = ("import socket, sys\ntry: s = socket.create_connection((sys.argv[1], 9100), float(sys.argv[2]))\nexcept OSError: "
                   "sys.exit()\ns.sendall(b'1 1\\n'); print(s.recv(200).split()[1].decode())")
        return self.cluster.beside(task, "/usr/bin/python3", "-c", program, address, str(timeout_s)).stdout.strip()

    def test_the_world_sees_the_host(self):
        for task in self.cluster.running("out"):
            host = self.cluster.host_of(task)
            self.assertEqual(self.ask(task, harness.addresses.WORLD_V4), self.lab.address(host))
            self.assertEqual(self.ask(task, harness.addresses.WORLD_V6),
                             socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6,
                                                                                self.lab.address(host, 6))))

    def count_arrivals(self):
        """Counts everything for the echo's port that reaches the client, whatever its source; returns the reader."""
        self.lab.run("client", "nft", "add table inet arrivals; add chain inet arrivals before { type filter hook prerouting "
                     "priority raw; }; add rule inet arrivals before tcp dport 9100 counter")
        self.addCleanup(self.lab.run, "client", "nft", "delete table inet arrivals")
        return lambda: int(re.search(r"counter packets (\d+)", self.lab.run("client", "nft", "list table inet arrivals").stdout)
                           .group(1))

    def test_an_internal_network_has_no_way_out(self):
        arrivals = self.count_arrivals()
        for task in self.cluster.running("in"):
            host = self.cluster.host_of(task)
            before = self.cluster.drops(host)["internal"]
            for address in (harness.addresses.WORLD_V4, harness.addresses.WORLD_V6, harness.CLIENT_V4):
                self.assertEqual(self.ask(task, address, timeout_s=0.4), "")
            self.assertGreaterEqual(self.cluster.drops(host)["internal"] - before, 2, f"two of them over IPv4, on {host}")
        self.assertEqual(arrivals(), 0, "no packet may leave, not even one whose answer would find no way back")
        seen = 0
        for task in self.cluster.running("out"):
            for address in (harness.addresses.WORLD_V4, harness.addresses.WORLD_V6, harness.CLIENT_V4):
                self.assertNotEqual(self.ask(task, address), "")
                self.assertGreater(arrivals(), seen, "what does leave is counted")
                seen = arrivals()
        one, other = self.cluster.running("in")[:2]
        reached = self.cluster.inside(one, "ping", "-c", "1", "-W", "3", self.cluster.address_on(other, "closed"))
        self.assertIn("1 packets received", reached.stdout)


if __name__ == "__main__":
    harness.main()
