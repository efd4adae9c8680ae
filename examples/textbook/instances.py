# SPDX-License-Identifier: Apache-2.0
"""The published instances that we have, by model and number, and how each is built."""

from __future__ import annotations

from collections.abc import Callable

from examples.textbook.adding import Adding
from examples.textbook.anderson import Anderson
from examples.textbook.at import AlurTaubenfeld
from examples.textbook.bakery import Bakery
from examples.textbook.frogs import Frogs
from examples.textbook.hanoi import Hanoi
from examples.textbook.lamport import Lamport
from examples.textbook.mcs import Mcs
from examples.textbook.peterson import Peterson
from examples.textbook.phils import Philosophers
from examples.textbook.szymanski import Szymanski
from quiesce.protocol import Scenario

INSTANCES: dict[str, tuple[Callable[[], Scenario], int, int]] = {
    "adding.1": (lambda: Adding(20), 7_372, 11_144),
    "adding.2": (lambda: Adding(200), 836_838, 1_289_748),
    "anderson.2": (lambda: Anderson(3), 1_459, 3_705),
    "anderson.4": (lambda: Anderson(4), 29_641, 97_516),
    "at.1": (lambda: AlurTaubenfeld(3), 39_354, 108_438),
    "bakery.1": (lambda: Bakery(2), 1_506, 2_697),
    "frogs.1": (lambda: Frogs(8), 5_094, 5_301),
    "hanoi.1": (lambda: Hanoi(8), 6_561, 19_680),
    "hanoi.2": (lambda: Hanoi(12), 531_441, 1_594_320),
    "lamport.1": (lambda: Lamport(3), 29_242, 77_286),
    "lamport.5": (lambda: Lamport(4), 1_066_800, 3_630_664),
    "mcs.1": (lambda: Mcs(3), 7_963, 21_503),
    "mcs.3": (lambda: Mcs(4), 571_459, 2_077_384),
    "peterson.1": (lambda: Peterson(3), 12_498, 33_369),
    "peterson.4": (lambda: Peterson(4), 1_119_560, 3_864_896),
    "phils.1": (lambda: Philosophers(4), 80, 212),
    "phils.4": (lambda: Philosophers(9, seats=7), 340_789, 3_123_558),
    "szymanski.1": (lambda: Szymanski(3), 20_264, 56_701),
    "szymanski.3": (lambda: Szymanski(4), 1_128_424, 4_234_041),
}
"""For each instance: the scenario, and the published numbers of states and transitions."""
