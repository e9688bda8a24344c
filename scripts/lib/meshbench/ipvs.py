"""The published port beside IPVS in the shape in which Docker uses it, in the virtual machine of scripts/test-kernels, whose
kernel has it. Its clock counts instructions, so these figures are no times of any machine; their ratios are of one boot.

What Docker does on the entry host: DNAT to a namespace of its own, in it a mark, IPVS (NAT) by that mark, and SNAT to its
address on the ingress network, so that answers come back through it.

    client e0 ── c0  host1 gw0 ── eth1  ingress  eth0 ── br0, VXLAN … host2 … pong
"""

import contextlib
import json
import os
import subprocess
import sys

from . import hosts, rows, wires
from .conversations import PORT, Conversations

KERNEL = "6.12"
EXCHANGES_MAX = 500  # a clock that counts instructions does not swing
RESULT = "figures "  # how the line with them begins
GATEWAY, INGRESS, INGRESS_OVERLAY = "172.18.0.1", "172.18.0.2", "10.1.0.250"
MARK = "256"
VETH = "direct veth"
CLASSIC = "published port, nftables DNAT + masquerade, bridges, VXLAN"
IPVS = "published port, IPVS as Docker uses it, bridges, VXLAN"
MESH = "published port, mesh (tc)"


def join_by_ipvs(classic):
    """On top of bridges and VXLAN devices (hosts.join_by_bridges without published ports)."""
    host, ingress = classic.host1, classic.net.namespace("ingress")
    wires.run("ip", "-n", host, "link", "add", "gw0", "type", "bridge")
    for name, bridge, inside, address in (("in1", "gw0", "eth1", f"{INGRESS}/16"),
                                          ("in0", "br0", "eth0", f"{INGRESS_OVERLAY}/24")):
        wires.run("ip", "-n", host, "link", "add", name, "type", "veth", "peer", "name", inside, "netns", ingress)
        wires.run("ip", "-n", host, "link", "set", name, "master", bridge, "up", "mtu", hosts.MTU)
        wires.run("ip", "-n", ingress, "addr", "add", address, "dev", inside)
        wires.run("ip", "-n", ingress, "link", "set", inside, "up", "mtu", hosts.MTU)
    wires.run("ip", "-n", host, "addr", "add", f"{GATEWAY}/16", "dev", "gw0")
    wires.run("ip", "-n", host, "link", "set", "gw0", "up")
    wires.run("ip", "-n", ingress, "route", "add", "default", "via", GATEWAY)
    wires.run(*wires.inside(host, "nft", "-f", "-"), input=f"""
        table ip bench {{
            chain before {{ type nat hook prerouting priority dstnat
                ip daddr {hosts.HOST1_CLIENT} tcp dport {PORT} dnat to {INGRESS}:{PORT}
            }}
        }}""")
    wires.run(*wires.inside(ingress, "ipvsadm", "-A", "-f", MARK, "-s", "rr"))  # loads the module, whose settings follow
    wires.run(*wires.inside(ingress, "ipvsadm", "-a", "-f", MARK, "-r", f"{hosts.address('pong')}:0", "-m"))
    wires.run(*wires.inside(ingress, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.vs.conntrack=1"))
    wires.run(*wires.inside(ingress, "nft", "-f", "-"), input=f"""
        table ip bench {{
            chain marking {{ type filter hook prerouting priority mangle
                tcp dport {PORT} meta mark set {MARK}
            }}
            chain after {{ type nat hook postrouting priority srcnat
                ip daddr 10.1.0.0/16 snat to {INGRESS_OVERLAY}
            }}
        }}""")


def _cases(stack, run):
    talk = Conversations(run, stack)
    published = [("tcp", PORT, "pong")]
    net = stack.enter_context(wires.Wires())
    one, other = net.namespace("a"), net.namespace("b")
    net.veth(one, "a0", "192.0.2.1/24", other, "b0", "192.0.2.2/24")
    classic, by_ipvs, mesh = (hosts.Hosts(stack) for _ in range(3))
    hosts.join_by_bridges(classic, published)
    hosts.join_by_bridges(by_ipvs)
    join_by_ipvs(by_ipvs)
    hosts.join_by_mesh(mesh, run.bin_dir, "tc", published)
    yield rows.Row(VETH, "us"), talk.ask(one, other, "192.0.2.2")
    for name, world, address, peers in ((CLASSIC, classic, hosts.HOST1_CLIENT, [VETH]),
                                        (IPVS, by_ipvs, hosts.HOST1_CLIENT, [VETH, CLASSIC]),
                                        (MESH, mesh, hosts.HOST1, [VETH, CLASSIC, IPVS])):
        yield rows.Row(name, "us", dict.fromkeys(peers)), talk.ask(world.client, world.containers["pong"], address)


def measure(run):
    """Boots the machine, has it measure, and reads what it says."""
    run.say(f"booting kernel {KERNEL} in a virtual machine")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    wanted = {"MESH_BUILD_DIR": os.path.dirname(run.bin_dir), "MESH_BENCH_ROUNDS": str(run.rounds),
              "MESH_BENCH_EXCHANGES": str(min(run.size.exchanges, EXCHANGES_MAX))}
    done = subprocess.run([os.path.join(root, "scripts", "test-kernels"), "--bench", KERNEL], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, env={**os.environ, **wanted})
    return figures(done.stdout) if done.returncode == 0 else failed(done.stdout)


def failed(output):
    raise RuntimeError("the virtual machine measured nothing; its last lines:\n" + "\n".join(output.splitlines()[-30:]))


def as_line(measured):
    return RESULT + json.dumps([{"name": row.name, "unit": row.unit, "peers": row.peers, "values": row.values}
                                for row in measured])


def figures(output):
    """The rows of what the machine said."""
    found = [line for line in output.splitlines() if line.startswith(RESULT)]
    return [rows.Row(**row) for row in json.loads(found[-1][len(RESULT):])] if found else failed(output)


def main():
    """Inside the machine: BIN_DIR ROUNDS EXCHANGES."""
    size = rows.Size(packets=0, seconds=1, exchanges=int(sys.argv[3]), services=0)
    run = rows.Run(sys.argv[1], int(sys.argv[2]), "tc", size, lambda text: print(text, flush=True))
    with contextlib.ExitStack() as stack:
        measured = rows.interleave(list(_cases(stack, run)), run)
    print(as_line(measured), flush=True)


if __name__ == "__main__":
    main()
