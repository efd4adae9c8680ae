# SPDX-License-Identifier: Apache-2.0
"""The options of ``quiesce kvm conform`` and ``quiesce kvm why``."""

from __future__ import annotations

import argparse

from quiesce.commands.options import count, seconds

OPERATIONS = 10_000
"""How many requests are made unless the command says."""


def add_conform(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``conform`` to the actions of ``quiesce kvm``."""
    parser = actions.add_parser(
        "conform",
        help="compare this host's KVM with our memslots",
        description="Make requests of KVM_SET_USER_MEMORY_REGION, systematic and random ones, on /dev/kvm "
        "and on our memslots, and compare the errno, what a guest sees, and the dirty logs.",
        epilog="exit codes: 0 no difference, 1 differences, 2 no usable /dev/kvm, 3 interrupted",
    )
    parser.add_argument(
        "--operations",
        type=count,
        default=OPERATIONS,
        metavar="N",
        help=f"requests to make (default: {OPERATIONS:,})",
    )
    parser.add_argument("--seed", default="0", help="seed for random requests (default: 0)")
    parser.add_argument(
        "--seconds", type=seconds, metavar="S", help="end after S seconds at the latest"
    )
    parser.add_argument(
        "--workers",
        type=count,
        metavar="N",
        help="processes that make random requests (default: two a core, at most 8); "
        "each has a seed of its own",
    )
    parser.add_argument(
        "--replay", metavar="FILE", help="make the requests of a log instead, and compare with it"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_conform)


def _conform(args: argparse.Namespace) -> int:
    from quiesce.commands.kvm_conform import conform_command

    return conform_command(args)


def add_why(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``why`` to the actions of ``quiesce kvm``."""
    parser = actions.add_parser(
        "why",
        help="why a request of KVM_SET_USER_MEMORY_REGION is refused",
        description="Say which check refuses a request, which slot is in the way, and which request "
        "created that slot. Nothing is asked of /dev/kvm.",
        epilog="exit codes: 0 accepted or nothing found, 1 refused or something found, 2 wrong request, "
        "3 the log says something else and does not show why",
    )
    parser.add_argument(
        "request",
        nargs="*",
        metavar="REQUEST",
        help="SLOT FLAGS GPA SIZE HVA [RETURNED], AS SLOT FLAGS GPA SIZE HVA, a line of a log, or LOG:LINE",
    )
    parser.add_argument("--after", metavar="LOG", help="make the requests of a log first")
    parser.add_argument("--lint", metavar="LOG", help="look a log through instead")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_why)


def _why(args: argparse.Namespace) -> int:
    from quiesce.commands.kvm_why import why_command

    return why_command(args)
