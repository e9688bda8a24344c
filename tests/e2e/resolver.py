"""A resolver for the lab's client, so that hosts have somebody to ask: world.test has an address, nothing else exists.

    /usr/bin/python3 resolver.py ADDRESS
"""

import socket
import socketserver
import struct
import sys
import threading

ZONE = {("world.test", 1): socket.inet_aton("203.0.113.1"),
        ("world.test", 28): socket.inet_pton(socket.AF_INET6, "2001:db8:113::1")}


def answer(query):
    """RFC 1035: the question repeated, one record or NXDOMAIN."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    name = ".".join(labels).lower()
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    data = ZONE.get((name, kind))
    known = any(name == one for one, _ in ZONE)
    flags = 0x8580 if known else 0x8583
    head = query[:2] + struct.pack("!HHHHH", flags, 1, 1 if data else 0, 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
    return head + query[12:at + 5] + record


class Datagram(socketserver.BaseRequestHandler):
    def handle(self):
        query, sender = self.request
        sender.sendto(answer(query), self.client_address)


class Stream(socketserver.StreamRequestHandler):
    def handle(self):
        size = struct.unpack("!H", self.rfile.read(2))[0]
        reply = answer(self.rfile.read(size))
        self.wfile.write(struct.pack("!H", len(reply)) + reply)


def main():
    socketserver.TCPServer.allow_reuse_address = True
    stream = socketserver.ThreadingTCPServer((sys.argv[1], 53), Stream)
    threading.Thread(target=stream.serve_forever, daemon=True).start()
    socketserver.UDPServer((sys.argv[1], 53), Datagram).serve_forever()


if __name__ == "__main__":
    main()
