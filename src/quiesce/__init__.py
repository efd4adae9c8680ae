# SPDX-License-Identifier: Apache-2.0
"""quiesce runs, proves and explains locking protocols.

What users import most is here: ``from quiesce import Int, Protocol, Scenario, SpinLock, always, thread``.

Nothing is imported before it is asked for: a program starts with this file, and Ctrl-C is not taken care of
before its end. Type checkers read ``__init__.pyi``, which has the same names.
"""

from __future__ import annotations

__version__ = "0.1.0"

_OFFERED = {
    "protocol": (
        "EXCLUSIVE READ_ONCE SHARED SHARED_RECURSIVE TASK_RUNNING TASK_UNINTERRUPTIBLE THREADS "
        "WRITE_ONCE Array Bool Enum Int Mode PerTask Protocol Ref Scenario Set Snapshot Task TaskRef "
        "TaskSet TaskState Version acquires always atomic choose current eventually known_as releases "
        "shared sometimes thread wait_until"
    ),
    "primitives": (
        "Atomic Completion Lock LockdepMap Mutex RawSpinLock Rcu RcuWait RwLock RwSem RwSemUnfair "
        "SeqCount SpinLock Srcu WaitQueue WaitType configure_preempt_rt might_sleep non_block_end "
        "non_block_start schedule set_current_state wake_up_process"
    ),
    "testing": "check replay",
}
"""The names that are importable from here, by the module that defines them."""

_MODULES = {name: module for module, names in _OFFERED.items() for name in names.split()}

__all__ = [*_MODULES, "explain"]


def __getattr__(name: str) -> object:
    """Import what is asked for; ``explain`` is a package, which can be called."""
    from importlib import import_module

    if name == "explain":
        return import_module("quiesce.explain")
    if name not in _MODULES:
        raise AttributeError(f"module 'quiesce' has no attribute {name!r}")
    value: object = getattr(import_module(f"quiesce.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
