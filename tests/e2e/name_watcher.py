"""Asks one name of one resolver without pause and tells when the answer changes, until its input ends.

    /usr/bin/python3 name_watcher.py RESOLVER NAME

One line per change: the time in seconds since the epoch at which the new answer came, and its IPv4 addresses, sorted.
"""

import os
import select
import socket
import struct
import sys
import time

PAUSE_S = 0.003
ANSWER_S = 1.0


def question(name, identity):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def addresses(answer):
    """The A records of an answer whose names are all compressed pointers, as mesh-dns writes them."""
    count = struct.unpack("!H", answer[6:8])[0]
    at = answer.index(b"\0", 12) + 5
    found = []
    for _ in range(count):
        kind, _, _, size = struct.unpack("!HHIH", answer[at + 2:at + 12])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 12:at + 12 + size]))
        at += 12 + size
    return sorted(found)


def main(resolver, name):
    shown = None
    identity = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect((resolver, 53))
        asker.settimeout(ANSWER_S)
        while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
            identity = (identity + 1) % 65536
            try:
                asker.send(question(name, identity))
                answer = asker.recv(4096)
                while answer[:2] != struct.pack("!H", identity):  # late, of a question given up
                    answer = asker.recv(4096)
            except OSError:
                continue
            now = time.time()
            if (found := addresses(answer)) != shown:
                shown = found
                print(f"{now:.6f}", *found, flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
