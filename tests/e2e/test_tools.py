"""The load tools themselves, on bare hosts: what mesh-load must notice, it notices."""

import os
import re

import harness

ECHO = os.path.join(harness.BIN_DIR, "mesh-echo")

# Answers every line as if it were the next connection's: a mesh that mixes up its flows.
CROSSING = """
import socketserver
class Crossing(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            number, sequence = map(int, line.split())
            self.wfile.write(f"one {self.client_address[0]} {self.client_address[1]} {number + 1} {sequence} more\\n".encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", 9001), Crossing).serve_forever()
"""


class TestTools(harness.LabTest):
    options = ("--no-meshd",)
    nodes = 3

    def start_echo(self, host, *arguments):
        self.lab.daemon(host, ECHO, *arguments)
        port = int(arguments[0]) if arguments else 9000
        self.wait_for_listener(host, port)

    def wait_for_listener(self, host, port):
        harness.wait_for(lambda: f":{port}" in self.lab.run(host, "ss", "-Hltn").stdout, 10, f"{host} listens on {port}")

    def end_echo(self, host, signal):
        self.lab.run(host, "pkill", f"-{signal}", "-x", "mesh-echo")
        harness.wait_for(lambda: not self.lab.run(host, "pgrep", "-x", "mesh-echo", check=False).stdout, 10,
                         f"mesh-echo on {host} is gone")

    def targets(self, port=9000, family=4):
        return [f"{harness.host_literal(self.lab.address(host, family))}:{port}" for host in self.lab.node_names()]

    def test_nine_thousand_connections_on_shared_ports(self):
        for host in self.lab.node_names():
            self.start_echo(host)
        load = harness.Load(self.lab, "echo", self.targets(), "-n", "9000", "--first-port", "20000")
        first = load.report()
        last = load.stop()
        self.assertEqual((first["opened"], first["open"]), (9000, 9000), first)
        self.assertEqual(sorted(first["backends"].values()), [3000, 3000, 3000])
        for name in ("refused", "unreachable", "broken", "crossed", "closed", "wrong_address", "other_port"):
            self.assertEqual(last[name], 0, last)
        self.assertEqual(last["sent"], last["verified"])
        self.assertGreaterEqual(last["verified"], 9000)
        for host in self.lab.node_names():
            self.end_echo(host, "TERM")

    def test_polite_end_is_no_failure_and_a_crash_is_one(self):
        self.start_echo("node1", "9002")
        target = [f"{self.lab.address('node1')}:9002"]
        load = harness.Load(self.lab, "echo", target, "-n", "50", "--interval-ms", "5")
        self.assertEqual(load.report()["opened"], 50)
        self.end_echo("node1", "TERM")
        last = load.stop()
        self.assertEqual((last["closed"], last["broken"]), (50, 0), last)

        self.start_echo("node1", "9002")
        load = harness.Load(self.lab, "echo", target, "-n", "50", "--interval-ms", "1")
        load.report()
        self.lab.run("node1", "sh", "-c", "kill -STOP $(pgrep -x mesh-echo)")
        # ss: state, bytes that wait to be read, …
        harness.wait_for(lambda: re.search(r"(?m)^ESTAB +[1-9]", self.lab.run("node1", "ss", "-Htn").stdout), 10,
                         "requests wait at the stopped server")
        self.end_echo("node1", "KILL")
        last = load.stop()
        self.assertGreater(last["broken"], 0, last)
        self.assertTrue(last["failures"])

    def test_refused_connections_are_counted(self):
        load = harness.Load(self.lab, "echo", [f"{self.lab.address('node2')}:9009"], "-n", "7")
        load.report()
        last = load.stop()
        self.assertEqual((last["refused"], last["opened"]), (7, 0), last)

    def test_crossed_answers_are_noticed(self):
        self.lab.start("node2", "/usr/bin/python3", "-c", CROSSING)
        self.wait_for_listener("node2", 9001)
        load = harness.Load(self.lab, "echo", [f"{self.lab.address('node2')}:9001"], "-n", "3")
        load.report()
        last = load.stop()
        self.assertEqual(last["crossed"], 3, last)

    def test_datagrams_both_families(self):
        self.start_echo("node3", "9003")
        for family in (4, 6):
            target = [f"{harness.host_literal(self.lab.address('node3', family))}:9003"]
            load = harness.Load(self.lab, "echo", target, "--udp", "-n", "20", "--interval-ms", "10")
            self.assertEqual(load.report()["opened"], 20)
            last = load.stop()
            self.assertEqual((last["crossed"], last["lost"], last["wrong_address"], last["moved"]), (0, 0, 0, 0), last)
        self.end_echo("node3", "TERM")

    def test_pages(self):
        self.lab.run("node3", "mkdir", "-p", "/run/www")
        self.lab.run("node3", "sh", "-c", "echo welcome >/run/www/index.html")
        self.lab.start("node3", "busybox", "httpd", "-f", "-p", "8090", "-h", "/run/www")
        self.wait_for_listener("node3", 8090)
        target = [f"{self.lab.address('node3')}:8090"]
        load = harness.Load(self.lab, "http", target, "-n", "8", "--interval-ms", "1", "--expect", "welcome")
        self.assertEqual(load.report()["failed"], 0)
        last = load.stop()
        self.assertEqual(last["failed"], 0, last)
        self.assertEqual(last["backends"], {self.lab.address("node3"): last["requests"]})
        for options, reason in ((["--expect", "goodbye"], "lacks the expected text"), (["--path", "/no"], "status")):
            last = harness.Load(self.lab, "http", target, "-n", "2", "--interval-ms", "1", "--duration-ms", "50",
                                *options).stop()
            self.assertEqual(last["failed"], last["requests"], last)
            self.assertIn(reason, last["failures"][0])


if __name__ == "__main__":
    harness.main()
