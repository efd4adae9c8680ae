# SPDX-License-Identifier: Apache-2.0
"""Textbook models have the published numbers of states and transitions, to the last one."""

from __future__ import annotations

import pytest
from conftest import DATA

from examples.textbook.instances import INSTANCES
from quiesce.compiler.program import compile_scenario

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native.search import Search, SearchOptions


@pytest.mark.parametrize("name", list(INSTANCES))
def test_published_counts(name: str) -> None:
    build, states, transitions = INSTANCES[name]
    search = Search(compile_scenario(build()), SearchOptions(keep_going=True))
    search.run()
    assert not search.incomplete
    assert (search.states, search.transitions) == (states, transitions)


def test_the_numbers_are_the_published_ones() -> None:
    published = {}
    for line in (DATA / "state_counts.tsv").read_text().splitlines():
        fields = line.split("\t")
        if len(fields) >= 4 and fields[2].isdigit():
            published[f"{fields[0]}.{fields[1]}"] = (fields[2], fields[3])
    for name, (_, states, transitions) in INSTANCES.items():
        assert published[name] == (str(states), str(transitions)), name
