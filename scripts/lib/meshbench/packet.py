"""ns per packet of each program, by test runs, beside a floor program that does only what every balancer must do."""

import json
import subprocess

from . import rows, wires

# Case: (limit in ns, {peer: limit of the ratio}).
TARGETS = {
    "not ours, passed": (None, {}),
    "entry, 1 flow": (70, {"floor, 1 flow": 1.8}),
    "entry, 64 Ki flows": (80, {"floor, 64 Ki flows": 1.8, "entry, 1 flow": 1.3}),
    "entry, all new": (80, {"floor, all new": 1.8, "entry, 1 flow": 1.3}),
    "entry IPv6, 1 flow": (None, {"entry, 1 flow": 1.25}),
    "entry IPv6, 64 Ki flows": (None, {"entry, 64 Ki flows": 1.25}),
    "entry UDP, 1 flow": (None, {"entry, 1 flow": 1.25}),
    "entry UDP, 64 Ki flows": (None, {"entry, 64 Ki flows": 1.25}),
    "entry, 10 % of slots moved": (None, {"entry, 64 Ki flows": 1.7}),
    "entry, 1,000 services": (None, {"entry, 64 Ki flows": 1.6}),
    "entry, 10,000 services": (260, {"floor, 10,000 services": None}),
    "entry by tc, 1 flow": (None, {"entry, 1 flow": None}),
    "entry by tc, 64 Ki flows": (None, {"entry by tc, 1 flow": None}),
    "backend, 1 flow": (60, {}),
    "backend, 64 Ki flows": (90, {}),
    "backend, 10 % of slots moved": (None, {"backend, 64 Ki flows": 1.7}),
    "backend SYN with insert, 64 Ki flows": (200, {}),
    "backend SYN with insert, all new": (200, {}),
    "backend by tc, 1 flow": (None, {"backend, 1 flow": None}),
    "backend by tc, 64 Ki flows": (None, {"backend by tc, 1 flow": None}),
    "reply from the entry host, 1 flow": (None, {}),
    "reply from the entry host, 64 Ki flows": (None, {"reply from the entry host, 1 flow": None}),
}
ONE_BY_ONE = "one packet per test run, as of every case by tc that changes the packet's size"
# What a test run of one packet adds is known of what can be measured in both ways: of a reply that stays as large as it
# is, and of making room in front of an skb. It is taken off what cannot be, which is the two together.
BURSTS = {f"reply to another host, as in a burst, {flows}": (
    f"reply to another host, {flows}", f"reply from the entry host, one by one, {flows}",
    f"reply from the entry host, {flows}", limit) for flows, limit in (("1 flow", 120), ("64 Ki flows", 220))}
ROOM, ROOM_ONE_BY_ONE = "room for a header made and taken back", "room for a header made and taken back, one by one"
NOTES = {"entry by tc, 1 flow": ONE_BY_ONE}


def measure(run):
    with wires.Wires() as net:
        command = wires.inside(net.namespace("packet"), f"{run.bin_dir}/mesh-packet", "--runs", str(run.size.packets),
                               "--rounds", str(run.rounds), "--cpu", str(run.cpus()[0]))
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            errors = []
            for line in process.stderr:
                errors.append(line)
                run.say(line.strip())
            output = process.stdout.read()
    if process.returncode != 0:
        raise RuntimeError("mesh-packet: " + "".join(errors))
    found = json.loads(output)
    measured = []
    for name, values in found["cases"].items():
        limit, peers = TARGETS.get(name, (None, {}))
        measured.append(rows.Row(name, "ns", peers, limit, values=values, note=NOTES.get(name, "")))
    for name, (one_by_one, costs, burst, limit) in BURSTS.items():
        # The best of what is taken off: a disturbed one would make the rest smaller.
        cost = min(found["cases"][costs]) - min(found["cases"][burst])
        # Made and taken back is twice.
        cost += (min(found["cases"][ROOM_ONE_BY_ONE]) - min(found["cases"][ROOM])) / 2
        values = [value - cost for value in found["cases"][one_by_one]]
        measured.append(rows.Row(name, "ns", {}, limit, values=values,
                                 note=f"{one_by_one}, less what measuring one by one costs the reply from the entry host "
                                      "and making room for the header"))
    measured.append(rows.Row("rewrite of 10,000 rings", "ms", {}, 10, values=found["rewrite_ms"]))
    # The same in every round: nothing is timed.
    measured.append(rows.Row("tables at their largest", "MiB", values=[found["table_bytes"] / rows.MIB] * run.rounds,
                             note=f"the flow table takes {found['flow_bytes'] / rows.MIB:.1f} MiB more; what tables of a "
                                  "cluster take is in the group scale"))
    return measured


def sizes(bin_dir):
    """Program -> {"jit", "instructions", "maps"}."""
    with wires.Wires() as net:
        return json.loads(wires.run(*wires.inside(net.namespace("sizes"), f"{bin_dir}/mesh-packet", "--sizes")))
