"""A cgroup of a measurement: the hooks of virtual IPs act on what runs in it."""

import contextlib
import os
import secrets
from dataclasses import dataclass

from meshlab import cgroups


@dataclass(frozen=True)
class Cgroup:
    path: str

    @property
    def enter(self):
        """Put before a command, runs it in the cgroup."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "enter"]


@contextlib.contextmanager
def own_cgroup():
    path = cgroups.cgroup2_path(f"mesh-bench-{secrets.token_hex(3)}")
    os.mkdir(path)
    try:
        yield Cgroup(path)
    finally:
        os.rmdir(path)
