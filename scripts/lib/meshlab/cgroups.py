"""The lab's cgroup prefix: meshlab-NAME/HOST in every v1 hierarchy and in the cgroup2 mount.

All processes of a host live in the leaf "init" below the host's directory; the directory itself is free for the
containers' cgroups beside it (cgroup2 allows no processes in a directory that hands out controllers). Because
every process of the lab is in here from before it can fork, the prefix is also how `down` finds them all.
"""

import os
import signal
import time

from .errors import LabError

ROOT = "/sys/fs/cgroup"
LEAF = "init"


def hierarchies():
    """[(mount point, is it cgroup2)] of what is mounted at or below /sys/fs/cgroup."""
    found = []
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, _, right = line.partition(" - ")
            point, fstype = left.split()[4], right.split()[0]
            if fstype in ("cgroup", "cgroup2") and (point == ROOT or point.startswith(ROOT + "/")):
                found.append((point, fstype == "cgroup2"))
    if not any(is_v2 for _, is_v2 in found):
        raise LabError(f"no cgroup2 hierarchy is mounted below {ROOT}, but cgroup hooks attach only there",
                       "mkdir /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified")
    return found


def cgroup2_path(path):
    """The directory in the cgroup2 hierarchy for a path like meshlab-NAME/HOST."""
    return next(os.path.join(point, path) for point, is_v2 in hierarchies() if is_v2)


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


def _prepare(directory, is_v2, hands_out):
    os.makedirs(directory, exist_ok=True)
    if is_v2 and hands_out:
        controllers = _read(directory + "/cgroup.controllers").split()
        if controllers:
            _write(directory + "/cgroup.subtree_control", " ".join("+" + name for name in controllers))
    # A v1 cpuset starts empty and accepts no process before it has processors and memory nodes.
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = f"{directory}/{name}"
        if not is_v2 and os.path.exists(file) and not _read(file):
            _write(file, _read(f"{os.path.dirname(directory)}/{name}"))


def create(path):
    """Makes meshlab-NAME/HOST and its leaf everywhere. Repeating it is harmless."""
    for point, is_v2 in hierarchies():
        directory = point
        for part in path.split("/"):
            directory = os.path.join(directory, part)
            _prepare(directory, is_v2, hands_out=True)
        _prepare(os.path.join(directory, LEAF), is_v2, hands_out=False)


def join(path):
    """Moves the calling process, and so its future children, into the host's leaf."""
    for point, _ in hierarchies():
        _write(os.path.join(point, path, LEAF, "cgroup.procs"), "0")


def exists(path):
    return any(os.path.isdir(os.path.join(point, path)) for point, _ in hierarchies())


def _directories(path):
    """All directories below and including path, deepest first, in every hierarchy."""
    for point, _ in hierarchies():
        for directory, _, _ in os.walk(os.path.join(point, path), topdown=False):
            yield directory


def processes(path):
    """Pids of all processes in the prefix, as seen from here."""
    found = set()
    for directory in _directories(path):
        found.update(int(pid) for pid in _read(directory + "/cgroup.procs").split())
    return found - {0, os.getpid()}


def kill(path, timeout_s=10.0):
    """SIGKILL for everything in the prefix; returns when nothing is left in it."""
    deadline = time.monotonic() + timeout_s
    while left := processes(path):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(left)} in cgroup {path} did not die within {timeout_s:g} s of SIGKILL",
                           "look at /proc/PID/stack for what they wait for, then run `scripts/lab down` again")
        time.sleep(0.01)


def remove(path, timeout_s=10.0):
    """Removes the empty prefix. A cgroup stays busy for a moment after its last process died."""
    deadline = time.monotonic() + timeout_s
    while left := list(_directories(path)):
        for directory in left:
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError as error:
                if time.monotonic() > deadline:
                    raise LabError(f"cannot remove cgroup {directory}: {error.strerror}",
                                   "run `scripts/lab down` again") from error
        time.sleep(0.005)
