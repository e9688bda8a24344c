"""HAProxy as a peer: a TCP proxy on the entry host (Debian's package, unpacked by scripts/setup, or installed)."""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile

from meshlab import toolbox
from meshlab.waiting import wait_until

from . import wires

MISSING = "HAProxy, a peer, is not here: scripts/setup unpacks it"
READY_S = 10
# One thread on the CPU of everything else. Nothing is written or looked into.
CONFIGURATION = """
global
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen bench
    bind {listen}
    server backend {server}
"""


def program():
    """(path, environment), or None where there is none."""
    unpacked = toolbox.path("MESH_HAPROXY")
    if os.path.exists(f"{unpacked}/usr/sbin/haproxy"):
        libraries = ":".join(glob.glob(f"{unpacked}/usr/lib/*-linux-gnu"))
        return f"{unpacked}/usr/sbin/haproxy", {**os.environ, "LD_LIBRARY_PATH": libraries}
    installed = shutil.which("haproxy")
    return (installed, dict(os.environ)) if installed else None


@contextlib.contextmanager
def proxying(namespace, cpu, listen, server):
    """From ADDRESS:PORT in a namespace to another, until the context ends."""
    path, environment = program()
    # Its own connections wait for late packets at their end (TIME_WAIT): seven seconds of them use up all ports.
    wires.run(*wires.inside(namespace, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1",
                            "net.ipv4.ip_local_port_range=1024 65535"))
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "haproxy.cfg")
        with open(file, "w", encoding="utf-8") as out:
            out.write(CONFIGURATION.format(listen=listen, server=server))
        process = subprocess.Popen(wires.pinned(cpu, *wires.inside(namespace, path, "-db", "-q", "-f", file)),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=environment)

        def failed():
            return RuntimeError(f"HAProxy does not listen on {listen} within {READY_S} s (exit status {process.poll()})")

        def listens():
            if process.poll() is not None:
                raise failed()
            return wires.run(*wires.inside(namespace, "ss", "-Hltn", "src", listen))

        try:
            wait_until(listens, READY_S, failed)
            yield
        finally:
            process.terminate()
            try:
                process.communicate(timeout=READY_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
