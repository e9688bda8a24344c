"""What a lab is, on disk: /var/lib/meshlab/NAME/lab.json and one directory per host.

Everything a lab holds can be found from its name alone (its cgroup prefix and this directory), so that `down` works
after any crash. The directory exists from before the first process until after the last one.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import time
from dataclasses import asdict, dataclass, field

from . import addresses, cgroups
from .errors import LabError

HOME = os.environ.get("MESHLAB_HOME", "/var/lib/meshlab")
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,30}$")


@dataclass
class Lab:
    """The declared lab. registry_storage: filled directory below the registry's disk, or "". daemons: meshd starts
    with its host. cut: hosts whose wire is cut. uplink: as meshd's --uplink; "": meshd finds them."""

    name: str
    nodes: int
    uplink_mode: str
    build_dir: str
    registry_storage: str
    daemons: bool
    cut: list = field(default_factory=list)
    uplink: str = "eth0"

    @property
    def directory(self):
        return os.path.join(HOME, self.name)

    @property
    def cgroup(self):
        return cgroup_of(self.name)

    def node_names(self):
        return [addresses.node_name(number) for number in range(1, self.nodes + 1)]

    def hosts(self):
        return self.node_names() + [addresses.REGISTRY, addresses.CLIENT]

    def host_directory(self, host):
        return os.path.join(self.directory, "hosts", host)

    def check_host(self, host):
        if host not in self.hosts():
            raise LabError(f"lab {self.name} has no host {host}", "one of " + " ".join(self.hosts()))

    def save(self):
        path = os.path.join(self.directory, "lab.json")
        with open(path + ".new", "w") as file:
            json.dump(asdict(self), file, indent=1)
        os.replace(path + ".new", path)


def cgroup_of(name):
    return f"meshlab-{name}"


def check_name(name):
    if not _NAME.match(name):
        raise LabError(f"lab name {name!r} is not usable: lower-case letters, digits and '-', at most 31 characters")


def load(name):
    check_name(name)
    try:
        with open(os.path.join(HOME, name, "lab.json")) as file:
            return Lab(**json.load(file))
    except FileNotFoundError:
        others = names()
        raise LabError(f"there is no lab called {name}" + (f" (there are: {' '.join(others)})" if others else ""),
                       "scripts/lab up 3" + ("" if name == "default" else f" --name {name}")) from None


def exists(name):
    """Whether anything of a lab is there, be it half a lab of an `up` that was killed."""
    return os.path.isdir(os.path.join(HOME, name)) or cgroups.exists(cgroup_of(name))


def names():
    try:
        return sorted(name for name in os.listdir(HOME) if not name.startswith("."))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def locked(name, timeout_s=60.0):
    """Only one of up, kill, restart, down works on a lab at a time. The lock file leaves with the last lab."""
    check_name(name)
    deadline = time.monotonic() + timeout_s
    while True:
        os.makedirs(HOME, exist_ok=True)
        path = os.path.join(HOME, f".{name}.lock")
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have removed the file: a lock on a file without a name locks nobody out.
            if os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(fd)):
                break
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(fd)
                raise LabError(f"lab {name} is busy: another lab command works on it since {timeout_s:g} s",
                               f"lslocks -u | grep {path}") from None
        os.close(fd)
        time.sleep(0.02)
    try:
        yield
    finally:
        os.unlink(path)
        os.close(fd)
        with contextlib.suppress(OSError):
            os.rmdir(HOME)


def discard(name):
    """Removes the lab's directory. All its processes, and with them their mounts, must be gone."""
    shutil.rmtree(os.path.join(HOME, name), ignore_errors=False)
