"""Servers of mesh-pingpong, and the commands that ask them."""

import json

from . import haproxy, hosts, wires

# Published: answered through the entry host, answered directly, and where HAProxy listens.
PORT, DSR_PORT, PROXY_PORT = 7000, 7001, 7002


class Conversations:
    """Of one run. Both ends are pinned to one CPU: between two, waking the other up costs three
    times as much as all that is compared here."""

    def __init__(self, run, stack):
        self.run = run
        self.stack = stack
        self.tool = f"{run.bin_dir}/mesh-pingpong"
        self.cpu = run.cpus()[0]
        self.served = set()

    def serve(self, namespace, port, probe):
        if (namespace, port) in self.served:
            return
        self.served.add((namespace, port))
        command = wires.pinned(self.cpu, *wires.inside(namespace, self.tool, "serve", str(port)))
        self.stack.enter_context(hosts.serving(command, probe))

    def _command(self, verb, end, prefix=()):
        """end: (client, server, address, its port, the server's port)."""
        client, server, address, port, served = end
        command = [*prefix, *wires.pinned(self.cpu, *wires.inside(client, self.tool, verb, f"{address}:{port}"))]
        self.serve(server, served, [*prefix, *wires.inside(client, self.tool, "ask", f"{address}:{port}", "--count", "1")])
        return command

    def ask(self, client, server, address, port=PORT, served=None, prefix=()):
        """A measurement: p50 in microseconds. served: the server's port, if it is another."""
        command = self._command("ask", (client, server, address, port, served or port), prefix)
        return lambda: json.loads(wires.run(*command, "--count", str(self.run.size.exchanges)))["p50_us"]

    def visit(self, client, server, address, port=PORT, served=None):
        """A measurement: thousands of connections in a second, each for one message."""
        command = self._command("visit", (client, server, address, port, served or port))

        def measured():
            result = json.loads(wires.run(*command, "--seconds", str(self.run.size.seconds)))
            return result["count"] / result["seconds"] / 1000

        return measured

    def through_haproxy(self, classic):
        """What ask() and visit() take to go by HAProxy on the entry host of the classic mesh: one, or none without it."""
        if not haproxy.program():
            return []
        listen, pong = f"{hosts.HOST1_CLIENT}:{PROXY_PORT}", classic.containers["pong"]
        self.stack.enter_context(haproxy.proxying(classic.host1, self.cpu, listen, f"{hosts.address('pong')}:{PORT}"))
        return [(classic.client, pong, hosts.HOST1_CLIENT, PROXY_PORT, PORT)]
