# SPDX-License-Identifier: Apache-2.0
"""The HTML report: what is in the page, and what a browser makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from report_browser import Browser, Element

from quiesce.cli import main
from quiesce.harmless import harmless_data
from quiesce.report.html import render_html, script_safe

COUNT_GATE = str(ROOT / "examples" / "count_gate.py")
RWSEM_GATE = str(ROOT / "examples" / "rwsem_gate.py")
TWO_USERS = str(ROOT / "tests" / "support" / "protocols" / "two_users.py") + ":TwoUsers"

VOID = {"meta", "br", "wbr", "col", "input", "link"}
Written = Callable[..., str]


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Written:
    """Return a function that runs a command with ``--html`` and returns the page."""

    def run(*argv: str) -> str:
        file = tmp_path / "page.html"
        main([*argv, "--quiet", "--html", str(file)])
        capsys.readouterr()
        return file.read_text(encoding="utf-8")

    return run


class Parsed(HTMLParser):
    """Parses a page strictly: every element that is opened is closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def data_of(page: str) -> Any:
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def result(**changes: Any) -> dict[str, object]:
    """Return a result without a counterexample, as check_json makes them."""
    return {
        "schema": 1, "scenario": "Example", "design": None, "verdict": "holds",
        "properties": [
            {
                "name": "no_deadlock", "kind": "deadlock", "verdict": "holds",
                "informational": False, "finding": None, "message": None,
            }
        ],
        "states": 1234, "transitions": 5678, "depth": 9, "seconds": 0.25, "complete": True,
        "incomplete_because": None, "notes": [], "fairness": "strong", "engine": "reference",
        "counterexample": None, "replay": None, **changes,
    }  # fmt: skip


HOSTILE = "</script><script>document.title='taken'</script><!-- <b>&amp;\u2028`"


def hostile() -> dict[str, object]:
    """Return a result with markup in every text that a scenario can choose."""
    state = {
        "shared": {HOSTILE: HOSTILE, "other": 0},
        "threads": {HOSTILE: {"at": HOSTILE, "line": 1, "locals": {HOSTILE: HOSTILE}}},
    }
    changed = {**state, "shared": {HOSTILE: [HOSTILE], "other": 1}}
    waiting = {"thread": HOSTILE, "at": HOSTILE, "lock": HOSTILE, "held_by": [HOSTILE]}
    held = {"lock": HOSTILE, "annotation": True, "mode": "shared", "file": HOSTILE, "line": 1}
    step = {
        "thread": HOSTILE, "action": HOSTILE, "file": HOSTILE, "line": 1, "failure": HOSTILE,
        "actions": [{"text": HOSTILE, "file": HOSTILE, "line": 1}], "state": changed,
        "held": {HOSTILE: [held]}, "waiting": [waiting],
    }  # fmt: skip
    counterexample = {
        "kind": "deadlock", "property": HOSTILE, "message": HOSTILE, "initial": state,
        "threads": [{"name": HOSTILE, "daemon": False}], "steps": [step], "loop_start": None,
        "waiting": [waiting],
    }  # fmt: skip
    found = {
        "name": HOSTILE, "kind": "deadlock", "verdict": "violation", "informational": False,
        "finding": "deadlock", "message": HOSTILE,
    }  # fmt: skip
    report = {"kind": "circular", "title": HOSTILE, "note": HOSTILE, "text": HOSTILE, "chain": []}
    return result(
        scenario=HOSTILE, design=HOSTILE, verdict="violation", counterexample=counterexample,
        properties=[found], replay=HOSTILE, notes=[HOSTILE], lockdep=report,
    )  # fmt: skip


def test_check_writes_a_page_that_stands_alone(written: Written) -> None:
    page = written("check", RWSEM_GATE)
    parsed = Parsed(page)
    assert page.startswith("<!doctype html>")
    for _, attributes in parsed.tags:
        assert not {"src", "href", "srcset", "action"} & attributes.keys()
    assert not re.search(r"https?:|//cdn|@import|url\(", page)
    policy = next(a["content"] for _, a in parsed.tags if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none';")


def test_the_page_has_every_counterexample_with_its_replay(written: Written) -> None:
    both = ("--set", "order=crossed", "--set", "limit=1")
    (one,) = data_of(written("check", TWO_USERS, *both, "--all"))["results"]
    others = one["other_counterexamples"]
    found = [p["name"] for p in one["properties"] if p["finding"]]
    assert sorted([one["counterexample"]["property"], *(o["property"] for o in others)]) == sorted(
        found
    )
    tokens = [one["replay"], *(o["replay"] for o in others)]
    assert len(set(tokens)) == len(found) > 1
    assert all(token.startswith("q1-") for token in tokens)


def test_kvm_check_writes_all_designs(written: Written) -> None:
    page = written("kvm", "check", "--design", "all", "--max-states", "1500")
    results = data_of(page)["results"]
    assert [r["design"] for r in results] == [
        "always_lock", "elide_unguarded", "rwsem", "count", "phased",
    ]  # fmt: skip
    assert all("lockdep" in r for r in results)
    assert "MemslotUpdates, 5 designs" in Parsed(page).texts["h1"][0]


def test_the_page_says_what_is_not_checked() -> None:
    text = " ".join(Parsed(render_html([result()])).texts["li"])
    assert "Memory is sequentially consistent" in text


def test_hostile_names_cannot_become_markup() -> None:
    page = render_html([hostile()])
    assert page.count("</script>") == 2
    assert page.count("<script") == 2
    assert page.count("<!--") == 1, "the licence is the only comment"
    assert data_of(page)["results"] == [harmless_data(hostile())]
    Parsed(page)


def test_script_safe_keeps_the_data() -> None:
    value = {"a": HOSTILE}
    assert json.loads(script_safe(json.dumps(value))) == value
    assert not set("<>&") & set(script_safe(json.dumps(value)))


def colours(page: str) -> dict[str, dict[str, str]]:
    """Return the colour variables for light and for dark."""
    blocks = re.findall(r":root \{(.*?)\}", page, re.S)
    light, dark = (dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block)) for block in blocks[:2])
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.1 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(scheme: str) -> None:
    palette = colours(render_html([result()]))[scheme]
    pairs = [
        *product(("text", "soft", "link", "good", "bad", "open"), ("ground", "raised")),
        *product(("text", "open", "bad"), ("selected",)),
        ("text", "changed"),
    ]
    weak = {(a, b): contrast(palette[a], palette[b]) for a, b in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}


# -- In a browser -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Browser:
    """A headless Chromium; the test is skipped where there is none."""
    path = Browser.find()
    if path is None:
        pytest.skip("there is no chromium on this machine to open the page with")
    return Browser(path)


def selected(view: Element) -> str:
    """Return the number of the step that is selected in a counterexample."""
    (row,) = view.all("tr", **{"aria-selected": "true"})
    return row.first("td").text()


def view_of(document: Element, name: str) -> Element:
    """Return the counterexample of the property *name*."""
    return next(
        d for d in document.all("details", **{"class": "counterexample"}) if name in d.text()
    )


def test_summary_names_every_property_and_verdict(browser: Browser, written: Written) -> None:
    document = browser.look(written("check", RWSEM_GATE, "--all"))
    rows = document.first("table", **{"class": "summary"}).all("tr")
    table = {row.all("th")[0].text(): row.all("td")[0].text() for row in rows[1:]}
    assert table["verdict"] == "violation"
    assert table["no_deadlock"] == "deadlock"
    assert table["no_data_race"] == "holds"
    assert table["covered"] == "the whole space"


def test_interleaving_and_state_of_a_deadlock(browser: Browser, written: Written) -> None:
    document = browser.look(written("check", RWSEM_GATE))
    view = view_of(document, "no_deadlock")
    heads = [th.text() for th in view.first("table").first("thead").all("th")]
    assert heads == ["step", "notifier/0", "updater/0", "source line"]
    text = view.text()
    assert "<- waits for notifier/0" in text
    assert "<- waits behind updater/0" in text
    panel = view.first("div", role="region").text()
    assert "holds &kvm->mmu_notifier_slots_lock (shared), taken at rwsem_gate.py:" in panel
    assert "waits for &kvm->mmu_notifier_slots_lock, held by notifier/0" in panel


@pytest.mark.parametrize("file", [RWSEM_GATE, COUNT_GATE])
def test_interleaving_is_that_of_the_terminal(
    browser: Browser, capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str
) -> None:
    page = tmp_path / "page.html"
    main(["check", file, "--all", "--quiet", "--html", str(page)])
    table = capsys.readouterr().out.split("---\n", 1)[1].split("\n\n", 1)[0]
    document = browser.look(page.read_text(encoding="utf-8"))
    rows = document.first("details", open="").first("table", role="grid").all("tr")[2:]
    cells = [cell for row in rows for cell in row.all("td") + row.all("th")]
    texts = [c.text() for c in cells if c.attributes.get("class") not in ("number", "place")]
    assert "".join("".join(texts).split()) == "".join(table.split())


def test_deep_link_selects_the_step(browser: Browser, written: Written) -> None:
    page = written("check", RWSEM_GATE)
    for step, changed in ((0, []), (1, ["kvm.mmu_notifier_slots_lock.readers"])):
        view = view_of(
            browser.look(page, f"#NestedInvalidations/no_deadlock/{step}"), "no_deadlock"
        )
        assert selected(view) == str(step)
        rows = view.first("div", role="region").all("tr", **{"class": "changed"})
        assert [name for name in changed if name in [r.first("th").text() for r in rows]] == changed
        assert bool(rows) == bool(changed)


@pytest.mark.parametrize("address", ["#NestedInvalidations", "#%E0%A4%A/x/y"])
def test_an_address_of_nothing_does_no_harm(
    browser: Browser, written: Written, address: str
) -> None:
    view = view_of(browser.look(written("check", RWSEM_GATE), address), "no_deadlock")
    assert selected(view) == "3"


def test_keys_move_through_the_steps(browser: Browser, written: Written) -> None:
    start = "#NestedInvalidations/no_deadlock/"
    pressed = {
        "j": 2, "k": 1, "ArrowDown": 2, "ArrowUp": 1, "Home": 0, "End": 3, "g": 0, "G": 3, "x": 3,
    }  # fmt: skip
    keys = [*pressed, "j", "j", "g", "k"]
    document = browser.look(written("check", RWSEM_GATE), f"{start}1", keys)
    steps = [*pressed.values(), 3, 3, 0, 0]
    assert browser.addresses(document) == [f"{start}{step}" for step in steps]
    assert selected(view_of(document, "no_deadlock")) == "0"


def test_arrows_scroll_until_a_step_has_the_focus(browser: Browser, written: Written) -> None:
    document = browser.look(written("check", RWSEM_GATE), keys=["ArrowDown", "j", "ArrowDown"])
    start = "#NestedInvalidations/no_deadlock/"
    assert browser.addresses(document) == ["", f"{start}1", f"{start}2"]


def test_keys_move_between_counterexamples(browser: Browser, written: Written) -> None:
    both = ("--set", "order=crossed", "--set", "limit=1")
    document = browser.look(written("check", TWO_USERS, *both, "--all"), keys=["n", "n", "n", "p"])
    first, second = "#TwoUsers/no_deadlock/2", "#TwoUsers/below_limit/3"
    assert browser.addresses(document) == [first, second, second, first]
    opened = document.all("details", **{"class": "counterexample"})
    assert ["open" in details.attributes for details in opened] == [True, True]


def test_c_copies_the_replay_command(browser: Browser, written: Written) -> None:
    page = written("check", RWSEM_GATE)
    for _ in range(3):
        document = browser.look(page, keys=["j", "c"])
        said = document.first("p", id="said").text()
        if said:  # On a busy machine the clipboard may answer after the page was looked at.
            break
    assert said == "The replay command is in the clipboard."
    command = f"quiesce replay {data_of(page)['results'][0]['replay']}"
    assert command in [code.text() for code in document.all("code")]


def test_the_loop_of_a_lasso_is_marked(browser: Browser, written: Written) -> None:
    page = written("check", COUNT_GATE, "--all")
    found = data_of(page)["results"][0]["counterexample"]
    view = view_of(browser.look(page), found["property"])
    loop = view.first("tbody", **{"class": "loop"})
    numbers = [row.first("td").text() for row in loop.all("tr") if row.all("td")]
    start, end = found["loop_start"], len(found["steps"])
    assert numbers == [str(n) for n in range(start + 1, end + 1)]
    assert "from here on, over and over" in loop.text()
    assert "never gets any further" in view.text()


def test_a_proof_says_what_and_how(browser: Browser, written: Written) -> None:
    document = browser.look(written("check", COUNT_GATE, "--set", "rounds=1"))
    text = document.first("main").text()
    assert re.search(r"The whole space was searched, .* states, .* steps, depth \d+", text)
    assert (
        "Fairness assumed: weak fairness for every thread, strong fairness for queued locks" in text
    )
    assert re.search(r"What was proved\s*In every run: no_deadlock", text)
    assert document.all("details") == []


def test_incomplete_is_no_proof(browser: Browser) -> None:
    one = result(verdict="incomplete", complete=False, incomplete_because="1,000 states were seen")
    text = browser.look(render_html([one])).first("main").text()
    assert "Only a part of the space was visited (1,000 states were seen)" in text
    assert "The whole space" not in text
    assert "What was proved" not in text


def test_hostile_names_are_shown_as_text(browser: Browser) -> None:
    document = browser.look(render_html([hostile()]))
    assert document.first("title").text() != "taken"
    assert len(document.all("script")) == 2 + browser.scripts_added
    assert document.all("b") == []
    assert "</script><script>" in view_of(document, "deadlock").text()
    assert selected(view_of(document, "deadlock")) == "1"


def test_two_results_of_one_name_have_their_own_address(browser: Browser) -> None:
    document = browser.look(render_html([result(), result()]))
    ids = [s.attributes["id"] for s in document.all("section", **{"class": "result"})]
    assert ids == ["result-Example", "result-Example-2"]


def test_what_is_vacuous_has_no_steps_to_select(browser: Browser) -> None:
    found: dict[str, object] = {
        "kind": "vacuous", "property": "opens", "message": "`opens` is true in no reachable state",
        "threads": [], "initial": None, "steps": [], "loop_start": None, "waiting": [],
    }  # fmt: skip
    document = browser.look(
        render_html([result(verdict="violation", counterexample=found)]), keys=["j"]
    )
    assert "opens is true in no reachable state" in document.first("main").text()
    assert document.all("table", role="grid") == []
