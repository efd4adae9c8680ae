# SPDX-License-Identifier: Apache-2.0
"""Stack frames: where a lock was taken, symbolically.

The kernel prints return addresses as ``symbol+offset/size [module]`` (``%pS``). Here a frame is a
function name; offset and size are printed as given, and are 0 where they are unknown, so that the
text is the same on every run.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

KERNEL_TEXT = 0xFFFFFFFF81000000
"""Where the symbolic functions are pretended to live."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One entry of a stack trace.

    :param function: name of the function.
    :param file: source file, for code that is not the kernel's; changes how the frame prints.
    :param line: 1-based line in *file*.
    :param offset: bytes from the start of the function to the return address.
    :param size: bytes of the function.
    :param module: kernel module, printed in brackets.
    """

    function: str
    file: str = ""
    line: int = 0
    offset: int = 0
    size: int = 0
    module: str = ""

    def __str__(self) -> str:
        if self.file:
            return f"{self.function} ({self.file}:{self.line})"
        text = f"{self.function}+{self.offset:#x}/{self.size:#x}"
        return f"{text} [{self.module}]" if self.module else text

    @classmethod
    def parse(cls, text: str) -> Frame:
        """Return the frame that prints as *text*; a bare function name is one as well."""
        match = _KERNEL_FRAME.fullmatch(text)
        if match is not None:
            offset, size = int(match["offset"] or "0", 16), int(match["size"] or "0", 16)
            return cls(match["function"], "", 0, offset, size, match["module"] or "")
        match = _SOURCE_FRAME.fullmatch(text)
        if match is not None:
            return cls(match["function"], match["file"], int(match["line"]))
        return cls(text)

    @property
    def address(self) -> int:
        """A made-up address, always the same for the same function and offset."""
        return KERNEL_TEXT + (zlib.crc32(self.function.encode()) & 0xFFFFF0) + self.offset


UNKNOWN = Frame("0x0")

_KERNEL_FRAME = re.compile(
    r"(?P<function>[^\s+]+)"
    r"(\+(?P<offset>0x[0-9a-f]+)/(?P<size>0x[0-9a-f]+))?( \[(?P<module>\S+)\])?"
)
_SOURCE_FRAME = re.compile(r"(?P<function>\S+) \((?P<file>.+):(?P<line>\d+)\)")


class StackSource(Protocol):
    """A stack that is only walked on demand; walking a live stack costs microseconds."""

    def ip(self) -> Frame:
        """Return the place that took the lock; may be asked for long after the event."""

    def frames(self) -> tuple[Frame, ...]:
        """Return the whole stack, innermost first; asked for only during the event."""


Stack = tuple[Frame, ...] | StackSource
"""Innermost frame first. The frames of the lock functions themselves may be included."""

_LOCK_FUNCTION = re.compile(
    r"""(__)?lock_(acquire|release|sync|downgrade)
    | _*(raw_)?(spin|read|write)_(try)?(un)?lock\w*
    | _*(ww_)?(rt_)?mutex_(try)?(un)?lock\w*
    | _*(down|up|downgrade)_(read|write)\w*
    | _*rt_(spin|read|write)_(try)?(un)?lock\w*""",
    re.VERBOSE,
)


@lru_cache(maxsize=4096)
def _is_lock_function(function: str) -> bool:
    return _LOCK_FUNCTION.fullmatch(function) is not None


def ip_of(stack: Stack) -> Frame:
    """Return the frame that reports print after ``at:``: the first one outside the lock functions.

    The kernel records ``_RET_IP_`` of the lock function, and ``_THIS_IP_`` for a bare lockdep map,
    which has no lock function; both are that frame.
    """
    if not isinstance(stack, tuple):
        return stack.ip()
    for frame in stack:
        if not _is_lock_function(frame.function):
            return frame
    return stack[-1] if stack else UNKNOWN


def frames_of(stack: Stack) -> tuple[Frame, ...]:
    """Return *stack* as frames, innermost first."""
    return stack if isinstance(stack, tuple) else stack.frames()
