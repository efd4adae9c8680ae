"""``quiesce kvm conform`` finds each fault that is planted into our memslots, and shortens it."""

from __future__ import annotations

import os

import pytest
from kvm_mutants import MUTANTS, Mutant

from quiesce.kvm.real.conform import Wanted, conform

pytestmark = pytest.mark.skipif(
    not os.access("/dev/kvm", os.R_OK | os.W_OK), reason="this machine has no usable /dev/kvm"
)

OPERATIONS = 20_000
MOST_REQUESTS = 4


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_a_planted_fault_is_found_and_shortened(mutant: Mutant) -> None:
    result = conform(Wanted(OPERATIONS, "1", most_differences=1, scenarios=False), mutant.ours)
    if mutant.needs_memfd and not result.probed.host.guest_memfd:
        pytest.skip("this host has no guest_memfd for default VMs")
    assert len(result.differences) == 1
    assert len(result.differences[0].operations) <= MOST_REQUESTS
