# SPDX-License-Identifier: Apache-2.0
"""Linux 6.12's KVM: memslots against the MMU notifier, in the protocol language.

Read ``gates.py`` first, the five designs; then ``vm.py``, which uses them. What only properties read is in
``ledger.py``, planted bugs are in ``planted/``. ``docs/kvm.md`` is the guide: which C function is which
method, what is left out, and what would be seen without each behavior that is modelled.
"""

from quiesce.kvm.gates import GATES, Gate
from quiesce.kvm.scenarios import MemslotUpdates
from quiesce.kvm.vm import Kvm

__all__ = ["GATES", "Gate", "Kvm", "MemslotUpdates"]
