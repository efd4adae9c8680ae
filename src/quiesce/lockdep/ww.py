# SPDX-License-Identifier: Apache-2.0
"""The assertions of the ww_mutex interface, as a machine of a few states.

Wound/wait mutexes are taken in any order under an acquire context; a task that would deadlock gets
-EDEADLK, must release all, and start over with the lock it could not get. ``DEBUG_WW_MUTEXES``
asserts that callers keep to that. The machine follows the marker steps of a case (``ww_lock`` and
so on) and the lock events between them, and says which assertion fails (include/linux/ww_mutex.h,
kernel/locking/ww_mutex.h).

A lock is treated as held by another task after a plain acquire and release outside of all
markers: that is how the self-test sets it up (mutex_lock(), then the lockdep release alone).

Assertions about fields that a test overwrites by hand cannot be seen from events: the self-test
cases diff_class, object_lock_unbalanced and object_lock_stale_context are outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quiesce.lockdep.cases import CaseStep


@dataclass
class _AcquireContext:
    """``struct ww_acquire_ctx``."""

    acquired: int = 0
    done_acquire: bool = False
    contending_lock: str = ""


@dataclass
class WwMutexes:
    """All ww mutexes and acquire contexts of one case, by name.

    Call :meth:`before` and :meth:`after` around each step; each returns the condition of the
    assertion that fails there, or an empty string.
    """

    _contexts: dict[str, _AcquireContext] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)
    """By lock, the context that holds it."""
    _elsewhere: set[str] = field(default_factory=set)
    """Locks held by a task outside of the case."""
    _trylocked: set[str] = field(default_factory=set)
    _pending: tuple[str, str] | None = None
    """The lock and the context of the ww call that is under way; the context may be empty."""

    def before(self, step: CaseStep) -> str:
        """Follow a marker."""
        match step.op:
            case "ww_acquire_init":
                self._contexts[step.lock] = _AcquireContext()
            case "ww_acquire_done":
                context = self._context(step.lock)
                if context.done_acquire:
                    return "ctx->done_acquire"
                context.done_acquire = True
            case "ww_lock" | "ww_lock_slow":
                name = step.argument.removeprefix("ctx=")
                name = "" if name == "NULL" else name
                self._pending = step.lock, name
                if step.op == "ww_lock_slow" and not self._context(name).contending_lock:
                    return "!ctx->contending_lock"
            case "ww_trylock":
                self._pending = step.lock, ""
            case "ww_unlock":
                return self._unlock(step.lock)
            case "ww_ret":
                self._pending = None
        return ""

    def after(self, step: CaseStep) -> str:
        """Follow a lock event that lockdep had no complaint about."""
        if step.op == "acquire":
            if self._pending is None:
                self._plain_acquire(step)
            elif self._pending[0] == step.lock and self._pending[1]:
                return self._acquired(step.lock, self._pending[1])
        elif step.op == "release" and self._pending is None and step.lock in self._trylocked:
            # A real unlock, of a lock whose release had been hidden from lockdep.
            self._trylocked.discard(step.lock)
            self._elsewhere.discard(step.lock)
        return ""

    def _context(self, name: str) -> _AcquireContext:
        return self._contexts.setdefault(name, _AcquireContext())

    def _plain_acquire(self, step: CaseStep) -> None:
        if step.mode.trylock:
            self._trylocked.add(step.lock)
        else:
            self._elsewhere.add(step.lock)

    def _acquired(self, lock: str, name: str) -> str:
        """Return the assertion that fails when *lock* is had, or refused, under a context."""
        context = self._context(name)
        if lock in self._elsewhere or lock in self._owners:
            if context.contending_lock:
                return "ww_ctx->contending_lock"
            context.contending_lock = lock
            return ""
        if context.done_acquire:
            return "ww_ctx->done_acquire"
        if context.contending_lock:
            if context.contending_lock != lock:
                return "ww_ctx->contending_lock != ww"
            if context.acquired > 0:
                return "ww_ctx->acquired > 0"
            context.contending_lock = ""
        context.acquired += 1
        self._owners[lock] = name
        return ""

    def _unlock(self, lock: str) -> str:
        owner = self._owners.pop(lock, None)
        if owner is not None:
            self._context(owner).acquired -= 1
        return ""
