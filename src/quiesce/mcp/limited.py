# SPDX-License-Identifier: Apache-2.0
"""The process in which a text from outside is executed: it limits itself, then runs one command of quiesce.

``python -m quiesce.mcp.limited SECONDS MEGABYTES COMMAND...``

The limits are the kernel's: CPU time, address space, size of files, no core dumps. Where the kernel allows it
to this user, the process also leaves the network: it gets a network namespace of its own, which has not even
a loopback device that is up. That is protection against mistakes and runaway programs. It is not a security
boundary: the text can read whatever files this user can read.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

from quiesce.mcp import RAN

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
"""``include/uapi/linux/sched.h``"""

FILE_BYTES = 16 << 20


def limit(seconds: int, megabytes: int) -> None:
    """Limit this process, for good.

    :param seconds: of CPU time; the kernel ends the process after that.
    :param megabytes: of address space.
    """
    with contextlib.suppress(ImportError):
        import resource

        for what, value in (
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_AS, megabytes << 20),
            (resource.RLIMIT_FSIZE, FILE_BYTES),
            (resource.RLIMIT_CORE, 0),
        ):
            _, most = resource.getrlimit(what)
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(what, (value, value))


def leave_network() -> bool:
    """Move this process into a network namespace of its own; return whether the kernel allowed it."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if os.geteuid() == 0:
            return bool(libc.unshare(CLONE_NEWNET) == 0)
        return bool(libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
    except (OSError, AttributeError):
        return False


def main() -> int:
    """Run the command behind the two limits; return its exit code, moved by :data:`RAN`."""
    seconds, megabytes, *command = sys.argv[1:]
    leave_network()
    limit(int(seconds), int(megabytes))
    from quiesce.cli import main as quiesce

    return RAN + quiesce(command)


if __name__ == "__main__":
    sys.exit(main())
