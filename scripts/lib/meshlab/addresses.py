"""Who lives where on the lab network. Labs share nothing, so every lab uses the same addresses.

    node1 … node200   172.30.0.1 … .200     fd00:172:30::1 … (hexadecimal)
    registry          172.30.0.240          image registry, mirror of docker.io
    client            172.30.0.250          outside the cluster; also the hosts' router to the world
    world             203.0.113.1           an address behind the client (RFC 5737), for tests of the way out
"""

from dataclasses import dataclass

CLIENT = "client"
REGISTRY = "registry"
NODES_MAX = 200

WORLD_V4 = "203.0.113.1"
WORLD_V6 = "2001:db8:113::1"
REGISTRY_PORT = 5000

_FIXED = {REGISTRY: 240, CLIENT: 250}


@dataclass(frozen=True)
class Address:
    """Both addresses of a host, without their prefix lengths (24 and 64)."""

    v4: str
    v6: str


def node_name(number):
    return f"node{number}"


def node_number(host):
    """The number of a node, None for the client and the registry."""
    digits = host[4:] if host.startswith("node") else ""
    return int(digits) if digits.isdigit() else None


def address_of(host):
    number = _FIXED.get(host) or node_number(host)
    return Address(f"172.30.0.{number}", f"fd00:172:30::{number:x}")


def port_of(host):
    """Name of the switch's port that the host is wired to."""
    return f"p-{host}"


def hosts_file(hosts):
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    for host in hosts:
        address = address_of(host)
        lines += [f"{address.v4} {host}", f"{address.v6} {host}"]
    lines += [f"{WORLD_V4} world.test", f"{WORLD_V6} world.test"]
    return "\n".join(lines) + "\n"
