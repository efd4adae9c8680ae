# SPDX-License-Identifier: Apache-2.0
"""Replay tokens: what a check found is proved again, and nothing else; garbage is refused."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_generator import build, protocol_sources
from native_protocols import Everything, LockPair, Racy
from protocols.spinning import Backoff, Flag, Polite, TwoLocks, Unfair, Worker
from test_explorer_findings import (
    Circle,
    Counters,
    Ends,
    Forgotten,
    Idle,
    Invalidations,
    Master,
    NeverTold,
    Races,
    Roles,
    Silent,
    Sleep,
    Turns,
)

from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer import Bounds, CheckResult, Finding, Options, check, check_reference
from quiesce.explorer.prove_again import Proof, prove_again
from quiesce.explorer.reference.stepper import Stepper
from quiesce.explorer.replay import Move, Origin, Token, make_token, read_token
from quiesce.explorer.walk import walk
from quiesce.kvm import MemslotUpdates
from quiesce.properties import FindingKind
from quiesce.protocol import Bool, Scenario, choose, eventually, thread, wait_until

ORIGIN = Origin("/home/idea.py", 1, "0" * 64, "Example", ("rounds=2",))


def token_of(program: Program, finding: Finding, fairness: str = "strong") -> Token:
    text = make_token(ORIGIN, program, finding, fairness)
    assert text is not None
    return read_token(f"  {text}\n")


def proved(program: Program, token: Token, most: int | None = None) -> Proof:
    run = walk(program, token.initial, token.moves)
    options = Options(True, token.fairness, Bounds(most))
    return prove_again(program, run, token, options)


def findings(result: CheckResult) -> Iterator[Finding]:
    yield from (p.finding for p in result.properties if p.finding is not None and p.finding.path)


def check_all_again(program: Program, result: CheckResult) -> int:
    """Each finding of *result* is proved again, word for word; return how many there are."""
    count = 0
    for finding in findings(result):
        token = token_of(program, finding, result.fairness)
        assert proved(program, token) == Proof(finding)
        assert walk(program, token.initial, token.moves).path == list(finding.path)
        count += 1
    return count


# --- What was found is proved again -------------------------------------------------------------------

SCENARIOS: list[Scenario] = [
    Circle(), Circle(3), Forgotten(told=False), Master(), Sleep(early=False), NeverTold(), Races("plain"),
    Counters("assert"), Counters("index"), Counters("always"), Counters("property"), Counters(turns=2),
    Silent("assert"), Silent("endless"), Invalidations(), Turns(queued=False), Roles(), Idle(), Ends(1),
    Everything(loops=1), LockPair(crossed=True), LockPair(threads=3), Racy(), TwoLocks(spins=True),
    TwoLocks(spins=True, third="ends"), TwoLocks(spins=True, third="lives"), Unfair(spins=True),
    Flag(spins=True), Flag(spins=True, others="live"), Polite(both=True), Backoff(given_back=False),
    Worker(exits=True),
]  # fmt: skip


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: type(s).__name__)
def test_every_finding_is_proved_again(scenario: Scenario, fuse: bool) -> None:
    program = compile_scenario(scenario, fuse=fuse)
    for fairness in ("strong", "weak", "none"):
        check_all_again(program, check_reference(program, Options(True, fairness)))


def test_the_scenarios_show_every_kind() -> None:
    kinds = set()
    for scenario in SCENARIOS:
        result = check_reference(compile_scenario(scenario), Options(True))
        kinds |= {f.kind for f in findings(result)}
    assert kinds >= {
        "deadlock", "stuck thread", "lost wakeup", "data race", "broken invariant", "failed assert",
        "out of range", "endless step", "livelock", "starvation",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("design", "notifiers"), [("elide_unguarded", 1), ("rwsem", 2), ("count", 2)]
)
def test_what_the_kvm_designs_show_is_proved_again(design: str, notifiers: int) -> None:
    program = compile_scenario(MemslotUpdates(design=design, notifiers=notifiers))
    assert check_all_again(program, check(program, Options(True)))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(source=protocol_sources())
def test_what_generated_protocols_show_is_proved_again(source: str, tmp_path: Path) -> None:
    program = compile_scenario(build(source, tmp_path))
    check_all_again(program, check_reference(program, Options(True, bounds=Bounds(1500))))


def test_what_the_native_explorer_finds_is_proved_again() -> None:
    pytest.importorskip("numba", reason="the native explorer needs numba")
    from quiesce.explorer.native.check import check_native

    wrong = [
        Everything(loops=1), Invalidations(), LockPair(crossed=True), Counters("always"), Sleep(early=False),
    ]  # fmt: skip
    for scenario in wrong:
        program = compile_scenario(scenario)
        assert check_all_again(program, check_native(program, Options(True)))


# --- Nothing else is ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: type(s).__name__)
def test_a_claim_is_not_believed(scenario: Scenario) -> None:
    """Claim each property of each beginning of each path; nothing is proved that does not fail."""
    program = compile_scenario(scenario)
    result = check_reference(program, Options(True))
    violated = {p.name for p in result.properties if p.finding is not None}
    names = [p.name for p in result.properties]
    for finding in findings(result):
        token = token_of(program, finding)
        for length in range(len(token.moves) + 1):
            for name in names:
                claim = replace(token, property=name, moves=token.moves[:length])
                proof = proved(program, claim)
                if proof.finding is None:
                    assert proof.why and (name, length) != (finding.property, len(token.moves))
                else:
                    assert name in violated and proof.finding.property == name


def test_a_claim_about_a_safe_program_is_never_proved() -> None:
    program = compile_scenario(Circle(ordered=True))
    result = check_reference(program, Options(True))
    moves = [Move("walker/0", 0), Move("walker/0", 0), Move("walker/0", 0), Move("walker/1", 0)]
    for name in [p.name for p in result.properties]:
        for loop in (None, 0, 2, 4):
            claim = Token(
                ORIGIN, True, program.digest, "none", name, "walker/1", 0, tuple(moves), loop
            )
            assert proved(program, claim).finding is None


def test_a_property_that_is_not_there() -> None:
    program = compile_scenario(Circle())
    claim = Token(ORIGIN, True, program.digest, "strong", "no_trouble", "", 0, (), None)
    assert proved(program, claim) == Proof(None, "Circle has no property `no_trouble`")


@pytest.fixture(scope="module")
def starving() -> tuple[Program, Token]:
    program = compile_scenario(Invalidations())
    finding = check_reference(program, Options(True)).property("no_starvation").finding
    assert finding is not None
    return program, token_of(program, finding)


def test_a_loop_must_close(starving: tuple[Program, Token]) -> None:
    program, token = starving
    assert token.loop_start is not None
    shorter = replace(token, moves=token.moves[:-1])
    assert "does not lead back" in proved(program, shorter).why
    for start in (None, len(token.moves)):
        assert "not end in a loop" in proved(program, replace(token, loop_start=start)).why


def test_a_loop_must_be_fair() -> None:
    """With no fairness at all a lock may be kept from a thread forever; with weak fairness it may not."""
    program = compile_scenario(LockPair(threads=3))
    for weaker, stronger in (("none", "weak"), ("none", "strong"), ("weak", "strong")):
        result = check_reference(program, Options(True, weaker))
        for finding in findings(result):
            if finding.kind != "starvation":
                continue
            token = token_of(program, finding, weaker)
            again = check_reference(program, Options(True, stronger)).property(finding.property)
            proof = proved(program, replace(token, fairness=stronger))
            assert proof.finding is None or again.finding is not None
            assert proof.finding is not None or "not fair" in proof.why


def test_only_the_thread_that_starves_starves(starving: tuple[Program, Token]) -> None:
    program, token = starving
    for other in program.threads:
        proof = proved(program, replace(token, thread=other.name))
        if other.name != token.thread:
            assert "does not wait" in proof.why or "gets on" in proof.why
    assert "no thread" in proved(program, replace(token, thread="updater/9")).why


def test_a_stuck_thread_does_not_starve() -> None:
    """A fair loop in which a thread waits that can never get on: that is another finding."""
    program = compile_scenario(Forgotten(told=False))
    turn = Move("runner/0", 0)
    claim = Token(
        ORIGIN, True, program.digest, "strong", "no_starvation", "waiter/0", 0, (turn, turn), 1
    )
    assert "stuck" in proved(program, claim).why


class Idles(Scenario):
    """A thread that waits, or spins, for what comes now and then, or a daemon that does."""

    busy = Bool(marked=True)

    def __init__(self, daemon: bool) -> None:
        self.daemons, self.others = int(daemon), int(not daemon)

    @thread(count="daemons", daemon=True)
    def daemon(self) -> None:
        wait_until(lambda: self.busy)

    @thread(count="others")
    def other(self) -> None:
        wait_until(lambda: self.busy)

    @thread()
    def worker(self) -> None:
        while True:
            self.busy = True
            self.busy = False


def test_a_daemon_does_not_starve() -> None:
    for daemon in (False, True):
        program = compile_scenario(Idles(daemon))
        found = check_reference(program, Options(True)).property("no_starvation").finding
        assert (found is None) == daemon
        if found is not None:
            token = token_of(program, found)
    claim = replace(token, thread="daemon/0", program=program.digest)
    assert "daemon" in proved(program, claim).why


class Blinks(Scenario):
    """A light that goes on and off forever, or once; threads that do nothing to it."""

    on = Bool(marked=True)
    other = Bool(marked=True)

    def __init__(self, forever: bool = True, bystanders: int = 0, daemons: int = 0) -> None:
        self.forever, self.bystanders, self.daemons = forever, bystanders, daemons

    @thread()
    def blinker(self) -> None:
        self.on = True
        while self.forever:
            self.on = False
            self.on = True

    @thread(count="bystanders")
    def bystander(self) -> None:
        self.other = True
        wait_until(lambda: self.on)

    @thread(count="daemons", daemon=True)
    def spinner(self) -> None:
        while not self.other:
            self.other = False

    @eventually()
    def lit(self) -> bool:
        return self.on

    @eventually()
    def dark(self) -> bool:
        return not self.on


def claimed(
    scenario: Scenario, name: str, moves: str, loop: int, about: str = "", most: int | None = None
) -> Proof:
    """Claim that *name* fails where the threads of *moves* each take a step, without any fairness."""
    program = compile_scenario(scenario)
    steps = tuple(Move(mover, 0) for mover in moves.split())
    token = Token(ORIGIN, True, program.digest, "none", name, about, 0, steps, loop)
    return proved(program, token, most)


TWICE = "blinker/0 blinker/0 blinker/0"


@pytest.mark.parametrize(
    ("scenario", "name", "moves", "loop", "about", "why"),
    [
        (Blinks(), "lit", TWICE, 1, "", "`lit` is true in its loop"),
        (Blinks(), "dark", TWICE, 1, "", "`dark` is true in its loop"),
        (Blinks(), "lit", "", 0, "", "a thread can take a step"),
        (Blinks(), "dark", "blinker/0", 1, "", "a thread can take a step"),
        (Blinks(forever=False), "lit", "blinker/0", 1, "", "`lit` is true where it ends"),
        (Blinks(bystanders=1), "no_starvation", TWICE, 1, "bystander/0", "does not wait"),
        (Blinks(daemons=1), "no_livelock", "spinner/0 spinner/0 spinner/0", 1, "", "only daemons"),
        (Blinks(daemons=1), "no_livelock", TWICE, 1, "", "gets on"),
    ],
)
def test_loops_in_which_nothing_is_wrong(
    scenario: Scenario, name: str, moves: str, loop: int, about: str, why: str
) -> None:
    proof = claimed(scenario, name, moves, loop, about)
    assert proof.finding is None and why in proof.why


@pytest.mark.parametrize(
    ("scenario", "name", "moves", "loop", "about"),
    [
        (Blinks(forever=False), "dark", "blinker/0", 1, ""),
        (Blinks(daemons=1), "lit", "spinner/0 spinner/0 spinner/0", 1, ""),
        (Blinks(daemons=1), "dark", "blinker/0 spinner/0 spinner/0 spinner/0", 2, ""),
        (Blinks(bystanders=1), "no_starvation", f"bystander/0 {TWICE}", 2, "bystander/0"),
    ],
)
def test_their_twins(scenario: Scenario, name: str, moves: str, loop: int, about: str) -> None:
    proof = claimed(scenario, name, moves, loop, about)
    assert proof.finding is not None and proof.finding.property == name


class Spins(Scenario):
    """A thread that spins; each time round, its own choice may take it out of the loop, or fail."""

    done = Bool(marked=True)

    def __init__(self, way_out: str) -> None:
        self.way_out = way_out

    @thread()
    def spinner(self) -> None:
        while not self.done:
            out = choose(True, False)
            if self.way_out == "fails":
                assert not out
            if out:
                if self.way_out == "leaves":
                    break
                if self.way_out == "sets":
                    self.done = True


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("way_out", ["leaves", "fails", "sets", "none"])
def test_a_thread_that_could_choose_to_leave_does_not_spin(way_out: str, fuse: bool) -> None:
    """A loop of a token that never takes the way out: but its choices are fair."""
    program = compile_scenario(Spins(way_out), fuse=fuse)
    result = check_reference(program, Options(True))
    assert (result.property("no_livelock").finding is None) == (way_out != "none")
    stepper = Stepper(program)
    moves, states = [], stepper.initial_states()
    while states[-1] not in states[:-1]:
        # The last option of a choice, False, stays in the loop.
        steps = stepper.steps_of(states[-1], 0)
        moves.append(Move("spinner/0", len(steps) - 1))
        states.append(steps[-1].target)
    start = states.index(states[-1])
    claim = Token(ORIGIN, fuse, program.digest, "strong", "no_livelock", "", 0, tuple(moves), start)
    proof = proved(program, claim)
    assert proof.finding is None
    assert proof.why == "a thread gets on in its loop"


def test_what_is_not_known_is_not_said() -> None:
    program = compile_scenario(Forgotten(told=False))
    finding = check_reference(program, Options(True)).property("no_stuck_thread").finding
    assert finding is not None
    token = token_of(program, finding)
    proof = proved(program, token, most=1)
    assert proof.finding is None and not proof.decided and "1 states" in proof.why
    assert proved(program, token).finding == finding


def test_whether_a_thread_can_get_on_may_not_be_known() -> None:
    claim = (Idles(False), "no_starvation", "worker/0 worker/0", 0, "other/0")
    proof = claimed(*claim, most=1)
    assert proof.finding is None and not proof.decided and "not known" in proof.why
    assert claimed(*claim, most=2).finding is not None


# --- Walking ------------------------------------------------------------------------------------------


def test_moves_that_are_not_possible() -> None:
    program = compile_scenario(Circle())
    result = check_reference(program, Options(True))
    (finding,) = findings(result)
    token = token_of(program, finding)
    first = token.moves[0]
    blocked = walk(program, 0, [*token.moves, first])
    assert blocked.steps == len(token.moves)
    assert "step 3 is blocked: walker/0 waits in" in blocked.blocked
    assert "there is no thread other/7" in walk(program, 0, [Move("other/7", 0)]).blocked
    assert "1 ways" in walk(program, 0, [Move(first.thread, 8)]).blocked
    alone = walk(program, 0, [first] * 40)
    assert "has finished before step" in alone.blocked
    with pytest.raises(UsageError, match="initial state 7"):
        walk(program, 7, [])


def test_nothing_is_walked_behind_a_failed_step() -> None:
    program = compile_scenario(Counters("assert"))
    finding = check_reference(program, Options(True)).property("assertions").finding
    assert finding is not None
    token = token_of(program, finding)
    further = walk(program, token.initial, [*token.moves, token.moves[0]])
    assert further.blocked.startswith(f"step {len(token.moves)} fails")
    assert proved(program, replace(token, moves=(*token.moves, token.moves[0]))).finding is None


class FailsOrHangs(Scenario):
    """One choice fails a step; another leads to where the thread waits forever."""

    ready = Bool(marked=True)

    @thread()
    def run(self) -> None:
        self.ready = False
        out = choose(True, False)
        assert out
        wait_until(lambda: self.ready)


def test_nothing_else_is_proved_by_a_failed_step() -> None:
    """Where a step fails the other choice can still deadlock; but not on a run through the failed step."""
    program = compile_scenario(FailsOrHangs())
    result = check_reference(program, Options(True))
    failed, stuck = (result.property(n).finding for n in ("assertions", "no_deadlock"))
    assert failed is not None and stuck is not None
    for name in [p.name for p in result.properties]:
        proof = proved(program, replace(token_of(program, failed), property=name))
        assert (proof.finding is not None) == (name == "assertions")


# --- Garbage ------------------------------------------------------------------------------------------


def packed(data: object) -> str:
    text = json.dumps(data).encode()
    return "q1-" + base64.urlsafe_b64encode(zlib.compress(text)).decode().rstrip("=")


GOOD: dict[str, Any] = {
    "version": 2, "file": "~/src/idea.py", "given": 1, "text": "0" * 64, "scenario": "Example",
    "settings": ["a=1"], "fuse": True, "program": "0" * 16, "fairness": "strong", "property": "no_deadlock",
    "thread": "", "initial": 0, "threads": ["a/0", "b/0"], "moves": [0, 1], "choices": [0, 0], "loop": None,
}  # fmt: skip


def test_the_token_that_the_bad_ones_are_made_of_is_good() -> None:
    token = read_token(packed(GOOD))
    assert token.moves == (Move("a/0", 0), Move("b/0", 0))
    assert token.origin == Origin("~/src/idea.py", 1, "0" * 64, "Example", ("a=1",))


WRONG_PARTS: dict[str, list[object]] = {
    "version": [1, 3, "2", None],
    "file": [7, None, "", "idea.py", "../idea.py", "/a/../b.py", "/a//b.py", "/a/b.py\n", "/\x1b[2J.py",
             "~root/x.py", "/a/\u202eyp.b", "/" + "a" * 5000],
    "given": [-1, 9, "1", 1.0, True, None],
    "text": ["", "0", "g" * 64, "0" * 64 + "\n", 7, None],
    "scenario": ["", "a b", "A:B", "A\n", "7", None],
    "settings": [None, "a=1", [1], ["a=\x1b[31m"], ["a=\u0085"], [""]],
    "fuse": ["yes", 1, None],
    "program": ["0", "0" * 15 + "G", None],
    "fairness": ["", "strongest", None, ["strong"]],
    "property": ["", None, 7, "no\x07"],
    "thread": [None, 7, "a\n0"],
    "initial": [-1, "0", None, 1 << 40, 0.0],
    "threads": [None, [1], "ab", ["a/0"]],
    "moves": [None, 5, [0], [0, -1], [0, 2], [0, "1"], [0, True], [0, 1, 0]],
    "choices": [None, [0], [0, -1], [0, 1 << 31], [0, None]],
    "loop": [-1, 3, "0", True],
}  # fmt: skip


@pytest.mark.parametrize(
    ("part", "value"), [(k, v) for k, values in WRONG_PARTS.items() for v in values]
)
def test_a_wrong_part_is_refused(part: str, value: object) -> None:
    with pytest.raises(UsageError, match="not a complete replay token"):
        read_token(packed({**GOOD, part: value}))


@pytest.mark.parametrize("part", GOOD)
def test_a_missing_part_is_refused(part: str) -> None:
    with pytest.raises(UsageError, match="not a complete replay token"):
        # JSON has no difference between a missing loop and none.
        read_token(packed({k: v for k, v in GOOD.items() if k != part} | {"moves": None}))
    if part != "loop":
        with pytest.raises(UsageError, match="not a complete replay token"):
            read_token(packed({k: v for k, v in GOOD.items() if k != part}))


def squeezed(text: bytes) -> str:
    return "q1-" + base64.urlsafe_b64encode(zlib.compress(text, 9)).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "", "q1-", "hello", "q2-abc", "q1-!!!!", "q1-äöü", "q1-AAAA", packed(GOOD)[3:], packed([]),
        packed("text"), packed(None), packed({}), packed(7), squeezed(b"[" * 100_000), squeezed(b"\xff\xfe"),
        squeezed(b" " * (1 << 28)), squeezed(b'{"version":' + b"9" * 100_000 + b"}"), "q1-" + "A" * (9 << 20),
        squeezed(json.dumps({**GOOD, "moves": [0] * 1_100_000}).encode()),
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a complete replay token"):
        read_token(text)


def test_a_cut_token_is_refused() -> None:
    good = packed(GOOD)
    for length in range(len(good)):
        with pytest.raises(UsageError, match="not a complete replay token"):
            read_token(good[:length])


def test_a_token_of_an_older_version_is_refused() -> None:
    old = {
        "target": "idea.py", "settings": [], "fuse": True, "digest": "0" * 16,
        "finding": {
            "kind": "data race", "property": "no_data_race", "message": "forged", "path": [0, 0],
            "loop_start": None, "thread": -1,
        },
    }  # fmt: skip
    with pytest.raises(UsageError, match="older version"):
        read_token(packed(old))


def test_what_has_no_path_has_no_token() -> None:
    program = compile_scenario(Circle())
    assert (
        make_token(ORIGIN, program, Finding(FindingKind.VACUOUS, "seen", "never"), "strong") is None
    )


def test_a_token_that_would_be_refused_is_not_made() -> None:
    program = compile_scenario(Circle())
    finding = next(findings(check_reference(program, Options(True))))
    for origin in (
        replace(ORIGIN, file="/home/two\nlines.py"),
        replace(ORIGIN, settings=("label=\x1b[31m",)),
    ):
        assert make_token(origin, program, finding, "strong") is None


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_token("q1-" + text)


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_token_with_a_wrong_letter_is_refused_or_the_same(place: int, letter: int) -> None:
    good = packed(GOOD)
    place %= len(good)
    bad = good[:place] + chr(letter) + good[place + 1 :]
    try:
        token = read_token(bad)
    except UsageError:
        return
    assert token == read_token(good)
