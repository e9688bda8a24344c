"""The switch and the wires. Every wire is a veth pair made inside the switch's namespace with its far end, eth0,
born in the host's: none of it ever shows among the machine's own interfaces.

    node1:eth0 ── p-node1 ┐
    node2:eth0 ── p-node2 ├ br0 (switch)
    client:eth0 ─ p-client┘
"""

import subprocess

from . import addresses, processes
from .errors import LabError

MTU = 1500
CUT_TABLE = "lab_cut"


def _in_network(lab, host, command, text=None):
    """A command of the machine in the host's network namespace only."""
    full = ["nsenter", "-t", str(processes.running_pid(lab, host)), "-n", "--", *command]
    result = subprocess.run(full, input=text, capture_output=True, text=True)
    if result.returncode != 0:
        raise LabError(f"`{' '.join(command)}` for {host} of lab {lab.name}: {result.stderr.strip()}")
    return result.stdout


def _ip(lab, host, commands):
    _in_network(lab, host, ["ip", "-batch", "-"], "\n".join(commands) + "\n")


def start_switch(lab):
    _ip(lab, processes.SWITCH, [
        "link set lo up",
        "link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0",
        "link set br0 addrgenmode none up",
    ])


def _set_offloads(lab, host, interface):
    """A real wire carries finished checksums and single frames, and XDP needs that; tc keeps GSO, the fast way.

    GRO is on everywhere: without NAPI at the receiving end a veth loses every packet that XDP redirects into it.
    """
    state = "off" if lab.uplink_mode == "xdp" else "on"
    _in_network(lab, host, ["ethtool", "-K", interface, "tx", state, "tso", state, "gso", state, "gro", "on"])


def plug(lab, hosts):
    """Wires booted hosts to the switch and gives them their addresses."""
    commands = []
    for host in hosts:
        port = addresses.port_of(host)
        commands += [
            f"link add {port} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {processes.running_pid(lab, host)}",
            f"link set {port} master br0 addrgenmode none up",
        ]
    _ip(lab, processes.SWITCH, commands)
    for host in hosts:
        address = addresses.address_of(host)
        number = int(address.v4.rpartition(".")[2])
        commands = [
            "link set lo up",
            f"link set eth0 address 02:4d:4c:00:00:{number:02x}",
            f"address add {address.v4}/24 dev eth0",
            f"address add {address.v6}/64 dev eth0 nodad",
            "link set eth0 up",
        ]
        router = addresses.address_of(addresses.CLIENT)
        if host == addresses.CLIENT:
            commands += [f"address add {addresses.WORLD_V4}/32 dev lo", f"address add {addresses.WORLD_V6}/128 dev lo"]
        else:
            commands += [f"route add default via {router.v4}", f"route add default via {router.v6}"]
        _ip(lab, host, commands)
        _set_offloads(lab, host, "eth0")
        _set_offloads(lab, processes.SWITCH, addresses.port_of(host))
    apply_cuts(lab)


def unplug(lab, host):
    """Before the host is killed: its processes die one after the other, and as in a power cut none may tell of that.

    A restart also needs the port's name at once, and the kernel removes a dead host's wire in its own time."""
    port = addresses.port_of(host)
    existing = _in_network(lab, processes.SWITCH, ["ip", "-o", "link", "show", "master", "br0"])
    if f" {port}@" in existing:
        try:
            _ip(lab, processes.SWITCH, [f"link delete {port}"])
        except LabError as error:
            if "Cannot find device" not in str(error):
                raise


def apply_cuts(lab):
    """Loses the frames of cut hosts inside the switch, both ways: the hosts' links stay up, as behind a real switch."""
    rules = [f"table bridge {CUT_TABLE}", f"delete table bridge {CUT_TABLE}"]
    if lab.cut:
        rules += [f"table bridge {CUT_TABLE} {{", "chain forward {", "type filter hook forward priority 0"]
        for host in lab.cut:
            rules += [f"iifname {addresses.port_of(host)} drop", f"oifname {addresses.port_of(host)} drop"]
        rules += ["}", "}"]
    _in_network(lab, processes.SWITCH, ["nft", "-f", "-"], "\n".join(rules) + "\n")
