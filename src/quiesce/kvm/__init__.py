# SPDX-License-Identifier: Apache-2.0
"""The system: KVM's memslots against the MMU notifier, in the protocol language.

Read ``gates.py`` first, the five designs; then ``vm.py``, which uses them. ``docs/kvm.md`` is the guide.
"""

from quiesce.kvm.gates import GATES, Gate
from quiesce.kvm.scenarios import MemslotUpdates
from quiesce.kvm.vm import Kvm

__all__ = ["GATES", "Gate", "Kvm", "MemslotUpdates"]
