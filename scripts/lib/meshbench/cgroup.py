"""A cgroup of a measurement: the hooks of virtual IPs act on what runs in it."""

import contextlib
import os
import secrets
from dataclasses import dataclass


@dataclass(frozen=True)
class Cgroup:
    path: str

    @property
    def enter(self):
        """Put before a command, runs it in the cgroup."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "enter"]


def _cgroup2():
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, place, kind = line.split()[:3]
            if kind == "cgroup2":
                return place
    raise RuntimeError("no cgroup2 hierarchy is mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")


@contextlib.contextmanager
def own_cgroup():
    path = os.path.join(_cgroup2(), f"mesh-bench-{secrets.token_hex(3)}")
    os.mkdir(path)
    try:
        yield Cgroup(path)
    finally:
        os.rmdir(path)
