"""The lab that a measurement runs in."""

import json
import os
import secrets
import subprocess

from . import wires

SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LAB = os.path.join(SOURCE_DIR, "scripts", "lab")


class Lab:
    """A formed cluster; node1 is its manager."""

    def __init__(self, nodes, uplink_mode, bin_dir):
        # The test run, if it is one, finds the lab by its number.
        self.name = f"bench-{os.environ.get('MESH_TEST_RUN', os.getpid())}-{secrets.token_hex(3)}"
        self.nodes = nodes
        self.uplink_mode = uplink_mode
        self.build_dir = os.path.dirname(bin_dir)

    def __enter__(self):
        wires.run(LAB, "up", str(self.nodes), "--name", self.name, "--uplink-mode", self.uplink_mode, "--build",
                  self.build_dir)
        return self

    def __exit__(self, *_):
        subprocess.run([LAB, "down", "--name", self.name], capture_output=True, check=False)

    def command(self, host, *command):
        return [LAB, "exec", "--name", self.name, host, "--", *command]

    def meshctl(self, *arguments, host="node1"):
        return wires.run(*self.command(host, "meshctl", *arguments)).strip()

    def address(self, host):
        text = wires.run(*self.command(host, "ip", "-4", "-j", "addr", "show", "dev", "eth0"))
        return json.loads(text)[0]["addr_info"][0]["local"]

    def api(self, path):
        return json.loads(wires.run(*self.command("node1", "curl", "-sS", "--fail-with-body", "--unix-socket",
                                                  "/run/meshd.sock", f"http://meshd/v1.41{path}")))
