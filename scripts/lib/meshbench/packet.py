"""ns per packet of each program, by test runs; each case beside the same program with one flow."""

import json

from . import rows, wires

ONE_FLOW = ", 1 flow"


def _peer(name, names):
    """The one-flow case of the same program."""
    peer = name.rsplit(",", 1)[0].replace(" UDP", "").replace(" IPv6", "") + ONE_FLOW
    return peer if peer in names and peer != name else ""


def measure(run):
    with wires.Wires() as net:
        command = wires.inside(net.namespace("packet"), f"{run.bin_dir}/mesh-packet", "--runs", str(run.size.packets))
        measured = {}
        for number in range(run.rounds):
            run.say(f"round {number + 1}/{run.rounds}")
            for name, value in json.loads(wires.run(*command)).items():
                measured.setdefault(name, []).append(value)
    return [rows.Row(name, "ns", _peer(name, measured), True, values) for name, values in measured.items()]
