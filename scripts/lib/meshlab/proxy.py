"""A door for a browser on the machine: 127.0.0.1:PORT here → HOST:PORT in the lab, dialled from the client host.

The listening socket is made in the machine's network namespace; then the process moves into the client's, so that
every connection it dials is one of the client's. Nothing is configured anywhere for it.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys

from . import addresses, cgroups, kernel, processes
from .errors import LabError

CHUNK_BYTES = 64 * 1024


async def _pump(reader, writer):
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def _serve(listener, target):
    async def connection(reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(*target)
        except OSError:
            writer.close()  # the browser sees a reset, as it would from the host
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        for one in (writer, far_writer):
            one.close()

    server = await asyncio.start_server(connection, sock=listener)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with server:
        await stopped.wait()


def _run(lab, host, port, listener):
    client = processes.running_pid(lab, addresses.CLIENT)
    cgroups.join(processes.cgroup_of(lab, addresses.CLIENT))
    with open(f"/proc/{client}/ns/net") as namespace:
        kernel.setns(namespace.fileno(), kernel.CLONE_NEWNET)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(listener, (addresses.address_of(host).v4, port)))


def open_door(lab, host, port, listen_port=0, background=False):
    """Prints the URL and serves until interrupted; in the background until the lab goes down."""
    processes.running_pid(lab, host)
    processes.running_pid(lab, addresses.CLIENT)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", listen_port))
    except OSError as error:
        raise LabError(f"cannot listen on 127.0.0.1:{listen_port}: {error.strerror}", "another --listen PORT") from None
    listener.listen(64)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    if background:
        if os.fork() != 0:
            return
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        _run(lab, host, port, listener)
        os._exit(0)
    print(f"forwards to {host} port {port} of lab {lab.name}; Ctrl-C ends it", file=sys.stderr)
    _run(lab, host, port, listener)
