"""Loads an XDP program that passes everything, by the name of NAME, and pins it: NAME PATH."""

import ctypes
import os
import platform
import struct
import sys

BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, OBJ_PIN = 5, 6
TYPE_XDP, XDP_PASS = 6, 2


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = ctypes.CDLL(None, use_errno=True).syscall(BPF, command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main():
    name, path = sys.argv[1:]
    program = ctypes.create_string_buffer(struct.pack("=BBhi", 0xb7, 0, 0, XDP_PASS) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQIIQII16s", TYPE_XDP, 2, ctypes.addressof(program), ctypes.addressof(licence), 0, 0, 0, 0, 0,
                       name.encode())
    where = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("=QII", ctypes.addressof(where), bpf(PROG_LOAD, load), 0))


main()
