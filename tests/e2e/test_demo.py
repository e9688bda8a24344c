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
        self.assertFalse(harness.state.exists("demo"))

    def assert_pages(self, text):
        for host in ("node1", "node2", "node3"):
            for client in (harness.CLIENT_V4, f"[{harness.CLIENT_V6}]"):
                self.assertRegex(text, rf"http://{host}:8010/ +answered by task \S+ on node\d, who saw the client as "
                                       rf"{re.escape(client)}:\d+")

    def start(self, *options):
        """In a session of its own, as a terminal would start it; nobody's Ctrl-C but ours reaches it."""
        demo = subprocess.Popen([DEMO, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL, text=True, start_new_session=True)

        def end():
            self.interrupt(demo)
            demo.stdout.close()

        harness.close_with(self, end)
        return demo

    @staticmethod
    def interrupt(demo, times=1):
        """Ctrl-C, as the terminal does it; returns the rest of the output."""
        rest = ""
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGINT)
            for line in demo.stdout:
                rest += line
                if times > 1 and "Taking the lab down" in line:
                    times -= 1
                    os.killpg(demo.pid, signal.SIGINT)
            demo.wait(60)
        return rest

    @staticmethod
    def read_until(demo, words):
        text = ""
        for line in demo.stdout:
            text += line
            if words in line:
                break
        return text

    def test_once(self):
        demo = self.start("--once")
        output, _ = demo.communicate(timeout=240)
        self.assertEqual(demo.returncode, 0, output)
        self.assert_pages(output)
        self.assert_gone()

    def test_interrupted_twice(self):
        """Whoever is impatient does not stop the clean-up."""
        demo = self.start()
        text = self.read_until(demo, "node1$ meshctl node ls")
        text += self.interrupt(demo, times=2)
        self.assertEqual(demo.returncode, 130, text)
        self.assert_gone()

    def test_until_interrupted(self):
        demo = self.start()
        text = self.read_until(demo, "Ctrl-C takes the lab down")
        self.assert_pages(text)
        url = re.search(r"http://127\.0\.0\.1:\d+/", text).group(0)
        self.assertIn(b"<img", urllib.request.urlopen(url, timeout=10).read())
        self.interrupt(demo)
        self.assertEqual(demo.returncode, 130)
        self.assert_gone()


if __name__ == "__main__":
    harness.main()
