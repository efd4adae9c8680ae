# SPDX-License-Identifier: Apache-2.0
"""From the options of ``quiesce kvm`` to scenarios of the KVM system."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from quiesce.errors import UsageError
from quiesce.kvm.gates import GATES
from quiesce.kvm.scenarios import MemslotUpdates
from quiesce.loading import build

DESIGNS = tuple(GATES)


def design_scenario(
    design: str, settings: Sequence[str], kind: type[MemslotUpdates] = MemslotUpdates
) -> MemslotUpdates:
    """Return the default scenario with *design* as its gate.

    :param kind: its class, if that is to be another one.
    :raises UsageError: there is no such design or parameter.
    """
    if design not in GATES:
        raise UsageError(f"there is no design `{design}`", f"one of {', '.join(GATES)}")
    scenario = build(kind, [f"design={design}", *settings])
    assert isinstance(scenario, MemslotUpdates)
    return scenario


def chosen_designs(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the designs that ``--design`` names."""
    return DESIGNS if args.design == "all" else (args.design,)


def scenario_settings(args: argparse.Namespace) -> tuple[str, ...]:
    """Return ``--set`` and the options that stand for it, as ``name=value``."""
    named = {"notifiers": args.notifiers, "updaters": args.updaters, "vcpus": args.vcpus}
    for name, value in named.items():
        if value is not None and value < 0:
            raise UsageError(f"--{name} {value}: must be 0 or more", f"--{name} 1")
    return (*args.set, *(f"{n}={v}" for n, v in named.items() if v is not None))
