"""Sends frames of a TCP SYN with a VLAN tag: INTERFACE MAC SOURCE DESTINATION PORT VLAN COUNT. VLAN -1: no tag."""

import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def syn(source, destination, source_port, port):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    tcp = struct.pack("!HHIIBBHHH", source_port, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", checksum(addresses + struct.pack("!HH", 6, len(tcp)) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + addresses
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + tcp


def main():
    interface, mac, source, destination, port, vlan, count = sys.argv[1:]
    tag = b"" if int(vlan) < 0 else struct.pack("!HH", 0x8100, int(vlan))
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        own = wire.getsockname()[4]
        for number in range(int(count)):
            wire.send(bytes.fromhex(mac.replace(":", "")) + own + tag + b"\x08\x00" +
                      syn(source, destination, 40000 + number, int(port)))


main()
