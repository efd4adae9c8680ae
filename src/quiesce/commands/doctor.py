# SPDX-License-Identifier: Apache-2.0
"""``quiesce doctor``: what of the surroundings is there, what it is for, and how to get the rest.

Nothing is imported or opened that could be slow or do harm: packages are looked up by their metadata,
``/dev/kvm`` is opened once and asked for its API version.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from quiesce import __version__
from quiesce.harmless import json_text, one_line

KVM_GET_API_VERSION = 0xAE00
"""``include/uapi/linux/kvm.h``; the answer has been 12 since 2.6.22."""

TRACEFS = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")


@dataclass(frozen=True)
class Facility:
    """Something that quiesce can use.

    :param name: a package, a program or a device.
    :param there: whether it can be used.
    :param found: its version, or why it cannot be used.
    :param purpose: what needs it.
    :param cure: how to get it; empty where it is there.
    """

    name: str
    there: bool
    found: str
    purpose: str
    cure: str = ""


PACKAGES = (
    ("numba", "the native explorer; without it plain Python answers, slowly", "quiesce[native]"),
    ("numpy", "the native explorer", "quiesce[native]"),
    ("sortedcontainers", "the full model of memslots (kvm conform, kvm why)", "sortedcontainers"),
    ("pytest", "the plugin: lock order of a test suite, scenarios as tests", "pytest"),
)
"""Distribution name, what it is for, what to give to pip."""

PROGRAMS = (
    ("spin", "compares state counts (tests and benchmarks only)", "apt-get install spin"),
    ("cc", "builds the peers of `make bench`", "apt-get install gcc"),
)


def parts() -> Iterator[Facility]:
    """Yield everything that quiesce can use, and whether it is there."""
    for name, purpose, pip in PACKAGES:
        yield _package(name, purpose, f"pip install '{pip}'")
    for name, purpose, cure in PROGRAMS:
        path = shutil.which(name)
        yield Facility(name, path is not None, path or "not in PATH", purpose, "" if path else cure)
    yield _kvm()
    yield _tracing()


def _package(name: str, purpose: str, cure: str) -> Facility:
    try:
        return Facility(name, True, importlib.metadata.version(name), purpose)
    except importlib.metadata.PackageNotFoundError:
        return Facility(name, False, "not installed", purpose, cure)


def _kvm() -> Facility:
    purpose = "the real KVM (kvm conform, kvm stall)"
    try:
        version = _api_version("/dev/kvm")
    except FileNotFoundError:
        return Facility(
            "/dev/kvm", False, "does not exist", purpose, "modprobe kvm_intel, or kvm_amd"
        )
    except PermissionError:
        cure = "add yourself to the group of /dev/kvm"
        return Facility("/dev/kvm", False, "may not be opened by this user", purpose, cure)
    except (ImportError, OSError) as error:
        return Facility("/dev/kvm", False, str(error), purpose, "run on a Linux host with KVM")
    return Facility(
        "/dev/kvm", True, f"API version {version}, kernel {platform.release()}", purpose
    )


def _api_version(device: str) -> int:
    from fcntl import ioctl

    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        return ioctl(descriptor, KVM_GET_API_VERSION)
    finally:
        os.close(descriptor)


def _tracing() -> Facility:
    purpose = "recording invalidations of the real KVM (kvm trace record)"
    for base in TRACEFS:
        events = Path(base) / "kprobe_events"
        if os.access(events, os.W_OK):
            return Facility("kprobes", True, str(events), purpose)
    cure = "run as root, with tracefs mounted, on a kernel with CONFIG_KPROBE_EVENTS"
    return Facility("kprobes", False, "no kprobe_events that can be written", purpose, cure)


def doctor_command(args: argparse.Namespace) -> int:
    """Print what is there and what is not; the exit code is 0, since nothing of it is required."""
    found = list(parts())
    if args.json:
        data = {"schema": 1, "version": __version__, "python": platform.python_version()}
        print(json_text({**data, "parts": [asdict(part) for part in found]}))
        return 0
    print(f"quiesce {__version__}, Python {platform.python_version()} ({sys.executable})")
    print("Every command works without these, unless it says what it needs.\n")
    width = max(len(part.name) for part in found)
    for part in found:
        mark = "yes" if part.there else "no "
        print(f"  {part.name:{width}}  {mark}  {one_line(part.found)}")
        print(f"  {'':{width}}       {part.purpose}")
        if part.cure:
            print(f"  {'':{width}}       help: {part.cure}")
    return 0
