"""Process 1 of a lab host. Run as: python3 -I host_init.py CONFIG.json READY_FD

Makes the host's namespaces and its private file tree, writes its pid (as the machine sees it) to READY_FD, then
reaps whatever is left to it, like any init. SIGTERM ends all processes of the host politely, SIGKILL at once.
"""

import json
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from meshlab import kernel  # noqa: E402  (isolated mode: the path is set above)

POLITE_S = 10.0


def write_sysctl(path, value):
    try:
        with open("/proc/sys/" + path, "w") as file:
            file.write(value)
    except FileNotFoundError:
        pass  # not in this kernel, or only in the first network namespace


def private_directory(source, target):
    os.makedirs(source, exist_ok=True)
    kernel.mount(source, target, None, kernel.MS_BIND)


def populate_var(var):
    for directory in ("lib/meshd", "log", "tmp", "cache", "spool", "home"):
        os.makedirs(os.path.join(var, directory), exist_ok=True)
    os.chmod(os.path.join(var, "tmp"), 0o1777)
    for name, target in (("run", "/run"), ("lock", "/run/lock")):
        if not os.path.islink(os.path.join(var, name)):
            os.symlink(target, os.path.join(var, name))


def private_etc(config):
    """/etc is an overlay: what the host writes there is its own and outlives a restart."""
    upper, work = os.path.join(config["disk"], "etc"), os.path.join(config["disk"], "etc.work")
    os.makedirs(upper, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    kernel.mount("overlay", "/etc", "overlay", 0, f"lowerdir=/etc,upperdir={upper},workdir={work}")
    for name, text in config["etc"].items():
        path = os.path.join("/etc", name)
        if os.path.lexists(path):
            os.unlink(path)  # resolv.conf is often a link into /run, which is private and empty here
        with open(path, "w") as file:
            file.write(text)


def mount_overlays(var, overlays):
    """Directories below /var that start as a copy of something shared: mounted before /var itself hides the layers."""
    for lower, upper, work, target in overlays:
        target = os.path.join(var, os.path.relpath(target, "/var"))
        for directory in (upper, work, target):
            os.makedirs(directory, exist_ok=True)
        kernel.mount("overlay", target, "overlay", 0, f"lowerdir={lower},upperdir={upper},workdir={work}")


def private_sys():
    """A sysfs of this network namespace, the machine's cgroup mounts kept in it, and a bpffs nobody else sees."""
    os.makedirs("/run/cgroup-mounts")
    kernel.mount("/sys/fs/cgroup", "/run/cgroup-mounts", None, kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("sysfs", "/sys", "sysfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount("/run/cgroup-mounts", "/sys/fs/cgroup", None, kernel.MS_MOVE)
    os.rmdir("/run/cgroup-mounts")
    kernel.mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=700")


def visible(paths):
    """[(path, fd)] of the directories that the private /tmp, /var and /run would hide."""
    hidden = ("/tmp/", "/var/", "/run/")
    return [(path, os.open(path, os.O_PATH)) for path in paths if path.startswith(hidden) and os.path.isdir(path)]


def build_file_tree(config):
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    disk = config["disk"]
    kept = visible(config["visible"])
    populate_var(os.path.join(disk, "var"))
    mount_overlays(os.path.join(disk, "var"), config["overlays"])
    private_etc(config)
    private_directory(os.path.join(disk, "tmp"), "/tmp")
    os.chmod("/tmp", 0o1777)
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=1777")
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    os.makedirs("/run/lock")
    private_sys()
    kernel.mount(os.path.join(disk, "var"), "/var", None, kernel.MS_BIND | kernel.MS_REC)
    for path, fd in kept:
        os.makedirs(path, exist_ok=True)
        kernel.mount(f"/proc/self/fd/{fd}", path, None, kernel.MS_BIND)
        os.close(fd)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    # The rest of the machine's tree is for reading: a lab host leaves nothing behind there.
    kernel.mount(None, "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)


def reap_children():
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def others():
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]


def shut_down(signals):
    """Whoever is left after the polite time dies with process 1: the kernel ends its whole pid namespace."""
    for pid in others():
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
    while others() and signal.sigtimedwait(signals, POLITE_S) is not None:
        reap_children()


def serve():
    signals = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    while True:
        received = signal.sigwaitinfo(signals)
        reap_children()
        if received.si_signo != signal.SIGCHLD:
            shut_down(signals)
            return


def main():
    with open(sys.argv[1]) as file:
        config = json.load(file)
    ready = int(sys.argv[2])
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWIPC |
                   kernel.CLONE_NEWPID)
    go_read, go_write = os.pipe()
    child = os.fork()  # the first child is process 1 of the new pid namespace
    if child != 0:
        os.write(go_write, str(child).encode())
        os._exit(0)
    machine_pid = os.read(go_read, 16)
    os.close(go_read)
    os.close(go_write)
    socket.sethostname(config["hostname"])
    build_file_tree(config)
    for path, value in config["sysctls"].items():
        write_sysctl(path, value)
    os.write(ready, machine_pid)
    os.close(ready)
    serve()


if __name__ == "__main__":
    main()
