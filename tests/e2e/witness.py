"""Beside a container: looks at every packet that reaches it until standard input ends, and prints those that are not for
it, one a line. NETWORK… are the prefixes that it is on; from others nothing may come to its addresses there.
"""

import ipaddress
import select
import socket
import struct
import subprocess
import sys

OUTGOING = 4  # PACKET_OUTGOING
SHOWN_MAX = 20
NETWORKS = [ipaddress.ip_network(text) for text in sys.argv[1:]]


def ip(*arguments):
    """Not from /sys, which is the host's where only the network namespace is the container's."""
    return subprocess.run(["ip", "-o", *arguments], capture_output=True, text=True).stdout


def own_mac():
    words = ip("link", "show", "eth0").split()
    return bytes.fromhex(words[words.index("link/ether") + 1].replace(":", ""))


def own_addresses():
    text = ip("addr", "show")
    return {ipaddress.ip_address(line.split()[3].partition("/")[0]) for line in text.splitlines()}


def addresses_of(frame):
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0800 and len(frame) >= 34:
        return ipaddress.ip_address(frame[26:30]), ipaddress.ip_address(frame[30:34])
    # Who asks for a neighbour in another's name gets the answer itself, as with ARP.
    if kind == 0x86dd and len(frame) >= 55 and (frame[20], frame[54]) not in ((58, 135), (58, 136)):
        return ipaddress.ip_address(frame[22:38]), ipaddress.ip_address(frame[38:54])
    return None


def fault_of(frame, mac, own):
    if frame[:6] != mac and not frame[0] & 1:
        return "another's MAC"
    found = addresses_of(frame)
    if not found or found[1].is_multicast or found[1].is_link_local:
        return None
    source, destination = found
    if destination not in own:
        return f"for {destination}"
    network = next((one for one in NETWORKS if destination in one), None)
    if network and source not in network:
        return f"from {source} to its address in {network}"
    return None


def main():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind(("eth0", 0))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    mac = own_mac()
    own = own_addresses()
    seen = shown = 0
    print("watching", flush=True)
    while True:
        ready, _, _ = select.select([wire, sys.stdin], [], [])
        if wire not in ready:
            break
        frame, (_, _, kind, _, _) = wire.recvfrom(2048)
        if kind == OUTGOING:
            continue
        seen += 1
        fault = fault_of(frame, mac, own)
        if fault and shown < SHOWN_MAX:
            shown += 1
            print(f"{fault}: {frame[:90].hex(' ')}", flush=True)
    print(f"seen {seen}", flush=True)


main()
