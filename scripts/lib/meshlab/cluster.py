"""meshd on the nodes, and one cluster of them."""

import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

from . import addresses, cgroups, processes
from .errors import LabError

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
        "--uplink", "eth0",
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
    deadline = time.monotonic() + timeout_s
    path = processes.path_in(lab, host, SOCKET)
    while not _ping(path):
        if processes.daemon_pid(lab, host, "meshd") is None:
            raise LabError(f"meshd on {host} ended before its API answered. Its log ends with:\n" +
                           processes.log_tail(lab, host, "meshd"))
        if time.monotonic() > deadline:
            raise LabError(f"meshd on {host} did not answer on {SOCKET} within {timeout_s:g} s. Its log ends with:\n" +
                           processes.log_tail(lab, host, "meshd"))
        time.sleep(0.02)


def _meshctl(lab, host, *arguments):
    return processes.checked(lab, host, ["meshctl", *arguments])


def await_nodes(lab, host, count, timeout_s=20.0):
    """Until `count` nodes of the cluster are Ready, as seen from the host."""
    deadline = time.monotonic() + timeout_s
    while True:
        states = _meshctl(lab, host, "node", "ls", "--format", "{{.Hostname}} {{.Status}}").splitlines()
        if sum(line.endswith(" Ready") for line in states) >= count:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{count} nodes should be Ready within {timeout_s:g} s, {host} sees: {'; '.join(states)}")
        time.sleep(0.05)


def await_tables(lab, host, timeout_s=20.0):
    """Until every node's kernel holds the tables that the manager has made."""
    deadline = time.monotonic() + timeout_s
    while True:
        status = json.loads(_meshctl(lab, host, "status", "--format", "json"))[0]
        behind = [node["Hostname"] for node in status["Nodes"] if node.get("Acknowledged") != status["Tables"]]
        if not behind:
            return
        if time.monotonic() > deadline:
            raise LabError(f"{' '.join(behind)} should have acknowledged the tables {status['Tables']} within {timeout_s:g} s",
                           f"scripts/lab exec {host} -- meshctl status, and /var/log/meshd.log on the host")
        time.sleep(0.02)


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
