"""Sends malformed frames on an interface: INTERFACE ADDRESS PORT SEED. Every kind of header, cut off everywhere,
with wrong lengths and random bytes, to the mesh's own ports. The destination MAC is the neighbour's."""

import random
import socket
import struct
import subprocess
import sys

FRAMES = 4000
INTERFACE, ADDRESS, PORT, SEED = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(SEED)


def mac_of(interface):
    with open(f"/sys/class/net/{interface}/address") as file:
        return bytes.fromhex(file.read().strip().replace(":", ""))


def neighbour_mac():
    """Asked for once by an ordinary datagram; broadcast when nobody is known."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (ADDRESS, 9))
    text = subprocess.run(["ip", "neigh", "show", ADDRESS], capture_output=True, text=True).stdout.split()
    return bytes.fromhex(text[text.index("lladdr") + 1].replace(":", "")) if "lladdr" in text else b"\xff" * 6


def noise(size):
    return chance.randbytes(size)


def tcp():
    return struct.pack("!HHIIBBHHH", chance.randrange(65536), PORT, chance.randrange(2**32), 0,
                       chance.randrange(16) << 4, chance.randrange(256), 1000, 0, 0) + noise(chance.randrange(40))


def udp(port, payload):
    length = chance.choice([8 + len(payload), 0, 7, 65535, chance.randrange(65536)])
    return struct.pack("!HHHH", chance.randrange(65536), port, length, chance.randrange(65536)) + payload


def vxlan():
    head = struct.pack("!II", chance.choice([0x08000000, 0, 0xffffffff]), chance.choice([4096, 4097, chance.randrange(2**24)]) << 8 |
                       chance.randrange(256))
    return udp(4789, head + chance.choice([b"", noise(13), noise(14), noise(14) + ipv4(6, tcp()), noise(60)]))


def ipv4(protocol, payload):
    length = chance.choice([20 + len(payload), 0, 19, 65535])
    return struct.pack("!BBHHHBBH4s4s", chance.choice([0x45, 0x45, 0x45, 0x46, 0x4f, 0x40, 0x05]), 0, length, 1,
                       chance.choice([0, 0x2000, 0x1fff, 0x4000]), 64, protocol, 0, noise(4), socket.inet_aton(ADDRESS)) + payload


def ipv6(protocol, payload):
    return struct.pack("!IHBB", 0x60000000, chance.choice([len(payload), 0, 65535]), chance.choice([protocol, 0, 43, 44, 60]),
                       64) + noise(32) + payload


def icmp():
    return struct.pack("!BBHI", chance.choice([3, 8, 11, 128, 135]), chance.randrange(20), 0, 0) + noise(chance.randrange(60))


def frame(head):
    payload = chance.choice([tcp, lambda: udp(PORT, noise(20)), vxlan, icmp, lambda: noise(chance.randrange(80))])()
    kind, packet = chance.choice([(0x0800, ipv4(chance.choice([6, 17, 1, 4, 132]), payload)),
                                  (0x86dd, ipv6(chance.choice([6, 17, 58]), payload)), (0x0806, noise(28)),
                                  (0x8100, noise(4) + ipv4(6, payload)), (chance.randrange(65536), noise(60))])
    whole = head + struct.pack("!H", kind) + packet
    return whole[:chance.randrange(14, len(whole) + 1)] if chance.random() < 0.5 else whole


def main():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((INTERFACE, 0))
    head = neighbour_mac() + mac_of(INTERFACE)
    for _ in range(FRAMES):
        try:
            wire.send(frame(head)[:1500])
        except OSError:
            pass  # the kernel itself refuses the worst ones


main()
