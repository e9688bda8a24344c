"""What every end-to-end test stands on: a lab of its own, commands in its hosts, waiting for conditions.

    class TestSomething(harness.LabTest):
        nodes = 3
        def test_it(self):
            self.lab.meshctl("node1", "service", "create", …)
            harness.wait_for(lambda: …, 20, "three replicas running")

ctest sets MESH_SOURCE_DIR, MESH_BIN_DIR and MESH_E2E_UPLINK_MODE (xdp or tc), scripts/test sets MESH_TEST_RUN. A test
that cannot run here exits with status 77 and says why in its last line; ctest shows it as skipped. However the tests
end, by Ctrl-C and SIGTERM too, main() takes down what they started.
"""

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import unittest
from dataclasses import dataclass

SOURCE_DIR = os.environ.get("MESH_SOURCE_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BIN_DIR = os.environ.get("MESH_BIN_DIR") or os.path.join(SOURCE_DIR, "build", "release", "bin")
BUILD_DIR = os.path.dirname(BIN_DIR)
UPLINK_MODE = os.environ.get("MESH_E2E_UPLINK_MODE", "xdp")
LAB = os.path.join(SOURCE_DIR, "scripts", "lab")
SKIPPED = 77
# In the name of every lab, so that the run that started this test finds what a killed one left.
RUN = os.environ.get("MESH_TEST_RUN") or str(os.getpid())
PIPE = subprocess.PIPE

sys.path.insert(0, os.path.join(SOURCE_DIR, "scripts", "lib"))

from meshlab import addresses, cgroups, processes, state, toolbox, waiting  # noqa: E402  (the path is set above)

CLIENT_V4 = addresses.address_of(addresses.CLIENT).v4
CLIENT_V6 = addresses.address_of(addresses.CLIENT).v6


class CommandFailed(Exception):
    """A command of a test that had to succeed did not."""


class TimedOut(AssertionError):
    """A condition did not come true in time."""


class Interrupted(KeyboardInterrupt):
    """A signal ends the tests. unittest catches every other exception and goes on with the next test."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


_open = []  # functions that end what still runs, the latest last: unittest runs no clean-ups when it is interrupted


def close_at_end(close):
    """close() is called when the tests end, unless closed(close) comes first."""
    _open.append(close)


def closed(close):
    if close in _open:
        _open.remove(close)


def close_with(test, close):
    """close() is called when the test ends, however it does."""
    close_at_end(close)
    test.addCleanup(closed, close)
    test.addCleanup(close)


def _close_all():
    while _open:
        close = _open.pop()
        try:
            close()
        except Exception as error:  # the others must be closed all the same
            print(f"closing: {error}", file=sys.stderr)


def wait_for(condition, timeout_s, what, interval_s=0.1):
    """Calls condition() until it returns something true and returns that. Exceptions of failed commands count as
    false; the last one is shown when the time is up."""
    last = None

    def holds():
        nonlocal last
        try:
            last = condition()
        except CommandFailed as error:
            last = error
            return None
        return last

    return waiting.wait_until(holds, timeout_s, lambda: TimedOut(f"not within {timeout_s:g} s: {what} (last seen: {last!r})"),
                              interval_s)


def wait_for_value(read, expected, timeout_s, what):
    """Waits until read() returns `expected`; both are shown when the time is up."""
    last = []

    def is_there():
        last[:] = [read()]
        return last == [expected]

    try:
        wait_for(is_there, timeout_s, what)
    except TimedOut as error:
        raise TimedOut(f"{error}; expected {expected!r}, last seen {last}") from None


@dataclass
class Response:
    """An HTTP answer. headers: lower-case names."""

    status: int
    headers: dict
    body: str

    def json(self):
        return json.loads(self.body)


def parse_response(text):
    """curl -i's output, line ends already translated; of several header blocks (100 Continue) the last one counts."""
    head, _, body = text.partition("\n\n")
    while body.startswith("HTTP/"):
        head, _, body = body.partition("\n\n")
    first, *lines = head.split("\n")
    headers = {}
    for line in lines:
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return Response(int(first.split()[1]), headers, body)


def host_literal(address):
    return f"[{address}]" if ":" in address else address


class Lab:
    """A running lab with a name of its own. Use as a context manager. options: more of `scripts/lab up`."""

    def __init__(self, nodes=3, *options, uplink_mode=UPLINK_MODE):
        self.name = lab_name(secrets.token_hex(3))
        self.nodes = nodes
        self.options = options
        self.uplink_mode = uplink_mode
        self._started = []

    def __enter__(self):
        close_at_end(self.close)
        self.verb("up", str(self.nodes), "--uplink-mode", self.uplink_mode, "--build", BUILD_DIR, *self.options,
                  timeout=180)
        return self

    def __exit__(self, *_):
        self.close()
        closed(self.close)

    def close(self):
        try:
            for process in self._started:
                process.kill()
                process.wait()
                for pipe in (process.stdin, process.stdout, process.stderr):
                    if pipe:
                        pipe.close()
        finally:
            if state.exists(self.name):
                self.verb("down", timeout=60)

    def node_names(self):
        return [addresses.node_name(number) for number in range(1, self.nodes + 1)]

    def verb(self, verb, *arguments, check=True, timeout=60):
        """scripts/lab VERB --name NAME ARGUMENTS…"""
        return self._run([LAB, verb, "--name", self.name, *arguments], check, timeout)

    def _run(self, command, check, timeout, text_input=None):
        try:
            result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout,
                                    input=text_input, stdin=None if text_input is not None else subprocess.DEVNULL)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"`{' '.join(command)}` still ran after {timeout:g} s; output: {error.stdout!r} "
                                f"{error.stderr!r}") from None
        if check and result.returncode != 0:
            raise CommandFailed(f"`{' '.join(command)}` exited {result.returncode}: {result.stdout}{result.stderr}")
        return result

    def in_network(self, host, *command):
        """A command of the machine in a host's network only: pids are the machine's."""
        pid = processes.running_pid(state.load(self.name), host)
        return self._run(["nsenter", "-t", str(pid), "-n", "--", *command], True, 60)

    def wire(self, host, interface, *addresses_there):
        """A second wire of a host: its `interface` with these addresses, and a port of the client's bridge "wires"."""
        port = f"w-{host}"
        pid = processes.running_pid(state.load(self.name), host)
        self.in_network("client", "sh", "-ec", f"""
            ip link show wires >/dev/null 2>&1 || ip link add wires type bridge forward_delay 0 stp_state 0 mcast_snooping 0
            ip link set wires up
            ip link add {port} type veth peer name {interface} netns {pid}
            ip link set {port} master wires addrgenmode none up""")
        for address in addresses_there:
            nodad = ["nodad"] if ":" in address else []
            self.in_network(host, "ip", "address", "add", address, "dev", interface, *nodad)
        self.in_network(host, "ip", "link", "set", interface, "up")
        offload = "off" if self.uplink_mode == "xdp" else "on"
        for end, name in ((host, interface), ("client", port)):
            self.in_network(end, "ethtool", "-K", name, "tx", offload, "tso", offload, "gso", offload, "gro", "on")

    def daemon(self, host, *command):
        """A command in a host that outlives the call as a child of the host's process 1: its pid there."""
        return self.run(host, "sh", "-c", '"$@" </dev/null >/dev/null 2>&1 & echo $!', "sh", *command).stdout.strip()

    def run(self, host, *command, check=True, timeout=60, text_input=None):
        """A command in a host, to its end: CompletedProcess with text output."""
        return self._run([LAB, "exec", "--name", self.name, host, "--", *command], check, timeout, text_input)

    def start(self, host, *command, **options):
        """A command in a host, in the background: Popen with text pipes; killed with the lab."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True,
                   **options}
        process = subprocess.Popen([LAB, "exec", "--name", self.name, host, "--", *command], **options)
        self._started.append(process)
        return process

    def meshctl(self, host, *arguments, **options):
        """Standard output of meshctl on a host, without the final newline."""
        return self.run(host, "meshctl", *arguments, **options).stdout.rstrip("\n")

    def wait_agreement(self, host, timeout_s=20):
        """Until the host's kernel holds what its meshd wants it to hold."""
        wait_for(lambda: re.search(r"(?m)^Differences:\s+-$", self.meshctl(host, "dataplane", "status")), timeout_s,
                 f"kernel and state agree on {host}")

    def docker(self, host, *arguments, **options):
        """The unmodified docker command line, talking to the host's meshd."""
        return self.run(host, toolbox.path("MESH_DOCKER"), *arguments, **options).stdout.rstrip("\n")

    def http(self, url, host="client", source=None, timeout_s=5, check=True, options=()):
        """GET from a host; source: the local address to use. None when there was no answer and check is off."""
        binding = ["--interface", source] if source else []
        result = self.run(host, "curl", "-sS", "-i", "-g", "--max-time", str(timeout_s), *binding, *options, url,
                          check=check, timeout=timeout_s + 20)
        return parse_response(result.stdout) if result.returncode == 0 else None

    def address(self, host, family=4):
        address = addresses.address_of(host)
        return address.v4 if family == 4 else address.v6

    def url(self, host, port, path="/", family=4):
        return f"http://{host_literal(self.address(host, family))}:{port}{path}"

    def disk(self, host):
        """The host's disk as the machine sees it: …/var, …/etc, …/tmp."""
        return f"/var/lib/meshlab/{self.name}/hosts/{host}/disk"

    def evidence(self):
        """What one wants to see when a test failed: the lab's state, the ends of all logs."""
        parts = [self.verb("status", check=False).stdout]
        for host in self.node_names():
            path = f"{self.disk(host)}/var/log/meshd.log"
            if os.path.exists(path):
                with open(path, errors="replace") as log:
                    parts.append(f"--- meshd.log of {host}, its end\n" + "".join(log.readlines()[-25:]))
        if not self.options:
            parts.append(self.run("node1", "meshctl", "service", "ls", check=False, timeout=10).stdout)
        return "\n".join(parts)


class Load:
    """mesh-load running on the client. Reports are dictionaries; "failures" lists the first things that went wrong."""

    def __init__(self, lab, kind, targets, *options, host="client"):
        command = [os.path.join(BIN_DIR, "mesh-load"), kind, ",".join(targets), *options]
        self.process = lab.start(host, *command, stdin=subprocess.PIPE)

    def report(self):
        """The next report: the first one comes once every connection has been answered (or has failed)."""
        line = self.process.stdout.readline()
        if not line:
            raise CommandFailed(f"mesh-load ended: {self.process.stderr.read()}")
        return json.loads(line)

    def stop(self):
        """Ends the load and returns the last report."""
        self.process.stdin.close()
        last = self.report()
        while last["event"] != "end":
            last = self.report()
        return last


class LabTest(unittest.TestCase):
    """Tests that share one lab. Subclasses set nodes, and options for `scripts/lab up`."""

    nodes = 3
    options = ()
    lab = None

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(cls.nodes, *cls.options)
        cls.lab.__enter__()
        cls.addClassCleanup(cls.lab.__exit__)

    def tearDown(self):
        if not self._outcome.success:
            sys.stderr.write(self.lab.evidence())


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def lab_name(text):
    """A name that tells the run and the process which a lab belongs to."""
    return f"e2e-{RUN}-{os.getpid()}-{text}"


def remove_orphans():
    """Labs of test runs that were killed before they could clean up; a lab's name tells its test's pid."""
    for name in state.names():
        owner = re.match(r"e2e-\d+-(\d+)-", name)
        if owner and not os.path.exists(f"/proc/{owner.group(1)}"):
            subprocess.run([LAB, "down", "--name", name], capture_output=True)


_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _interrupt(number, _):
    raise Interrupted(number)


def main():
    """Runs the tests of the calling file."""
    if os.geteuid() != 0:
        skip("a lab needs root")
    remove_orphans()
    for number in _ENDING:
        signal.signal(number, _interrupt)
    try:
        result = unittest.main(module="__main__", verbosity=2, exit=False).result
    except Interrupted as error:
        print(f"interrupted by {error}", file=sys.stderr)
        sys.exit(128 + error.number)
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        _close_all()
    if not result.wasSuccessful():
        sys.exit(1)
    if result.skipped:  # counted by ctest, or nobody would know
        skip("; ".join(sorted({reason for _, reason in result.skipped})))
