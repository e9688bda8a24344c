"""scripts/demo as a newcomer runs it: the page through every host, in the machine's browser, and nothing left."""

import os
import re
import signal
import subprocess
import unittest
import urllib.request

import harness

DEMO = os.path.join(harness.SOURCE_DIR, "scripts", "demo")


class TestDemo(unittest.TestCase):
    def setUp(self):
        if harness.BUILD_DIR != os.path.join(harness.SOURCE_DIR, "build", "release"):
            self.skipTest("the demo builds and uses build/release, these tests belong to another build")

    def assert_gone(self):
        self.assertNotIn("demo", harness.state.names())
        self.assertFalse(os.path.exists("/sys/fs/cgroup/unified/meshlab-demo"))

    def assert_pages(self, text):
        for host in ("node1", "node2", "node3"):
            for client in (harness.CLIENT_V4, f"[{harness.CLIENT_V6}]"):
                self.assertRegex(text, rf"http://{host}:8010/ +answered by task \S+ on node\d, who saw the client as "
                                       rf"{re.escape(client)}:\d+")

    @staticmethod
    def interrupt(demo):
        """Ctrl-C, as the terminal does it; also when the test failed half-way, so that no lab stays behind."""
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
            demo.stdout.read()
            demo.wait(60)
        demo.stdout.close()

    def test_once(self):
        result = subprocess.run([DEMO, "--once"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=240)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assert_pages(result.stdout)
        self.assert_gone()

    def test_until_interrupted(self):
        demo = subprocess.Popen([DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                text=True, start_new_session=True)
        self.addCleanup(self.interrupt, demo)
        text = ""
        for line in demo.stdout:
            text += line
            if "Ctrl-C takes the lab down" in line:
                break
        self.assert_pages(text)
        url = re.search(r"http://127\.0\.0\.1:\d+/", text).group(0)
        self.assertIn(b"<img", urllib.request.urlopen(url, timeout=10).read())
        self.interrupt(demo)
        self.assertEqual(demo.returncode, 130)
        self.assert_gone()


if __name__ == "__main__":
    harness.main()
