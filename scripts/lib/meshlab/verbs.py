"""What scripts/lab can do, one function per verb."""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

from . import addresses, cgroups, cluster, connections, processes, registry, registry_disk, state, toolbox, wires
from .errors import LabError


def require_root():
    if os.geteuid() != 0:
        raise LabError("a lab needs root: it makes network, mount and pid namespaces and cgroups", "sudo scripts/lab …")


def up(name, nodes, uplink_mode, build_dir, daemons=True, formed=True, uplink="eth0"):
    """daemons: meshd on every node. formed: one cluster of them."""
    if not 1 <= nodes <= addresses.NODES_MAX:
        raise LabError(f"a lab has 1 to {addresses.NODES_MAX} nodes, not {nodes}")
    state.check_name(name)
    toolbox.registry()
    build_dir = os.path.realpath(build_dir)
    if daemons:
        cluster.check_binaries(build_dir)
    storage = registry_disk.filled(build_dir) if registry_disk.is_built(build_dir) else ""
    lab = state.Lab(name, nodes, uplink_mode, build_dir, storage, daemons, uplink=uplink)
    with state.locked(name):
        if state.exists(name):
            raise LabError(f"a lab called {name} exists already",
                           f"scripts/lab down --name {name}, or another --name for a second lab")
        try:
            os.makedirs(lab.directory)
            lab.save()
            _bring_up(lab, formed)
        except BaseException:
            with contextlib.suppress(LabError, OSError):
                _take_down(lab.name)
            raise
    return lab


def _bring_up(lab, formed):
    processes.boot(lab, [processes.SWITCH, *lab.hosts()])
    wires.start_switch(lab)
    wires.plug(lab, lab.hosts())
    registry.start(lab)
    daemons = lab.node_names() if lab.daemons else []
    for host in daemons:
        cluster.start(lab, host)
    registry.await_ready(lab)
    _on_all(daemons, lambda host: cluster.await_ready(lab, host))
    if daemons and formed:
        cluster.form(lab)


def _on_all(hosts, work):
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        list(pool.map(work, hosts))


def _take_down(name):
    connections.give_up_early(cgroups.processes(state.cgroup_of(name)))
    cgroups.kill(state.cgroup_of(name))
    cgroups.remove(state.cgroup_of(name))
    if os.path.isdir(os.path.join(state.HOME, name)):
        state.discard(name)


def down(name):
    """Works after any crash: all that a lab has is found from its name."""
    with state.locked(name):
        if not state.exists(name):
            state.load(name)  # says that there is no such lab, and which there are
        _take_down(name)


def cut(name, host):
    _set_cut(name, host, True)


def heal(name, host):
    _set_cut(name, host, False)


def _set_cut(name, host, is_cut):
    with state.locked(name):
        lab = state.load(name)
        lab.check_host(host)
        lab.cut = sorted(set(lab.cut) - {host} | ({host} if is_cut else set()))
        wires.apply_cuts(lab)
        lab.save()


def kill(name, host):
    with state.locked(name):
        lab = state.load(name)
        lab.check_host(host)
        processes.running_pid(lab, host)
        wires.unplug(lab, host)
        processes.kill(lab, host)


def restart(name, host):
    """Boots the host with the disk it had; kills it first if it runs."""
    with state.locked(name):
        lab = state.load(name)
        lab.check_host(host)
        wires.unplug(lab, host)
        processes.kill(lab, host)
        processes.boot(lab, [host])
        wires.plug(lab, [host])
        if host == addresses.REGISTRY:
            registry.start(lab)
            registry.await_ready(lab)
        elif addresses.node_number(host) and lab.daemons:
            cluster.start(lab, host)
            cluster.await_ready(lab, host)


def meshd(name, action, host):
    """start, stop (SIGTERM), kill (SIGKILL) or restart (SIGTERM, start) the daemon alone; its host lives on."""
    lab = state.load(name)
    lab.check_host(host)
    if addresses.node_number(host) is None:
        raise LabError(f"meshd runs on nodes, not on {host}", "one of " + " ".join(lab.node_names()))
    if action in ("stop", "restart"):
        processes.end_daemon(lab, host, "meshd")
    if action == "kill":
        processes.end_daemon(lab, host, "meshd", 9)
    if action in ("start", "restart"):
        cluster.check_binaries(lab.build_dir)
        cluster.start(lab, host)
        cluster.await_ready(lab, host)


def execute(name, host, command):
    lab = state.load(name)
    lab.check_host(host)
    processes.replace_this(lab, host, command)


def open_door(name, host, port, listen_port, background):
    lab = state.load(name)
    lab.check_host(host)
    from . import proxy  # here, because asyncio would double the start-up time of every other verb

    proxy.open_door(lab, host, port, listen_port, background)


def status(name):
    """Rows of host, state, addresses, meshd and pid."""
    lab = state.load(name)
    rows = [("HOST", "STATE", "WIRE", "IPV4", "IPV6", "MESHD", "PID")]
    for host in lab.hosts():
        pid = processes.pid_of(lab, host)
        address = addresses.address_of(host)
        daemon = "-"
        if pid is not None and addresses.node_number(host):
            daemon = "running" if processes.daemon_pid(lab, host, "meshd") else "stopped"
        rows.append((host, "up" if pid else "down", "cut" if host in lab.cut else "ok", address.v4, address.v6, daemon,
                     str(pid or "-")))
    return lab, rows
