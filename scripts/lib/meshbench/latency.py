"""64-byte ping-pong over TCP, p50: through the mesh, between containers, by VIP; beside a direct veth."""

import contextlib
import json
import subprocess
import time

from . import rows, wires
from .lab import Lab

PORT = 7000
READY_S = 10


@contextlib.contextmanager
def _serving(command, probe):
    """A server process, ready when one probe succeeds."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while subprocess.run([*probe, "--count", "1"], capture_output=True, check=False).returncode != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no answer from `{' '.join(command)}`")
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def measure(run):
    pingpong = f"{run.bin_dir}/mesh-pingpong"
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(wires.Wires())
        one, other = direct.namespace("a"), direct.namespace("b")
        direct.veth(one, "a0", "192.0.2.1/24", other, "b0", "192.0.2.2/24")
        ask_direct = wires.inside(one, pingpong, "ask", f"192.0.2.2:{PORT}")
        stack.enter_context(_serving(wires.inside(other, pingpong, "serve", str(PORT)), ask_direct))

        run.say("starting a lab")
        lab = stack.enter_context(Lab(2, run.uplink_mode, run.bin_dir))
        lab.meshctl("network", "create", "-d", "overlay", "bench")
        for name, node, more in (("pong", "node2", ("--publish", f"{PORT}:{PORT}")), ("near", "node1", ()),
                                 ("ping", "node1", ())):
            lab.meshctl("service", "create", "-d", "--name", name, "--network", "bench", "--constraint",
                        f"node.hostname=={node}", *more, "mesh-tools")
        tasks = {name: lab.running_task(name) for name in ("pong", "near", "ping")}
        vip = lab.virtual_ip("pong", "bench")

        def in_task(name, *command):
            task = tasks[name]
            return lab.command(task.node, "nsenter", f"--net=/run/meshd/netns/{task.id}", *command)

        def ask_from_task(address):
            return in_task("ping", pingpong, "ask", f"{address}:{PORT}")

        ask_mesh = lab.command("client", pingpong, "ask", f"{lab.address('node1')}:{PORT}")
        ask_far = ask_from_task(tasks["pong"].address)
        ask_near = ask_from_task(tasks["near"].address)
        ask_vip = ask_from_task(vip)
        stack.enter_context(_serving(in_task("pong", pingpong, "serve", str(PORT)), ask_far))
        stack.enter_context(_serving(in_task("near", pingpong, "serve", str(PORT)), ask_near))
        switch_port = PORT + 1
        ask_switch = lab.command("client", pingpong, "ask", f"{lab.address('node2')}:{switch_port}")
        stack.enter_context(_serving(lab.command("node2", pingpong, "serve", str(switch_port)), ask_switch))

        def row(name, peer=""):
            return rows.Row(name, "us", peer)

        def ask(command):
            return json.loads(wires.run(*command, "--count", str(run.size.exchanges)))["p50_us"]

        return rows.interleave([
            (row("direct veth"), lambda: ask(ask_direct)),
            (row("client to host through the lab's switch", "direct veth"), lambda: ask(ask_switch)),
            (row(f"published port, task on another host ({run.uplink_mode})", "direct veth"), lambda: ask(ask_mesh)),
            (row("container to container, same host", "direct veth"), lambda: ask(ask_near)),
            (row("container to container, other host", "direct veth"), lambda: ask(ask_far)),
            (row("container to VIP, other host", "direct veth"), lambda: ask(ask_vip)),
        ], run)
