"""From `service create` (image present) to the first answer on a published port of another host."""

import subprocess
import time

from . import rows
from .lab import Lab

PORT = 7080
FIRST_ANSWER_S = 60


def measure(bin_dir, rounds, uplink_mode, say):
    say("starting a lab")
    with Lab(2, uplink_mode, bin_dir) as lab:
        lab.meshctl("image", "pull", "nginx", host="node2")
        url = f"http://{lab.address('node1')}:{PORT}/"
        fetch = lab.command("client", "sh", "-c",
                            f"until curl -sf -o /dev/null --max-time 1 {url}; do :; done")

        def once():
            begin = time.monotonic()
            lab.meshctl("service", "create", "-d", "--name", "first", "--constraint", "node.hostname==node2", "--publish",
                        f"{PORT}:80", "nginx")
            subprocess.run(fetch, check=True, timeout=FIRST_ANSWER_S)
            elapsed = time.monotonic() - begin
            lab.meshctl("service", "rm", "first")
            deadline = time.monotonic() + FIRST_ANSWER_S
            while lab.api("/tasks") and time.monotonic() < deadline:
                time.sleep(0.05)
            return elapsed * 1000

        return rows.interleave([(rows.Row("service create to first answer", "ms"), once)], rounds, say)
