# SPDX-License-Identifier: Apache-2.0
"""How components are called in traces and reports: ``&kvm->mn_invalidate_lock``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from quiesce.protocol import Protocol


def display_name(component: Protocol) -> str:
    """Return the kernel-style name of a lock or other component.

    Its own ``name``, where it was given one; else owner's class and attribute, ``&kvm->mmu_lock``, as
    the kernel's initialisers stringify their argument.
    """
    given = getattr(component, "name", "")
    if isinstance(given, str) and given:
        return given
    owner = component._owner
    attribute = re.sub(r"\[\d+\]$", "", component._attribute)
    if owner is None:
        return snake_case(type(component).__name__)
    return f"&{snake_case(type(owner).__name__)}->{attribute}"


def instance_names(components: Sequence[Protocol]) -> list[str]:
    """Return the name of each component in traces: it tells them apart.

    That is its display name if no other has the same, as every lock of an array has; else the path to it
    in the scenario, ``&forks[1]``, ``&account->lock``.
    """
    names = [display_name(component) for component in components]
    several = {name for name, count in Counter(names).items() if count > 1}
    return [
        f"&{component.path.replace('.', '->')}" if name in several and component.path else name
        for name, component in zip(names, components, strict=True)
    ]


def snake_case(name: str) -> str:
    """Return ``CountGate`` as ``count_gate``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
