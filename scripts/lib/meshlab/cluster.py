"""meshd on the nodes, and one cluster of them."""

import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

from . import addresses, cgroups, processes
from .errors import LabError
from .waiting import wait_until

SOCKET = "/run/meshd.sock"
CLUSTER_PORT = 2377


def check_binaries(build_dir):
    for name in ("meshd", "meshctl"):
        path = os.path.join(build_dir, "bin", name)
        if not os.access(path, os.X_OK):
            raise LabError(f"there is no {path} to run on the hosts", "scripts/build, or --build DIR, or --no-meshd")


def command(lab, host):
    return [
        os.path.join(lab.build_dir, "bin", "meshd"),
        "--data-dir", "/var/lib/meshd",
        "--advertise-addr", addresses.address_of(host).v4,
        "--uplink", lab.uplink,
        "--uplink-mode", lab.uplink_mode,
        "--cgroup-root", cgroups.cgroup2_path(processes.cgroup_of(lab, host)),
        "--registry-mirror", f"{addresses.address_of(addresses.REGISTRY).v4}:{addresses.REGISTRY_PORT}",
    ]


def start(lab, host):
    if processes.daemon_pid(lab, host, "meshd") is not None:
        raise LabError(f"meshd already runs on {host} of lab {lab.name}", f"scripts/lab meshd restart {host}")
    processes.start_daemon(lab, host, "meshd", command(lab, host))


def _ping(path):
    """True when the Engine API on a unix socket answers GET /_ping."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.1\r\nHost: meshd\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def await_ready(lab, host, timeout_s=20.0):
    path = processes.path_in(lab, host, SOCKET)

    def failed(how):
        return LabError(f"meshd on {host} {how}. Its log ends with:\n" + processes.log_tail(lab, host, "meshd"))

    def answers():
        if _ping(path):
            return True
        if processes.daemon_pid(lab, host, "meshd") is None:
            raise failed("ended before its API answered")
        return False

    wait_until(answers, timeout_s, lambda: failed(f"did not answer on {SOCKET} within {timeout_s:g} s"))


def _meshctl(lab, host, *arguments):
    return processes.checked(lab, host, ["meshctl", *arguments])


def await_nodes(lab, host, count, timeout_s=20.0):
    """Until `count` nodes of the cluster are Ready, as seen from the host."""

    states = []

    def are_ready():
        states[:] = _meshctl(lab, host, "node", "ls", "--format", "{{.Hostname}} {{.Status}}").splitlines()
        return sum(line.endswith(" Ready") for line in states) >= count

    wait_until(are_ready, timeout_s, lambda: LabError(
        f"{count} nodes should be Ready within {timeout_s:g} s, {host} sees: {'; '.join(states)}"))


def await_tables(lab, host, timeout_s=20.0):
    """Until every node's kernel holds the tables that the manager has made."""

    behind = []

    def all_hold_them():
        status = json.loads(_meshctl(lab, host, "status", "--format", "json"))[0]
        behind[:] = [node["Hostname"] for node in status["Nodes"] if node.get("Acknowledged") != status["Tables"]]
        return not behind

    wait_until(all_hold_them, timeout_s, lambda: LabError(
        f"{' '.join(behind)} should have acknowledged the manager's tables within {timeout_s:g} s",
        f"scripts/lab exec {host} -- meshctl status, and /var/log/meshd.log on the host"))


def form(lab):
    """node1 manages, the others join it as workers."""
    first, *others = lab.node_names()
    manager = addresses.address_of(first).v4
    _meshctl(lab, first, "swarm", "init", "--advertise-addr", manager)
    if others:
        token = _meshctl(lab, first, "swarm", "join-token", "-q", "worker").strip()

        def join(host):
            _meshctl(lab, host, "swarm", "join", "--token", token, f"{manager}:{CLUSTER_PORT}")

        with ThreadPoolExecutor(len(others)) as pool:
            list(pool.map(join, others))
    await_nodes(lab, first, lab.nodes)
    await_tables(lab, first)
