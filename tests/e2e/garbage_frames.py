"""Sends frames of the fuzzers' corpus, damaged, on an interface until its standard input ends:

    INTERFACE SEED CORPUS DESTINATION_MAC SOURCE_MAC OLD=NEW…

OLD=NEW replace addresses, MACs and ports of the corpus's world (tests/packet/bpf/three_hosts.h) by the lab's, in hexadecimal.
Prints how many frames went out.
"""

import os
import random
import select
import socket
import struct
import sys

BURST = 20  # frames between two looks at standard input, with a pause of PAUSE_S
PAUSE_S = 0.01
FRAME_MAX = 1500
INTERFACE, SEED, CORPUS, *PLACES = sys.argv[1:]
chance = random.Random(int(SEED))
TO, FROM, *replacements = PLACES
REPLACEMENTS = [tuple(bytes.fromhex(part) for part in one.split("=")) for one in replacements]


def corpus():
    """The frames of tests/packet/bpf/steps.h, whatever program they were meant for."""
    frames = []
    for name in sorted(os.listdir(CORPUS)):
        with open(os.path.join(CORPUS, name), "rb") as file:
            data = file.read()
        while len(data) > 17:
            length = int.from_bytes(data[1:3], "big")
            if 15 <= length <= len(data) - 3:
                frames.append(data[3:3 + length])
            data = data[3 + length:]
    return frames


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) // 2 * 2]))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def put_right(frame):
    """The IPv4 headers' checksums: the frame's own and the one in the tunnel."""
    for at in (14, 64):
        if len(frame) >= at + 20 and frame[at] == 0x45:
            frame[at + 10:at + 12] = b"\0\0"
            frame[at + 10:at + 12] = struct.pack("!H", checksum(bytes(frame[at:at + 20])))


def damaged(frame):
    for old, new in REPLACEMENTS:
        frame = frame.replace(old, new)
    frame = bytearray(bytes.fromhex(TO) + bytes.fromhex(FROM) + frame[12:])
    for _ in range(chance.choice((0, 0, 1, 1, 2, 5))):
        frame[chance.randrange(12, len(frame))] = chance.randrange(256)
    if chance.random() < 0.1:
        frame = frame[:chance.randrange(15, len(frame) + 1)]
    if chance.random() < 0.8:
        put_right(frame)
    return bytes(frame[:FRAME_MAX])


def main():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((INTERFACE, 0))
    frames = corpus()
    sent = 0
    print("sending", flush=True)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        for _ in range(BURST):
            try:
                sent += wire.send(damaged(chance.choice(frames))) > 0
            except OSError:
                pass  # the kernel itself refuses the worst ones
    print(sent, flush=True)


main()
