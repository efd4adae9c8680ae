# SPDX-License-Identifier: Apache-2.0
"""What a stack tells of the object whose lock is meant: its driver, and whether it is new or dying."""

from __future__ import annotations

import re
from collections.abc import Sequence

from quiesce.explain.judge.call_path import own_context
from quiesce.explain.judge.modes import plain_name
from quiesce.explain.read.model import PrintedFrame

_BLOCK_DRIVERS = (
    "loop", "lo", "nbd", "floppy", "brd", "zram", "nvme", "nvmet", "sd", "sr", "virtblk", "xen", "rbd",
    "drbd", "md", "raid", "raid1", "raid5", "raid10", "dm", "bcache", "mmc", "ubi", "mtd", "zloop",
    "ublk", "scsi", "ata",
)  # fmt: skip
_PROTOCOLS = (
    "tcp", "udp", "smc", "mptcp", "rds", "kcm", "l2tp", "sctp", "dccp", "ax25", "rose", "nr", "x25",
    "unix", "bt", "rfcomm", "l2cap", "sco", "iso", "vsock", "virtio_transport", "tls", "xsk", "can",
    "j1939", "tipc", "rxrpc", "phonet", "pppol2tp", "netrom", "iucv",
)  # fmt: skip
_TTYS = ("serial8250", "pty", "n_gsm", "gsm", "slip", "ppp", "vt", "con", "usb_serial")
_TABLE = {"queue": _BLOCK_DRIVERS, "disk": _BLOCK_DRIVERS, "socket": _PROTOCOLS, "tty": _TTYS}
_LAYERS = {
    "raid": "md", "raid1": "md", "raid5": "md", "raid10": "md", "lo": "loop", "scsi": "sd", "ata": "sd",
    "virtio_transport": "vsock", "nr": "netrom", "pppol2tp": "l2tp",
}  # fmt: skip
"""Prefixes of one driver that has several."""

_GENERIC_WORDS = re.compile(r"(?:sd|dm|md|bt|can|con|vt|null|tls)_(?:init|exit)")


def driver_of(frames: Sequence[PrintedFrame], noun: str) -> str:
    """Return the driver or protocol whose functions the stack shows, the innermost one.

    :param noun: what kind of object is meant ("queue", "socket"); empty is returned for others.
    """
    known = _TABLE.get(noun, ())
    for frame in own_context(frames):
        name = plain_name(frame.function).strip("_")
        if _GENERIC_WORDS.fullmatch(name):
            continue
        prefix = name.partition("_")[0]
        if name.startswith("virtio_transport"):
            prefix = "virtio_transport"
        if prefix in known and "_" in name:
            return _LAYERS.get(prefix, prefix)
    return ""


_SETUP: dict[str, re.Pattern[str]] = {
    "queue": re.compile(
        r"blk_mq_init_allocated_queue|blk_alloc_queue\w*|blk_mq_alloc_disk\w*|__blk_mq_alloc_disk"
        r"|blk_mq_alloc_queue|blk_mq_init_queue\w*|blk_init_queue\w*"
    ),
    "file system": re.compile(r"alloc_super|sget|sget_fc|\w+_fill_super|open_ctree"),
    "inode": re.compile(r"new_inode\w*|inode_init_\w+|\w+_new_inode"),
    "socket": re.compile(r"sk_clone\w*|inet_create|inet6_create|sk_alloc"),
    "process": re.compile(r"dup_mm|dup_mmap|mm_init|bprm_mm_init|begin_new_exec|exec_mmap"),
}
_TAKEDOWN: dict[str, re.Pattern[str]] = {
    "file system": re.compile(r"generic_shutdown_super|kill_\w*super|\w+_put_super|\w+_kill_sb"),
    "inode": re.compile(r"evict|\w+_evict_inode"),
    "process": re.compile(r"exit_mmap|__mmput|mmput"),
}


def is_new_object(noun: str, frames: Sequence[PrintedFrame]) -> str:
    """Return the function in which an object of this kind is set up; empty if none is seen."""
    return _first(_SETUP.get(noun), frames)


def lifetime_of(noun: str, frames: Sequence[PrintedFrame]) -> str:
    """Return the function in which an object of this kind is taken down; empty if none is seen."""
    return _first(_TAKEDOWN.get(noun), frames)


def _first(pattern: re.Pattern[str] | None, frames: Sequence[PrintedFrame]) -> str:
    if pattern is None:
        return ""
    for frame in own_context(frames):
        name = plain_name(frame.function)
        if pattern.fullmatch(name):
            return name
    return ""
