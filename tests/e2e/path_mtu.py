"""The two ends of the path MTU tests; run beside a container, in a host, or in a network namespace.

    path_mtu.py server PORT                   TCP: gives and takes SIZE bytes; UDP: says how much came. Until input ends
    path_mtu.py download|upload ADDRESS PORT  TCP: SIZE bytes that are verified
    path_mtu.py datagram ADDRESS PORT BYTES   UDP that may not be fragmented: sent until it arrives or MTU is learned

Each client prints one line: "done", or what is wrong; datagram prints the path MTU that it learned, or "arrived".
"""

import hashlib
import select
import socket
import sys

SIZE = 1 << 20
TIMEOUT_S = 10
TRIES = 20
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24
CONTENT = b"".join(hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(SIZE // 32))


def receive_all(connection, size):
    data = b""
    while len(data) < size:
        part = connection.recv(1 << 16)
        if not part:
            break
        data += part
    return data


def serve_one(connection):
    connection.settimeout(TIMEOUT_S)
    try:
        if connection.recv(1) == b"d":
            connection.sendall(CONTENT)
            connection.recv(1)
        else:
            connection.sendall(b"y" if receive_all(connection, SIZE) == CONTENT else b"n")
    except OSError as error:
        print(error, flush=True)
    connection.close()


def server(port):
    tcp = socket.create_server(("", int(port)), family=socket.AF_INET6, dualstack_ipv6=True)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.bind(("", int(port)))
    print("listening", flush=True)
    while True:
        ready, _, _ = select.select([tcp, udp, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        if tcp in ready:
            serve_one(tcp.accept()[0])
        if udp in ready:
            data, address = udp.recvfrom(1 << 16)
            udp.sendto(str(len(data)).encode(), address)


def download(address, port):
    with socket.create_connection((address, int(port)), TIMEOUT_S) as connection:
        connection.sendall(b"d")
        data = receive_all(connection, SIZE)
        connection.sendall(b".")
    print("done" if data == CONTENT else f"{len(data)} bytes of {SIZE}")


def upload(address, port):
    with socket.create_connection((address, int(port)), TIMEOUT_S) as connection:
        connection.sendall(b"u" + CONTENT)
        answer = connection.recv(1)
    print("done" if answer == b"y" else f"answered {answer}")


def datagram(address, port, size):
    v6 = ":" in address
    family, level = (socket.AF_INET6, socket.IPPROTO_IPV6) if v6 else (socket.AF_INET, socket.IPPROTO_IP)
    wire = socket.socket(family, socket.SOCK_DGRAM)
    wire.settimeout(0.5)
    wire.setsockopt(level, IPV6_MTU_DISCOVER if v6 else IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    wire.connect((address, int(port)))
    payload = b"x" * (int(size) - (48 if v6 else 28))
    for _ in range(TRIES):
        try:
            wire.send(payload)
            if wire.recv(100) == str(len(payload)).encode():
                print("arrived")
                return
        except TimeoutError:
            pass
        except OSError:  # EMSGSIZE: the way's MTU is known now
            print(wire.getsockopt(level, IPV6_MTU if v6 else IP_MTU))
            return
    print("nothing heard")


globals()[sys.argv[1]](*sys.argv[2:])
