# SPDX-License-Identifier: Apache-2.0
"""What is asked of a protocol and what can be found: every kind of property and of finding, once.

The explorers, the thread runner and the reports ask the objects of this file; none of them compares a
name. A built-in property that a failed step breaks (``assertions``, ``ranges``) is complete with its entry
here. Any other needs an entry here and a decision in each explorer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto


class About(Enum):
    """What a finding is about: it decides what a report shows beside the interleaving."""

    WAITING = auto()
    """Threads that wait or spin: which thread waits for which."""

    VALUES = auto()
    """Values of variables: what changed last."""

    STEPS = auto()
    """The steps of the run, and nothing beside them."""

    NO_RUN = auto()
    """All runs together: there is none to show."""


class FindingKind(StrEnum):
    """A kind of finding. As a string, it is the word that text and JSON print."""

    meaning: str
    about: About
    rank: int
    forever: bool

    def __new__(
        cls, word: str, meaning: str, about: About, rank: int = 0, forever: bool = False
    ) -> FindingKind:
        """Create a kind.

        :param meaning: the definition, a sentence without its full stop.
        :param rank: of several findings, one with the lowest rank is shown. Safety comes before liveness
            and liveness before vacuity, as the first is the easiest to believe. A thread is stuck already
            on the path to a deadlock that cannot be avoided, so the deadlock comes before the thread.
        :param forever: the finding is a run that goes on forever, a stem and a loop.
        """
        kind = str.__new__(cls, word)
        kind._value_ = word
        kind.meaning, kind.about, kind.rank, kind.forever = meaning, about, rank, forever
        return kind

    @property
    def has_run(self) -> bool:
        """True if there is a run to show and to replay."""
        return self.about is not About.NO_RUN

    DEADLOCK = "deadlock", "no thread can move and not all have finished", About.WAITING
    STUCK_THREAD = (
        "stuck thread",
        "a waiting thread can never move again, while others run on",
        About.WAITING,
        1,
    )
    LOST_WAKEUP = (
        "lost wakeup",
        "a thread sleeps forever although its condition is already true",
        About.WAITING,
    )
    LIVELOCK = (
        "livelock",
        "threads take steps forever in a fair run and none of them leaves its loop",
        About.WAITING,
        2,
        True,
    )
    STARVATION = (
        "starvation",
        "a fair run goes on forever in which a thread never proceeds, or a property never comes true",
        About.WAITING,
        3,
        True,
    )
    DATA_RACE = (
        "data race",
        "two plain accesses, at least one a write, can happen at the same time",
        About.STEPS,
    )
    BROKEN_INVARIANT = (
        "broken invariant",
        "a property that must be true in every state is false in a reachable one",
        About.VALUES,
    )
    FAILED_ASSERT = "failed assert", "an assertion is false in a reachable state", About.VALUES
    OUT_OF_RANGE = (
        "out of range",
        "a value or an index leaves its range, or None is used like a component",
        About.VALUES,
    )
    ENDLESS_STEP = "endless step", "a step runs forever by itself", About.STEPS
    VACUOUS = (
        "vacuous",
        "a property that must be true in some state is true in no reachable one",
        About.NO_RUN,
        4,
    )
    EXCEPTION = "exception", "a thread ends with an exception", About.STEPS
    NOTHING = "nothing", "a run that was repeated and in which nothing was found", About.STEPS
    LONG_WAIT = "long wait", "a thread waited long while others moved", About.WAITING


class Quantifier(Enum):
    """Over what a property that a method states is judged."""

    EVERY_STATE = auto()
    """It fails in a reachable state in which the method is false."""

    SOME_STATE = auto()
    """It fails if the method is true in no reachable state. One state proves it, on any part of the space."""

    AGAIN = auto()
    """It fails in a fair run that goes on forever, or ends, while the method stays false."""


@dataclass(frozen=True)
class PropertyKind:
    """A kind of property.

    :param word: what JSON prints as ``kind``; of a declared property, the name of the decorator.
    :param finds: what breaks it: first what usually does.
    :param informational: by default, a property of this kind is shown and decides nothing.
    """

    word: str
    finds: tuple[FindingKind, ...]
    informational: bool = field(default=False, kw_only=True)

    @property
    def holds_on_a_part(self) -> bool:
        """True if a part of the space can show that such a property holds."""
        return False


@dataclass(frozen=True)
class BuiltInKind(PropertyKind):
    """A property of every scenario.

    :param name: the property's name.
    :param failures: each kind of failed step that breaks it, and what is then found.
    """

    name: str
    failures: tuple[tuple[str, FindingKind], ...] = ()


@dataclass(frozen=True)
class DeclaredKind(PropertyKind):
    """A kind of property that methods of a scenario or of a component state.

    :param broken: the sentence about such a property that fails; ``{name}`` is its name.
    :param broken_at_end: the sentence about one that fails where a run ends.
    """

    quantifier: Quantifier
    broken: str
    broken_at_end: str = ""

    @property
    def holds_on_a_part(self) -> bool:
        """True if a part of the space can show that such a property holds."""
        return self.quantifier is Quantifier.SOME_STATE


NO_DEADLOCK = BuiltInKind(
    "deadlock", (FindingKind.DEADLOCK, FindingKind.LOST_WAKEUP), "no_deadlock"
)
NO_STUCK_THREAD = BuiltInKind(
    "stuck thread", (FindingKind.STUCK_THREAD, FindingKind.LOST_WAKEUP), "no_stuck_thread"
)
NO_DATA_RACE = BuiltInKind("data race", (FindingKind.DATA_RACE,), "no_data_race")
ASSERTIONS = BuiltInKind(
    "assert",
    (FindingKind.FAILED_ASSERT,),
    "assertions",
    (("assertion", FindingKind.FAILED_ASSERT),),
)
RANGES = BuiltInKind(
    "range",
    (FindingKind.OUT_OF_RANGE, FindingKind.ENDLESS_STEP),
    "ranges",
    (
        ("range", FindingKind.OUT_OF_RANGE),
        ("index", FindingKind.OUT_OF_RANGE),
        ("null", FindingKind.OUT_OF_RANGE),
        ("division", FindingKind.OUT_OF_RANGE),
        ("endless step", FindingKind.ENDLESS_STEP),
    ),
)
NO_LIVELOCK = BuiltInKind("livelock", (FindingKind.LIVELOCK,), "no_livelock")
NO_STARVATION = BuiltInKind("starvation", (FindingKind.STARVATION,), "no_starvation")

BUILT_IN = (
    NO_DEADLOCK,
    NO_STUCK_THREAD,
    NO_DATA_RACE,
    ASSERTIONS,
    RANGES,
    NO_LIVELOCK,
    NO_STARVATION,
)
"""What every check searches for, in the order of the reports."""

ALWAYS = DeclaredKind(
    "always", (FindingKind.BROKEN_INVARIANT,), Quantifier.EVERY_STATE, "`{name}` is false here"
)
SOMETIMES = DeclaredKind(
    "sometimes",
    (FindingKind.VACUOUS, FindingKind.BROKEN_INVARIANT),
    Quantifier.SOME_STATE,
    "`{name}` is true in no reachable state: the scenario proves nothing about it",
)
EVENTUALLY = DeclaredKind(
    "eventually",
    (FindingKind.STARVATION, FindingKind.BROKEN_INVARIANT),
    Quantifier.AGAIN,
    "`{name}` need never be true again: a fair run goes on forever without it",
    "`{name}` is false where the run ends",
)
"""A declared property that cannot be evaluated in some state is a broken invariant."""

DECLARED = (ALWAYS, SOMETIMES, EVENTUALLY)
"""What a method can be marked as."""

BROKEN_BY = {failure: (kind, found) for kind in BUILT_IN for failure, found in kind.failures}
"""For each kind of failed step, the property that it breaks and what is then found."""
