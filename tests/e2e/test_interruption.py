"""Whoever interrupts tests, at whatever moment, finds nothing of them afterwards: no lab, no process."""

import os
import signal
import subprocess
import tempfile
import unittest

import harness

RUN_CTEST = os.path.join(harness.SOURCE_DIR, "scripts", "lib", "run-ctest")
E2E = os.path.dirname(os.path.abspath(__file__))
ENDED_S = 60

# A test file like any other: it writes its lab's name to a file and waits to be interrupted.
VICTIM = """
import os, sys
sys.path.insert(0, os.environ["VICTIM_IMPORTS"])
import harness

class TestVictim(harness.LabTest):
    nodes = 1
    options = ("--no-meshd",)

    def test_that_waits(self):
        self.lab.start("node1", "sleep", "1000")
        with open(os.environ["VICTIM_SAYS"] + ".new", "w") as file:
            file.write(self.lab.name)
        os.rename(file.name, os.environ["VICTIM_SAYS"])
        self.lab.run("node1", "sleep", "1000", timeout=1000)

    def test_that_waits_as_well(self):
        self.test_that_waits()

harness.main()
"""


class TestInterruption(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.says = os.path.join(self.directory, "says")
        self.victim = os.path.join(self.directory, "victim.py")
        with open(self.victim, "w") as file:
            file.write(VICTIM)

    def start(self, *command):
        """In a process group of its own, as a terminal would start it."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, start_new_session=True, env={**os.environ, "VICTIM_IMPORTS": E2E,
                                                                           "VICTIM_SAYS": self.says})

        def end():
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=ENDED_S)

        harness.close_with(self, end)
        return process

    def lab_of(self, process):
        def said():
            self.assertIsNone(process.poll(), "it ended before its time")
            return os.path.exists(self.says)

        harness.wait_for(said, 30, "the victim waits in its lab")
        with open(self.says) as file:
            name = file.read()
        os.unlink(self.says)
        self.assertTrue(harness.state.exists(name))
        return name

    def assert_ended(self, process, status, lab):
        output, _ = process.communicate(timeout=ENDED_S)
        self.assertEqual(process.returncode, status, output)
        self.assertFalse(harness.state.exists(lab), output)
        self.assertEqual(harness.cgroups.processes(harness.state.cgroup_of(lab)), set())

    def test_of_a_test_file(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number.name):
                process = self.start("/usr/bin/python3", "-B", self.victim)
                lab = self.lab_of(process)
                os.kill(process.pid, number)
                self.assert_ended(process, 128 + number, lab)

    def test_of_a_test_file_while_its_lab_comes_up(self):
        process = self.start("/usr/bin/python3", "-B", self.victim)

        def lab_begun():
            return [name for name in harness.state.names() if f"-{process.pid}-" in name]

        lab = harness.wait_for(lab_begun, 10, "the lab has begun", interval_s=0.001)[0]
        os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C: `lab up` hears it, too
        self.assert_ended(process, 128 + signal.SIGINT, lab)

    def ctest_run(self):
        with open(os.path.join(self.directory, "CTestTestfile.cmake"), "w") as file:
            file.write(f'add_test(victim "/usr/bin/python3" "-B" "{self.victim}")\n')
        return self.start(RUN_CTEST, "--test-dir", self.directory)

    def test_of_a_whole_run(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)):
            with self.subTest(signal=number.name):
                process = self.ctest_run()
                lab = self.lab_of(process)
                self.assertIn(f"-{process.pid}-", lab, "the lab's name tells the run")
                os.killpg(process.pid, number)
                self.assert_ended(process, status, lab)

    def test_of_a_whole_run_whose_test_was_killed(self):
        """Nobody is left who could take the lab down but the run."""
        process = self.ctest_run()
        lab = self.lab_of(process)
        os.kill(int(lab.split("-")[2]), signal.SIGKILL)
        process.communicate(timeout=ENDED_S)
        self.assertNotEqual(process.returncode, 0)
        self.assertFalse(harness.state.exists(lab))


if __name__ == "__main__":
    harness.main()
