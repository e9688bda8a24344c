"""The hosts as processes: boot process 1, enter its namespaces, end it."""

import json
import os
import signal
import subprocess

from . import addresses, cgroups, connections, registry_disk, toolbox
from .errors import LabError
from .waiting import wait_until

INIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "host_init.py")
SWITCH = "switch"
PYTHON = "/usr/bin/python3"


def cgroup_of(lab, host):
    return f"{lab.cgroup}/{host}"


def _start_time(pid):
    """Field 22 of /proc/PID/stat tells a process from a later one with the same pid; None when it is dead."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def _record_path(lab, host):
    return os.path.join(lab.host_directory(host), "init.json")


def pid_of(lab, host):
    """Pid of the host's process 1, None when the host is down."""
    try:
        with open(_record_path(lab, host)) as file:
            record = json.load(file)
    except FileNotFoundError:
        return None
    return record["pid"] if _start_time(record["pid"]) == record["start_time"] else None


def running_pid(lab, host):
    pid = pid_of(lab, host)
    if pid is None:
        raise LabError(f"{host} of lab {lab.name} is down", f"scripts/lab restart {host}")
    return pid


def disk_of(lab, host):
    return os.path.join(lab.host_directory(host), "disk")


def path_in(lab, host, path):
    """Where a file of the running host is reachable from here, sockets included."""
    return f"/proc/{running_pid(lab, host)}/root{path}"


def _config(lab, host):
    resolver = addresses.address_of(addresses.CLIENT).v4
    sysctls = {"net/ipv6/conf/all/disable_ipv6": "0", "net/ipv6/conf/default/disable_ipv6": "0"}
    if host == SWITCH:
        # Frames between hosts are nobody's business here; the default 1 would send them through iptables.
        sysctls = {f"net/bridge/bridge-nf-call-{table}": "0" for table in ("arptables", "ip6tables", "iptables")}
        sysctls["net/ipv6/conf/default/disable_ipv6"] = "1"
    return {
        "hostname": host,
        "disk": disk_of(lab, host),
        "visible": [toolbox.SOURCE_ROOT, lab.build_dir, toolbox.directory()],
        "sysctls": sysctls,
        "overlays": registry_disk.overlays(lab) if host == addresses.REGISTRY else [],
        "etc": {
            "hostname": host + "\n",
            "hosts": addresses.hosts_file(lab.hosts()),
            "resolv.conf": f"nameserver {resolver}\noptions timeout:1 attempts:1\n",
        },
    }


def _launch(lab, host):
    os.makedirs(disk_of(lab, host), exist_ok=True)
    config = os.path.join(lab.host_directory(host), "config.json")
    with open(config, "w") as file:
        json.dump(_config(lab, host), file, indent=1)
    cgroup = cgroup_of(lab, host)
    cgroups.create(cgroup)
    ready_read, ready_write = os.pipe()
    with open(os.path.join(lab.host_directory(host), "init.log"), "ab") as log:
        process = subprocess.Popen([PYTHON, "-I", INIT, config, str(ready_write)], stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, pass_fds=[ready_write], start_new_session=True, cwd="/",
                                   preexec_fn=lambda: cgroups.join(cgroup))
    os.close(ready_write)
    return process, ready_read


def _await(lab, host, process, ready_read):
    with os.fdopen(ready_read) as ready:
        text = ready.read()
    process.wait()
    if not text:
        with open(os.path.join(lab.host_directory(host), "init.log")) as log:
            reason = "".join(log.readlines()[-4:]).strip()
        raise LabError(f"{host} of lab {lab.name} did not boot: {reason or 'process 1 ended without a word'}",
                       "run as root, on a kernel with namespaces, overlayfs, bpffs and veth")
    pid = int(text)
    with open(_record_path(lab, host), "w") as file:
        json.dump({"pid": pid, "start_time": _start_time(pid)}, file)


def boot(lab, hosts):
    """Boots process 1 of each host, all at once. Networks are not wired yet."""
    launched = [(host, *_launch(lab, host)) for host in hosts]
    for host, process, ready_read in launched:
        _await(lab, host, process, ready_read)


def _inside(lab, host, command):
    return ["nsenter", "-t", str(running_pid(lab, host)), "-m", "-u", "-i", "-n", "-p", "--", *command]


def environment(lab, host):
    """What a command in the host sees: our binaries first, docker pointed at the host's own API socket."""
    kept = {key: os.environ[key] for key in ("TERM", "LANG", "LC_ALL") if key in os.environ}
    docker = os.path.dirname(toolbox.path("MESH_DOCKER"))
    path = os.path.join(lab.build_dir, "bin") + f":{docker}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": path, "HOME": "/var/home", "USER": "root", "MESHLAB_HOST": host,
            "DOCKER_HOST": "unix:///run/meshd.sock"}


def command_in(lab, host, command):
    """Argument list, environment and preparation for a process in the host; it dies with whoever waits for it."""
    return {
        "args": _inside(lab, host, ["setpriv", "--pdeathsig", "KILL", "--", *command]),
        "env": environment(lab, host),
        "cwd": "/",
        "preexec_fn": lambda: cgroups.join(cgroup_of(lab, host)),
    }


def run(lab, host, command, **options):
    """subprocess.run in the host, output captured as text."""
    options = {"capture_output": True, "text": True, **options}
    return subprocess.run(**command_in(lab, host, command), **options)


def checked(lab, host, command, **options):
    """Standard output of a command in the host that must succeed."""
    result = run(lab, host, command, **options)
    if result.returncode != 0:
        text = (result.stderr or result.stdout).strip()
        raise LabError(f"`{' '.join(command)}` on {host} of lab {lab.name} exited {result.returncode}: {text}")
    return result.stdout


def replace_this(lab, host, command):
    """Becomes the command in the host: terminal, signals and exit code are the caller's. Never returns."""
    prepared = command_in(lab, host, command)
    prepared["preexec_fn"]()
    os.chdir("/")
    os.execvpe(prepared["args"][0], prepared["args"], prepared["env"])


def start_daemon(lab, host, name, command):
    """Starts a child of the host's process 1; output goes to the host's /var/log/NAME.log, its pid to /run."""
    script = 'log=$1 pid=$2; shift 2; setsid "$@" </dev/null >>"$log" 2>&1 & echo $! >"$pid"'
    arguments = ["sh", "-c", script, "sh", f"/var/log/{name}.log", f"/run/lab-{name}.pid", *command]
    subprocess.run(_inside(lab, host, arguments), env=environment(lab, host), cwd="/", check=True,
                   preexec_fn=lambda: cgroups.join(cgroup_of(lab, host)))


def daemon_pid(lab, host, name):
    """Pid of the daemon inside its host, None when it does not run."""
    root = path_in(lab, host, "")
    try:
        with open(f"{root}/run/lab-{name}.pid") as file:
            pid = int(file.read())
        with open(f"{root}/proc/{pid}/stat") as file:
            alive = file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if alive else None


def end_daemon(lab, host, name, number=signal.SIGTERM, timeout_s=15.0):
    pid = daemon_pid(lab, host, name)
    if pid is None:
        raise LabError(f"{name} does not run on {host} of lab {lab.name}", f"scripts/lab meshd start {host}")
    checked(lab, host, ["kill", f"-{int(number)}", str(pid)])
    wait_until(lambda: daemon_pid(lab, host, name) is None, timeout_s, lambda: LabError(
        f"{name} (pid {pid} inside {host}) still runs {timeout_s:g} s after signal {int(number)}",
        f"scripts/lab meshd kill {host}"), interval_s=0.01)


def log_tail(lab, host, name, lines=15):
    try:
        with open(os.path.join(disk_of(lab, host), "var", "log", name + ".log"), errors="replace") as log:
            return "".join(log.readlines()[-lines:]).rstrip()
    except FileNotFoundError:
        return "(no log)"


def kill(lab, host):
    """kill -9 of everything on the host. Its namespaces go with process 1, its cgroups as in a power cut."""
    connections.give_up_early(cgroups.processes(cgroup_of(lab, host)))
    cgroups.kill(cgroup_of(lab, host))
    cgroups.remove(cgroup_of(lab, host))
