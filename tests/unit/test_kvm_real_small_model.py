"""The small model of the protocol language is held to the memslots as KVM has them.

Each step of the model that changes what readers see of the slot is one publication of a request of the full
memslots, restricted to that slot: the same place, the same flags, the same order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.reference.graph import Bounds, explore
from quiesce.explorer.reference.stepper import Step, Stepper
from quiesce.kvm.gates import GATES
from quiesce.kvm.memslots import Slot as ModelSlot
from quiesce.kvm.real.device import LOG_DIRTY_PAGES, PAGE
from quiesce.kvm.real.requests import Request
from quiesce.kvm.real.slots import MemoryRegions, Published
from quiesce.kvm.scenarios import MemslotUpdates

View = tuple[str, int, bool]
"""What readers see of the slot: what it is, its place, whether it logs."""

NOTHING: View = ("NULL", 0, False)
PAGES = 1
HVA = 0x10000


def views_of_model(program: Program) -> set[tuple[View, View]]:
    """Return each change of the active set's slot that a step of the model makes.

    A reference is stored as a number from 1.
    """
    places = {cell.name: at for at, cell in enumerate(program.cells)}
    found: set[tuple[View, View]] = set()

    def view(state: tuple[int, ...], space: int) -> View:
        active = state[places[f"kvm.spaces[{space}].active"]] - 1
        sets = f"kvm.spaces[{space}].sets[{active}]"
        slot = list(ModelSlot)[state[places[f"{sets}.slot"]]]
        if slot == ModelSlot.NULL:
            return NOTHING
        logs = f"{sets}.log_dirty"
        return slot.name, state[places[f"{sets}.place"]], bool(state[places[logs]])

    def note(_number: int, state: tuple[int, ...], steps: list[Step]) -> bool:
        for step in steps:
            if step.failure is None:
                change = view(state, 0), view(step.target, 0)
                if change[0] != change[1]:
                    found.add(change)
        return False

    graph = explore(Stepper(program), note, Bounds())
    assert not graph.incomplete
    return found


def requests(slot: int) -> Iterator[Request]:
    """Yield what a VMM may ask for, restricted to one slot with one host address and two places."""
    for gpa in (0, PAGES * PAGE):
        for flags in (0, LOG_DIRTY_PAGES):
            for size in (0, PAGES * PAGE):
                yield Request(slot, flags, gpa, size, HVA)


def view_of(published: Published) -> View:
    slot = published.slot
    if slot is None:
        return NOTHING
    return "INVALID" if published.invalid else "VALID", slot.base_gfn // PAGES, slot.log_dirty


def views_of_full() -> set[tuple[View, View]]:
    """Return each change that a request of the full memslots publishes, from every state of the slot."""
    found = set()
    starts: list[list[Request]] = [[], *([r] for r in requests(0) if r.size)]
    for start in starts:
        for request in requests(0):
            regions = MemoryRegions()
            shown = [NOTHING]
            for made in [*start, request]:
                shown = shown[-1:]
                answer = regions.set_user_memory_region(made)
                shown += [view_of(published) for published in answer.published]
            found |= set(itertools.pairwise(shown))
    return found


@pytest.mark.parametrize("design", sorted(GATES))
def test_each_change_of_the_model_is_a_request_of_the_full_memslots(design: str) -> None:
    program = compile_scenario(
        MemslotUpdates(
            design=design, notifiers=1, vcpus=0, pages=PAGES, changes="delete,move,flags"
        )
    )
    of_model, of_full = views_of_model(program), views_of_full()
    assert of_model <= of_full
    created = {change for change in of_model if change[0] == NOTHING}
    deleted = {change for change in of_model if change[1] == NOTHING}
    moved = {(a, b) for a, b in of_model if a[0] == "INVALID" and b[0] == "VALID"}
    flags = {(a, b) for a, b in of_model if a[0] == b[0] == "VALID"}
    assert created and deleted and moved and flags


def test_a_model_that_skips_the_invalid_slot_would_be_noticed() -> None:
    assert (("VALID", 0, False), NOTHING) not in views_of_full()
    assert (("VALID", 0, False), ("VALID", 1, False)) not in views_of_full()
    assert (("INVALID", 0, False), ("VALID", 0, True)) not in views_of_full()
