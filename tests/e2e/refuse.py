"""Runs a command on a kernel that answers some system calls with an error, as one without a feature would.

    /usr/bin/python3 refuse.py RULE… -- COMMAND…

RULE is CALL=ERROR or CALL:ARGUMENT=VALUE[,ARGUMENT=VALUE]=ERROR: bpf=ENOSYS, socket:0=16,2=12=EPROTONOSUPPORT. Arguments
are counted from 0 and compared in their low 32 bits. The filter (seccomp(2)) is inherited by all children.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

CALLS = {"x86_64": {"bpf": 321, "fsopen": 430, "socket": 41, "unshare": 272},
         "aarch64": {"bpf": 280, "fsopen": 430, "socket": 198, "unshare": 97}}
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7fff0000, 0x00050000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
NUMBER_AT, ARGUMENTS_AT = 0, 16  # in struct seccomp_data; little-endian: the low half of an argument comes first


def rule_code(rule):
    """Instructions of one rule: on to the next one unless everything is equal."""
    call, *conditions, error = rule.replace(":", ",").rsplit("=", 1)[0].split(",") + [rule.rsplit("=", 1)[1]]
    checks = [(NUMBER_AT, CALLS[platform.machine()][call])]
    for condition in conditions:
        argument, value = condition.split("=")
        checks.append((ARGUMENTS_AT + 8 * int(argument), int(value, 0)))
    code = []
    for index, (offset, value) in enumerate(checks):
        left = 2 * (len(checks) - index - 1) + 1  # instructions of this rule after the comparison
        code += [(LOAD, 0, 0, offset), (JUMP_EQUAL, 0, left, value)]
    return code + [(RETURN, 0, 0, SECCOMP_RET_ERRNO | getattr(errno, error))]


def main(arguments):
    split = arguments.index("--")
    code = [instruction for rule in arguments[:split] for instruction in rule_code(rule)]
    code.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    program = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *instruction) for instruction in code))
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0) != 0:
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execvp(arguments[split + 1], arguments[split + 1:])


if __name__ == "__main__":
    main(sys.argv[1:])
