# SPDX-License-Identifier: Apache-2.0
"""Logs of ``KVM_SET_USER_MEMORY_REGION``: one request a line, in the spellings that are in use.

* JSON: ``{"slot": 0, "flags": 0, "gpa": 0, "size": 4096, "hva": 4096, "errno": null}``, also with ``host``
  and ``host_offset`` in place of ``hva``; a first line may give ``source`` and the sizes of ``blocks``;
* ``strace -e ioctl``;
* QEMU's trace event ``kvm_set_user_memory``.

A line that is something else is skipped and counted; a request that cannot be read is an error.
"""

from __future__ import annotations

import errno
import json
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from quiesce.errors import UsageError
from quiesce.kvm.real.device import GUEST_MEMFD, LOG_DIRTY_PAGES, READONLY
from quiesce.kvm.real.requests import U64, Request

BLOCKS_AT = 0x2000_0000_0000
"""The host address that stands for the start of a log's first block."""

_BLOCK_STEP = 1 << 30

_NAMES = {
    "slot": "slot",
    "as": "as_id",
    "as_id": "as_id",
    "addrspace": "as_id",
    "flags": "flags",
    "gpa": "gpa",
    "guest_phys_addr": "gpa",
    "size": "size",
    "memory_size": "size",
    "hva": "hva",
    "ua": "hva",
    "userspace_addr": "hva",
    "offset": "offset",
    "guest_memfd_offset": "offset",
    "memfd": "memfd",
    "guest_memfd": "memfd",
    "ret": "ret",
}
"""The names of fields in logs, in lower case, and ours."""

_FLAGS = {
    "KVM_MEM_LOG_DIRTY_PAGES": LOG_DIRTY_PAGES,
    "KVM_MEM_READONLY": READONLY,
    "KVM_MEM_GUEST_MEMFD": GUEST_MEMFD,
}

_VALUE = r"-?0x[0-9a-fA-F]+|-?\d+|KVM_MEM_\w+(?:\s*\|\s*(?:KVM_MEM_\w+|0x[0-9a-fA-F]+))*|NULL"
_PAIR = re.compile(rf"\b([A-Za-z_]+)\s*[=#:]\s*({_VALUE})")
_IS_REQUEST = re.compile(r"KVM_SET_USER_MEMORY_REGION|kvm_set_user_memory|set_user_memory_region")
_RESULT = re.compile(r"\)\s*=\s*(-?\d+)(?:\s+(E[A-Z0-9]+))?")
_TIME = re.compile(r"(?:^|[\s@\]])(\d{1,10}\.\d{3,9})(?=[:\s])")
_VM = re.compile(r"ioctl\((\d+)")
_TOOK = re.compile(r"<(\d+\.\d+)>\s*$")


@dataclass(frozen=True, slots=True)
class Logged:
    """A request of a log.

    :param line: where it is, from 1.
    :param errno: what the log says it returned, 0 for success; None: the log does not say.
    :param time: when it was made, in seconds; None: the log does not say.
    :param vm: the VM, as the log spells it: a file descriptor, mostly; empty: the log does not say.
    """

    line: int
    request: Request
    errno: int | None = None
    time: float | None = None
    seconds: float | None = None
    vm: str = ""


@dataclass
class RequestLog:
    """What a log says.

    :param blocks: the sizes of the host blocks that it names, in bytes.
    :param other: what else is in it: names of operations, and how often.
    """

    name: str
    source: str = ""
    blocks: list[int] = field(default_factory=list)
    requests: list[Logged] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)

    def host_text(self, hva: int) -> str:
        """Return a host address as the log spells it: ``block2+0x1000`` where it names blocks."""
        for number, (base, size) in enumerate(zip(self.block_bases(), self.blocks, strict=True)):
            if base <= hva <= base + size:
                return f"block{number}+{hva - base:#x}"
        return f"{hva:#x}"

    def block_bases(self) -> list[int]:
        """Return the host address that stands for the start of each block."""
        steps = (-(-size // _BLOCK_STEP) * _BLOCK_STEP + _BLOCK_STEP for size in self.blocks)
        return list(accumulate(steps, initial=BLOCKS_AT))[: len(self.blocks)]


def read_log(path: str) -> RequestLog:
    """Read the log in the file *path*.

    :raises UsageError: it cannot be read, a line of it cannot, or no line is a request.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", "give a file with one request a line"
        ) from None
    log = RequestLog(path)
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            _read_line(log, number, line)
    if not log.requests:
        raise UsageError(
            f"{path} has no request of KVM_SET_USER_MEMORY_REGION",
            "give JSON lines, the output of `strace -e ioctl`, or QEMU's trace event kvm_set_user_memory",
        )
    _require_one_vm(log)
    return log


def _require_one_vm(log: RequestLog) -> None:
    """Ids and frames mean nothing across VMs.

    :raises UsageError: the requests are of several VMs.
    """
    vms = Counter(logged.vm for logged in log.requests)
    if len(vms) > 1:
        counts = ", ".join(f"{count} of `{vm or 'unknown'}`" for vm, count in vms.most_common(4))
        raise UsageError(
            f"{log.name} has requests of {len(vms)} VMs: {counts}",
            "keep the lines of one VM (with strace: of one file descriptor)",
        )


def parse_request(text: str, log: RequestLog) -> Logged | None:
    """Return the request that *text* is; None: it is something else.

    :param log: the log whose blocks it may name; nothing is added to it.
    :raises UsageError: it begins like a request and cannot be read.
    """
    where = RequestLog("the request", blocks=log.blocks)
    line = text if text.lstrip().startswith("{") or _IS_REQUEST.search(text) else ""
    if not line and len(_PAIR.findall(text)) >= 5:
        line = f"set_user_memory_region {text}"
    if line:
        _read_line(where, 0, line)
    return where.requests[0] if where.requests else None


_LARGEST_ERRNO = 4095
"""``MAX_ERRNO``: a sixth number above it is a host address."""


def six_numbers(text: str) -> Logged | None:
    """Return the request that *text* is; None: it is something else.

    Five numbers are slot, flags, gpa, size, hva. A sixth is what the request returned, as in QEMU's trace
    event; or the first is the address space, and the sixth the host address, which no errno reaches.

    :raises UsageError: a number is too large.
    """
    try:
        numbers = [_number(word) for word in text.replace(",", " ").split()]
    except ValueError:
        return None
    if len(numbers) not in (5, 6):
        return None
    names = ["slot", "flags", "gpa", "size", "hva", "ret"]
    if len(numbers) == 6 and abs(numbers[5]) > _LARGEST_ERRNO:
        names = ["as_id", "slot", "flags", "gpa", "size", "hva"]
    fields = dict(zip(names, numbers, strict=False))
    try:
        request = _request(fields, 1)
    except ValueError as error:
        raise UsageError(
            f"this is not a request: {error}", "give SLOT FLAGS GPA SIZE HVA"
        ) from None
    if request.flags & GUEST_MEMFD:
        request = replace(request, version=2)
    return Logged(0, request, abs(fields["ret"]) if "ret" in fields else None)


def _read_line(log: RequestLog, number: int, line: str) -> None:
    try:
        if line.lstrip().startswith("{"):
            _read_json(log, number, line)
        elif _IS_REQUEST.search(line):
            log.requests.append(_from_text(number, line))
        else:
            log.other["lines that are not requests"] += 1
    except (ValueError, KeyError, TypeError, IndexError) as error:
        what = f"there is no {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(
            f"{log.name}:{number}: this request cannot be read: {what}",
            "it needs slot, flags, gpa, size and hva (or host and host_offset), each a number",
        ) from None


# --- JSON ---------------------------------------------------------------------------------------------


def _read_json(log: RequestLog, number: int, line: str) -> None:
    data = json.loads(line)
    if "blocks" in data and "slot" not in data:
        log.blocks = [_number(size) for size in data["blocks"]]
        log.source = str(data.get("source", ""))
        return
    op = str(data.get("op", "set_user_memory_region"))
    if not op.startswith("set_user_memory_region"):
        log.other[op] += 1
        return
    fields: dict[str, Any] = {
        _NAMES[key.lower()]: value for key, value in data.items() if key.lower() in _NAMES
    }
    if "host" in data:
        fields["hva"] = _host_address(log, data)
    version = 2 if op.endswith("2") or data.get("version") == 2 else 1
    log.requests.append(
        Logged(
            number,
            _request(fields, version),
            _recorded(data["errno"]) if "errno" in data else None,
            _seconds(data.get("t", data.get("time"))),
            _seconds(data.get("seconds")),
            str(data.get("vm", data.get("fd", ""))),
        )
    )


def _host_address(log: RequestLog, data: dict[str, Any]) -> int:
    host = data["host"]
    if isinstance(host, str) and host.startswith("block"):
        number = int(host.removeprefix("block"))
        if number >= len(log.blocks):
            raise ValueError(
                f"`{host}` is not one of the {len(log.blocks)} blocks of the first line"
            )
        return log.block_bases()[number] + _number(data.get("host_offset", 0))
    return _number(host) + _number(data.get("host_offset", 0))


def _recorded(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str) and not value.lstrip("-").isdigit():
        known = getattr(errno, value, None)
        if not isinstance(known, int):
            raise ValueError(f"`{value}` is not an errno")
        return known
    return abs(_number(value))


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | str) else None


# --- Text ---------------------------------------------------------------------------------------------


def _from_text(number: int, line: str) -> Logged:
    fields = {
        _NAMES[name.lower()]: value for name, value in _PAIR.findall(line) if name.lower() in _NAMES
    }
    result = _RESULT.search(line)
    returned: int | None = None
    if result is not None:
        returned = _recorded(result[2]) if result[2] else abs(int(result[1]))
    elif "ret" in fields:
        returned = abs(_number(fields["ret"]))
    took, when, vm = _TOOK.search(line), _TIME.search(line), _VM.search(line)
    version = 2 if re.search(r"REGION2|memory_region2|guest_memfd=(?!-1)", line) else 1
    return Logged(
        number,
        _request(fields, version),
        returned,
        float(when[1]) if when else None,
        float(took[1]) if took else None,
        vm[1] if vm else "",
    )


def _request(fields: dict[str, Any], version: int) -> Request:
    values = {name: _number(value) for name, value in fields.items()}
    slot = values["slot"] | values.get("as_id", 0) << 16
    for name in ("flags", "gpa", "size", "hva"):
        if not 0 <= values[name] < U64:
            raise ValueError(f"{name} {values[name]} is not a number of 64 bits")
    if not 0 <= slot < 1 << 32:
        raise ValueError(f"slot {slot} is not a number of 32 bits")
    return Request(
        slot,
        values["flags"],
        values["gpa"],
        values["size"],
        values["hva"],
        values.get("offset", 0),
        values.get("memfd", -1),
        version,
    )


def _number(value: object) -> int:
    """Return the number that *value* is: an int, or text in base 10 or 16, or names of flags."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"`{value}` is not a whole number")
    if isinstance(value, int):
        return value
    total = 0
    for word in value.split("|"):
        name = word.strip()
        if name in _FLAGS:
            total |= _FLAGS[name]
        elif name == "NULL":
            total |= 0
        else:
            total |= int(name, 0) if not name.lstrip("-").isdigit() else int(name)
    return total
