"""60-byte UDP through one host, one CPU sending: plain routing, nftables DNAT, and the mesh's entry in both modes.

    generator ── a0  b0 ── host under test ── b1  c0 ── sink (counts)
"""

import contextlib
import json
import os
import subprocess
import tempfile

from . import rows, wires

PORT = 8010
SETTLE_S = 5
CLIENT, HOST_A, HOST_B, SINK = "10.9.0.1", "10.9.0.2", "10.9.1.1", "10.9.1.2"


class Path:
    """Three namespaces in a row, for one case."""

    def __init__(self, stack, bin_dir):
        self.frames = f"{bin_dir}/mesh-frames"
        net = stack.enter_context(wires.Wires())
        self.client, self.host, self.sink = (net.namespace(name) for name in ("client", "host", "sink"))
        net.veth(self.client, "a0", f"{CLIENT}/24", self.host, "b0", f"{HOST_A}/24")
        net.veth(self.host, "b1", f"{HOST_B}/24", self.sink, "c0", f"{SINK}/24")
        wires.run("ip", "-n", self.client, "route", "add", "default", "via", HOST_A)
        wires.run("ip", "-n", self.sink, "route", "add", "default", "via", HOST_B)
        wires.run(*wires.inside(self.host, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        wires.run(*wires.inside(self.client, "ping", "-c1", "-q", "-W2", SINK))
        self.next_hop, self.own = net.mac(self.host, "b0"), net.mac(self.client, "a0")
        self.sink_mac = net.mac(self.sink, "c0")

    def packets_per_second(self, destination, counted_port, seconds):
        """What arrives at the sink while one CPU sends."""
        counter = subprocess.Popen(
            wires.inside(self.sink, self.frames, "count", "--interface", "c0", "--port", str(counted_port), "--seconds",
                         str(SETTLE_S + seconds)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if counter.stderr.readline().strip() != "ready":
                raise RuntimeError("the sink did not start: " + counter.stderr.read())
            sent = json.loads(wires.run(*wires.inside(
                self.client, self.frames, "send", "--interface", "a0", "--source", CLIENT, "--destination", destination,
                "--next-hop", self.next_hop, "--own", self.own, "--port", str(PORT), "--seconds", str(seconds), "--cpu",
                "0")))
            counter.terminate()
            counted = json.loads(counter.communicate(timeout=SETTLE_S)[0])["counted"]
        finally:
            if counter.poll() is None:
                counter.kill()
                counter.communicate()
        return counted / sent["seconds"] / 1000


def _masquerading(path):
    wires.run(*wires.inside(path.host, "nft", "-f", "-"), input=f"""
        table ip bench {{
            chain before {{
                type nat hook prerouting priority dstnat
                ip daddr {HOST_A} udp dport {PORT} dnat to {SINK}:{PORT}
            }}
            chain after {{
                type nat hook postrouting priority srcnat
                oifname "b1" masquerade
            }}
        }}""")


@contextlib.contextmanager
def _mesh(path, bin_dir, mode):
    """mesh-static on the host under test, its backend behind the sink's address."""
    description = {
        "Self": 1, "Mode": mode, "Uplinks": ["b0", "b1"],
        "Nodes": [{"Number": 1, "Address": HOST_A},
                  {"Number": 2, "Address": SINK, "Uplink": "b1", "Source": HOST_B, "NextHop": path.sink_mac}],
        "Ports": [{"Protocol": "udp", "Port": PORT, "Backends": [{"Node": 2, "Binding": 1}]}],
    }
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "mesh.json")
        with open(file, "w", encoding="utf-8") as out:
            json.dump(description, out)
        # A bpffs of its own in a private mount namespace: `ip netns exec` makes one, and its /sys is fresh.
        script = f"mount -t bpf bpf /sys/fs/bpf && exec {bin_dir}/mesh-static --pin-dir /sys/fs/bpf/bench {file}"
        process = subprocess.Popen(wires.inside(path.host, "sh", "-c", script), stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError("mesh-static did not start: " + process.stderr.read())
            yield
        finally:
            process.terminate()
            process.communicate(timeout=SETTLE_S)


def measure(run):
    bin_dir, seconds = run.bin_dir, run.size.seconds
    with contextlib.ExitStack() as stack:
        routed, translated = Path(stack, bin_dir), Path(stack, bin_dir)
        _masquerading(translated)
        cases = [
            (rows.Row("plain routing", "kpps", "nftables DNAT + masquerade", False),
             lambda: routed.packets_per_second(SINK, PORT, seconds)),
            (rows.Row("nftables DNAT + masquerade", "kpps", "", False),
             lambda: translated.packets_per_second(HOST_A, PORT, seconds)),
        ]
        for mode in ("tc", "xdp"):
            path = Path(stack, bin_dir)
            stack.enter_context(_mesh(path, bin_dir, mode))
            cases.append((rows.Row(f"mesh entry, {mode}", "kpps", "nftables DNAT + masquerade", False),
                          lambda path=path: path.packets_per_second(HOST_A, 4789, seconds)))
        return rows.interleave(cases, run)
