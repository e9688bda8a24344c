"""mesh-pktgen asks a published port of the mesh in each of its modes, and tells what came back. The rates are small: nothing
is said about how fast it is."""

import contextlib
import json
import subprocess
import unittest

import harness
from meshbench import hosts, wires

PKTGEN, PINGPONG = f"{harness.BIN_DIR}/mesh-pktgen", f"{harness.BIN_DIR}/mesh-pingpong"
ECHO, CLOSED, LISTENING = 7000, 7001, 7002  # published: with a sink behind it, with nobody, with a TCP server
CLIENT_INTERFACE = "e0"
RATE, SECONDS, FLOWS = 5000, 0.5, 300
# A machine that runs other tests may lose a burst, and says so; most must come back.
LOSS_MAX = 0.2


class TestPktgen(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = contextlib.ExitStack()
        harness.close_at_end(cls.stack.close)
        cls.mesh = hosts.Hosts(cls.stack, bare=harness.UPLINK_MODE == "xdp")
        published = [("udp", ECHO, "pong"), ("udp", CLOSED, "pong"), ("tcp", CLOSED, "pong"), ("tcp", LISTENING, "pong")]
        hosts.join_by_mesh(cls.mesh, harness.BIN_DIR, harness.UPLINK_MODE, published)
        pong = cls.mesh.containers["pong"]
        cls.serve(pong, PINGPONG, "serve", str(LISTENING), probe=["ask", f"{hosts.HOST1}:{LISTENING}", "--count", "1"])
        cls.sink = cls.start(wires.inside(pong, PKTGEN, "--sink", str(ECHO)))
        if cls.sink.stderr.readline().strip() != "ready":
            raise RuntimeError("the sink did not start: " + cls.sink.stderr.read())

    @classmethod
    def tearDownClass(cls):
        harness.closed(cls.stack.close)
        cls.stack.close()

    @classmethod
    def start(cls, command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def end():
            process.terminate()
            process.communicate(timeout=10)

        cls.stack.callback(end)
        return process

    @classmethod
    def serve(cls, namespace, *command, probe):
        ask = wires.inside(cls.mesh.client, PINGPONG, *probe)
        cls.stack.enter_context(hosts.serving(wires.inside(namespace, *command), ask))

    def run_pktgen(self, port, *more):
        return subprocess.run(
            wires.inside(self.mesh.client, PKTGEN, "--target", f"{hosts.HOST1}:{port}", "--rate", str(RATE), "--duration",
                         str(SECONDS), "--flows", str(FLOWS), "--format", "json", *more),
            capture_output=True, text=True, timeout=60)

    def measured(self, port, *more):
        done = self.run_pktgen(port, *more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def check_answered(self, figures, mode):
        self.assertEqual((figures["mode"], figures["flows"]), (mode, FLOWS))
        self.assertGreater(figures["sent"], RATE * SECONDS / 2, figures)
        self.assertLessEqual(figures["sent"], RATE * SECONDS + 64, figures)
        self.assertLess(figures["loss"], LOSS_MAX, figures)
        times = list(figures["latency_us"].values())
        self.assertEqual(times, sorted(times))
        self.assertGreater(times[0], 0)
        self.assertLess(times[-1], 10e6)

    def test_datagrams_and_connections_in_each_mode(self):
        for mode in ("live-frames", "af_packet"):
            with self.subTest(mode, protocol="udp"):
                figures = self.measured(ECHO, "--mode", mode)
                self.check_answered(figures, mode)
                self.assertEqual(figures["refused"], 0)
            with self.subTest(mode, protocol="tcp"):
                figures = self.measured(LISTENING, "--mode", mode, "--tcp-syn")
                self.check_answered(figures, mode)
                self.assertEqual(figures["refused"], 0)
            with self.subTest(mode, protocol="tcp, nobody listens"):
                figures = self.measured(CLOSED, "--mode", mode, "--tcp-syn")
                self.check_answered(figures, mode)
                self.assertEqual(figures["refused"], figures["received"])

    def test_large_frames(self):
        self.check_answered(self.measured(ECHO, "--size", "1400"), "live-frames")

    def test_no_answers_are_loss(self):
        figures = self.measured(CLOSED, "--mode", "af_packet")
        self.assertEqual((figures["received"], figures["loss"], figures["latency_us"]), (0, 1, {}))

    def test_dpdk(self):
        """In a build with it: over the veth that the kernel keeps. In others: refused, and how to get one."""
        virtual = f"net_af_packet,iface={CLIENT_INTERFACE}"
        for mode, more in (("af_xdp", []), ("dpdk", ["--device", virtual, "--interface", CLIENT_INTERFACE])):
            with self.subTest(mode):
                done = self.run_pktgen(ECHO, "--mode", mode, *more)
                if "built without DPDK" in done.stderr:
                    self.assertEqual(done.returncode, 1)
                    continue
                self.assertEqual(done.returncode, 0, done.stderr)
                self.check_answered(json.loads(done.stdout), mode)

    def test_says_what_is_wrong(self):
        for words, message in ((["--target", "203.0.113.1:80", "--interface", "lo"], "leaves by e0, not lo"),
                               (["--target", "10.9.0.77:80"], "nobody on e0 says where 10.9.0.77 is"),
                               (["--target", f"{hosts.HOST1}:80", "--size", "20"], "frames of 20 bytes"),
                               (["--target", f"{hosts.HOST1}:80", "--source", "10.9.0.1"], "belong together")):
            with self.subTest(words):
                done = subprocess.run(wires.inside(self.mesh.client, PKTGEN, *words), capture_output=True, text=True,
                                      timeout=60)
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)


if __name__ == "__main__":
    harness.main()
