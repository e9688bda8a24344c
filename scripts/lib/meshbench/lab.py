"""The lab that a measurement runs in."""

import json
import os
import secrets
import subprocess
import time
from dataclasses import dataclass

from . import wires

SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
LAB = os.path.join(SOURCE_DIR, "scripts", "lab")
RUNNING_S = 60


@dataclass
class Task:
    id: str
    node: str
    address: str  # on its first own network, or on the ingress network


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

    def running_task(self, service):
        """Waits until the service's only task runs."""
        deadline = time.monotonic() + RUNNING_S
        while True:
            service_id = self.api(f"/services/{service}")["ID"]
            for task in self.api("/tasks"):
                if task["ServiceID"] == service_id and task["Status"]["State"] == "running":
                    node = self.api(f"/nodes/{task['NodeID']}")["Description"]["Hostname"]
                    return Task(task["ID"], node, _address(task))
            if time.monotonic() > deadline:
                raise RuntimeError(f"service {service} does not run: {self.meshctl('service', 'ps', service)}")
            time.sleep(0.05)

    def virtual_ip(self, service, network):
        network_id = self.api(f"/networks/{network}")["Id"]
        for entry in self.api(f"/services/{service}")["Endpoint"]["VirtualIPs"]:
            if entry["NetworkID"] == network_id:
                return entry["Addr"].split("/")[0]
        raise RuntimeError(f"service {service} has no VIP on {network}")


def _address(task):
    own = [entry for entry in task["NetworksAttachments"] if not entry["Network"]["Spec"].get("Ingress")]
    return own[0]["Addresses"][0].split("/")[0] if own else ""
