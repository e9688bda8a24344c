"""Network namespaces and veth pairs of one measurement. Everything has a random prefix and goes with the context."""

import json
import secrets
import subprocess


def run(*command, **options):
    """Standard output of a command that must succeed."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if result.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` exited {result.returncode}: {result.stderr.strip()}")
    return result.stdout


class Wires:
    def __init__(self):
        self.prefix = f"mb{secrets.token_hex(3)}"
        self.namespaces = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def namespace(self, name):
        full = f"{self.prefix}-{name}"
        run("ip", "netns", "add", full)
        self.namespaces.append(full)
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def veth(self, one, one_name, one_address, other, other_name, other_address):
        """Connects two namespaces; redirected frames are taken at both ends (GRO is on)."""
        run("ip", "-n", one, "link", "add", one_name, "type", "veth", "peer", "name", other_name, "netns", other)
        for namespace, name, address in ((one, one_name, one_address), (other, other_name, other_address)):
            run("ip", "-n", namespace, "addr", "add", address, "dev", name)
            run("ip", "-n", namespace, "link", "set", name, "up")
            run("ip", "netns", "exec", namespace, "ethtool", "-K", name, "gro", "on")

    def mac(self, namespace, name):
        return json.loads(run("ip", "-n", namespace, "-j", "link", "show", name))[0]["address"]


def inside(namespace, *command):
    return ["ip", "netns", "exec", namespace, *command]


def pinned(cpu, *command):
    return ["taskset", "-c", str(cpu), *command]
