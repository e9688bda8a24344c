"""The few system calls that Python 3.11 does not offer: unshare, setns, mount (see their man pages, section 2)."""

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags):
    checked(libc.unshare(flags), f"unshare(0x{flags:x})")


def setns(fd, flags):
    checked(libc.setns(fd, flags), f"setns(0x{flags:x})")


def mount(source, target, fstype=None, flags=0, data=None):
    def encoded(text):
        return None if text is None else os.fsencode(text)

    checked(libc.mount(encoded(source), encoded(target), encoded(fstype), ctypes.c_ulong(flags), encoded(data)),
            f"mount({source} on {target}, type {fstype}, flags {flags}, {data})")
