"""Until a lab of three is one cluster, and from `service create` (image present) to the first answer elsewhere."""

import subprocess
import time

from meshlab.waiting import wait_until

from . import rows
from .lab import Lab

PORT = 7080
FIRST_ANSWER_S = 60


def _elapsed_ms(begin):
    return (time.monotonic() - begin) * 1000


def _lab_up(run):
    """`scripts/lab up 3`, to the moment at which every kernel holds the tables."""
    begin = time.monotonic()
    with Lab(3, run.uplink_mode, run.bin_dir):
        return _elapsed_ms(begin)


def _first_answer(lab, fetch):
    begin = time.monotonic()
    lab.meshctl("service", "create", "-d", "--name", "first", "--constraint", "node.hostname==node2", "--publish",
                f"{PORT}:80", "nginx")
    subprocess.run(fetch, check=True, timeout=FIRST_ANSWER_S)
    elapsed = _elapsed_ms(begin)
    lab.meshctl("service", "rm", "first")
    wait_until(lambda: not lab.api("/tasks"), FIRST_ANSWER_S, lambda: RuntimeError("the service's task does not end"))
    return elapsed


def measure(run):
    run.say("starting a lab")
    with Lab(2, run.uplink_mode, run.bin_dir) as lab:
        lab.meshctl("image", "pull", "nginx", host="node2")
        url = f"http://{lab.address('node1')}:{PORT}/"
        fetch = lab.command("client", "sh", "-c",
                            f"until curl -sf -o /dev/null --max-time 1 {url}; do :; done")
        return rows.interleave([
            (rows.Row("lab up 3", "ms"), lambda: _lab_up(run)),
            (rows.Row("service create to first answer", "ms"), lambda: _first_answer(lab, fetch)),
        ], run)
