# SPDX-License-Identifier: Apache-2.0
"""Components: classes whose attributes declare shared variables, locks and other components.

A component is built by ordinary Python. ``__init__`` may take parameters, keep plain constants and
other components in attributes, and declare further variables. After construction the structure is
frozen: the compiler reads the finished object, so what it sees is what runs.

A component given as a class attribute, ``lock = SpinLock()``, is a pattern: every owner gets one of
its own, as every ``struct kvm`` gets its own ``mmu_lock``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Self

from quiesce.errors import UsageError
from quiesce.protocol.declarations import Declaration, Variable, put_members, store_check
from quiesce.protocol.reserved import check_attribute, check_class, reserve

_BOOKKEEPING = ("_owner", "_arguments", "_declarations", "_initials")


@reserve
class Protocol:
    """Base of everything that owns shared variables: locks, gates, a ``Kvm``, a scenario."""

    # Set on each instance in __new__; annotated here for the type checker.
    _declarations: dict[str, Declaration]
    _initials: dict[str, Any]
    _arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _owner: Protocol | None
    _attribute: str
    _threads: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        put = object.__setattr__
        put(self, "_arguments", (args, kwargs))
        put(self, "_declarations", {})
        put(self, "_initials", {})
        put(self, "_owner", None)
        put(self, "_attribute", "")
        put(self, "_threads", 0)
        for klass in reversed(cls.__mro__):
            for name, value in vars(klass).items():
                if isinstance(value, Declaration):
                    self._declarations[name] = value
                elif isinstance(value, Protocol):
                    self._adopt(name, value.fresh())
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)

    def fresh(self) -> Protocol:
        """Return a new component built with the same arguments as this one."""
        args, kwargs = self._arguments
        return type(self)(*args, **kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Declaration):
            check_attribute(name, type(self))
            self._declarations[name] = value
            self.__dict__.pop(name, None)
            return
        declaration = self._declarations.get(name)
        if declaration is not None and declaration.begins_as_assigned and not self._threads:
            # In the constructor: the variable begins with this value, which is checked with the others.
            self._initials[name] = value
        elif isinstance(declaration, Variable):
            store_check(f"{self.path}.{name}".lstrip("."), declaration, value, self._threads)
            held = self.__dict__.get(name)
            if isinstance(held, set):
                put_members(held, value)
                return
        elif declaration is None:
            check_attribute(name, type(self))
        object.__setattr__(self, name, value)

    def _adopt(self, name: str, child: Protocol) -> None:
        object.__setattr__(child, "_owner", self)
        object.__setattr__(child, "_attribute", name)
        object.__setattr__(self, name, child)

    @property
    def path(self) -> str:
        """Where the component hangs in its scenario, ``kvm.gate.mn_invalidate_lock``."""
        if self._owner is None:
            return ""
        above = self._owner.path
        return f"{above}.{self._attribute}" if above else self._attribute

    def children(self) -> Iterator[Protocol]:
        """Yield the components directly below this one, in the order of declaration, each once."""
        seen: set[int] = set()
        for name, child in self.referred():
            if isinstance(self._declarations.get(name), Variable):
                continue  # what a Ref points to is already a child of its owner
            if child._owner is self and id(child) not in seen:
                seen.add(id(child))
                yield child

    def tree(self) -> Iterator[Protocol]:
        """Yield this component and all below it, parents first."""
        yield self
        for child in self.children():
            yield from child.tree()

    def declarations(self) -> dict[str, Declaration]:
        """Return the declared variables by name, in the order of declaration."""
        return dict(self._declarations)

    def elaborate(self, threads: int) -> None:
        """Give every variable below its initial value, for a scenario of *threads* threads.

        Components may refer to each other; each belongs to the one that reaches it on the shortest way
        down from here.
        """
        reached = {id(self)}
        queue = deque([self])
        while queue:
            component = queue.popleft()
            object.__setattr__(component, "_threads", threads)
            component._build_arrays(threads)
            for name, child in component.referred():
                if id(child) not in reached and child._owner in (None, component):
                    reached.add(id(child))
                    object.__setattr__(child, "_owner", component)
                    object.__setattr__(child, "_attribute", name)
                    queue.append(child)
        for component in self.tree():
            component._set_initial_values()

    def referred(self) -> Iterator[tuple[str, Protocol]]:
        """Yield the components in attributes and in tuples, each with its name here."""
        for name, value in self.__dict__.items():
            if name in _BOOKKEEPING:
                continue
            if isinstance(value, Protocol):
                yield name, value
            elif isinstance(value, tuple):
                for i, item in enumerate(value):
                    if isinstance(item, Protocol):
                        yield f"{name}[{i}]", item

    def _build_arrays(self, threads: int) -> None:
        for name, declaration in self._declarations.items():
            if declaration.of_components:
                object.__setattr__(self, name, declaration.new_components(threads))

    def _set_initial_values(self) -> None:
        for name, declaration in self._declarations.items():
            if not declaration.of_components:
                where = f"{self.path}.{name}".lstrip(".")
                given = (self._initials[name],) if name in self._initials else ()
                value = declaration.new_value(self, where, given, self._threads)
                object.__setattr__(self, name, value)

    def pointees(self, array: Declaration | tuple[Protocol, ...]) -> tuple[Protocol, ...]:
        """Return the components that a Ref into *array*, declared on this component, may point to."""
        if isinstance(array, tuple):
            return array
        # The nearest owner's array first; else the one place in the scenario that declares it.
        *_, root = self._upwards()
        for component in [*self._upwards(), *root.tree()]:
            for name, declaration in component._declarations.items():
                if declaration is array:
                    return component.__dict__[name]  # type: ignore[no-any-return]
        raise UsageError(
            f"{self.path or type(self).__name__}: the array that a Ref points into is not in this scenario",
            "declare `items = Array(Item(), n)` and `Ref(items)` on the same component, or one above",
        )

    def _upwards(self) -> Iterator[Protocol]:
        component: Protocol | None = self
        while component is not None:
            yield component
            component = component._owner
