# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: a continued search is the same, a changed file is refused, an unwritable one is a warning."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from native_protocols import Everything, LockPair

from quiesce.cli import main
from quiesce.compiler.program import Program, compile_scenario
from quiesce.errors import UsageError
from quiesce.explorer.reference.checker import Options
from quiesce.explorer.reference.graph import Bounds, Progress
from quiesce.verdict import Verdict

pytest.importorskip("numba", reason="the native explorer needs numba")

from quiesce.explorer.native import checkpoint as native_checkpoint
from quiesce.explorer.native import checkpoint_header
from quiesce.explorer.native.check import check_native
from quiesce.explorer.native.checkpoint import Checkpoint
from quiesce.explorer.native.kernels.stored import words_at
from quiesce.explorer.native.options import NativeOptions
from quiesce.explorer.native.search import Search, SearchOptions


@pytest.fixture(scope="module")
def program() -> Program:
    return compile_scenario(Everything(loops=2))


def whole(program: Program, cores: int = 1) -> Search:
    search = Search(program, SearchOptions(cores=cores, keep_going=True))
    search.run()
    assert not search.incomplete
    return search


def continued(program: Program, path: Path, cores: int = 1, limit: int | None = None) -> Search:
    """Return a search that was continued from *path*, and has ended."""
    options = SearchOptions(Bounds(max_states=limit), cores, keep_going=True)
    search = Search(program, options)
    search.checkpoint = Checkpoint(str(path))
    search.run()
    return search


def interrupted(program: Program, path: Path) -> Search:
    """Return a search that was stopped by SIGINT at its first report."""

    def stop(_progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    search = Search(program, SearchOptions(progress=stop, keep_going=True))
    search.checkpoint = Checkpoint(str(path))
    search.run()
    assert search.incomplete == "interrupted"
    return search


# --- Continuing ---------------------------------------------------------------------------------------


def states_at(search: Search, depth: int) -> set[bytes]:
    return {
        words_at(search.workers[owner].states.array, place, search.compiled.shape).tobytes()
        for owner, lo, hi in search.level(depth)
        for place in range(lo, hi)
    }


@pytest.mark.parametrize("cores", [1, 2])
def test_a_continued_search_is_the_same(
    program: Program, cores: int, tmp_path: Path, shared_levels: None
) -> None:
    expected = whole(program, cores)
    parts, limit = 0, 5
    while True:
        search = continued(program, tmp_path / "search", cores, limit)
        parts += 1
        if not search.incomplete:
            break
        limit += 100
    assert parts > 2
    assert (search.states, search.transitions) == (expected.states, expected.transitions)
    assert search.depth == expected.depth
    for depth in range(search.depth + 1):
        assert states_at(search, depth) == states_at(expected, depth)


def test_ctrl_c_keeps_what_was_found(program: Program, tmp_path: Path) -> None:
    part = interrupted(program, tmp_path / "search")
    assert 0 < part.states < whole(program).states
    assert continued(program, tmp_path / "search").states == whole(program).states


def test_a_checkpoint_is_written_while_it_runs(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill -9 would leave: a complete file from before, which continues to the same end."""
    monkeypatch.setattr(native_checkpoint, "SAVE_EVERY", -1.0)
    path = tmp_path / "search"
    search = continued(program, path)
    assert os.listdir(tmp_path) == ["search"]
    again = continued(program, path)
    assert (again.states, again.transitions) == (search.states, search.transitions)


def test_a_violation_that_is_found_with_a_checkpoint_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What partial order reduction found is looked for again without: that search is another one."""
    monkeypatch.setattr(native_checkpoint, "SAVE_EVERY", -1.0)
    program = compile_scenario(Everything(loops=2))
    options = Options(keep_going=True)
    expected = check_native(program, options, NativeOptions())
    assert Search(program, SearchOptions()).use_partial_order()
    for _ in range(2):
        native = NativeOptions(checkpoint=str(tmp_path / "search"))
        found = check_native(program, options, native)
        assert found.verdict is expected.verdict is Verdict.VIOLATION
        assert found.finding == expected.finding


# --- What is refused ----------------------------------------------------------------------------------


def refused(program: Program, path: Path, match: str = ".") -> None:
    """Continuing from *path* is refused, and the file is as it was."""
    before = path.read_bytes()
    with pytest.raises(UsageError, match=match):
        continued(program, path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_something_else_is_refused(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "search"
    interrupted(program, path)
    refused(compile_scenario(LockPair()), path, "another program")
    refused(compile_scenario(Everything(loops=2), fuse=False), path, "another program")
    for options in (SearchOptions(keep_going=False), SearchOptions(cores=2, keep_going=True)):
        other = Search(program, options)
        other.checkpoint = Checkpoint(str(path))
        with pytest.raises(UsageError, match="other options"):
            other.run()


def test_a_checkpoint_of_another_version_is_refused(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "search"
    interrupted(program, path)
    monkeypatch.setattr(native_checkpoint, "_source_digest", lambda: "0" * 16)
    refused(program, path, "another version")


@pytest.fixture(scope="module")
def small() -> Program:
    return compile_scenario(LockPair(threads=4, crossed=True))


@pytest.fixture
def good(small: Program, tmp_path: Path, shared_levels: None) -> tuple[Path, bytes]:
    """Return a checkpoint in the middle of a level of a small search, and what is in it."""
    path = tmp_path / "search"
    search = continued(small, path, limit=9)
    assert search.incomplete and search.todo
    return path, path.read_bytes()


def header_of(data: bytes) -> tuple[int, int]:
    """Return where the header ends, and where the vectors begin."""
    end = data.index(b"\n") + 1
    return end, data.index(b"\n", end) + 1


def test_any_changed_byte_is_refused(small: Program, good: tuple[Path, bytes]) -> None:
    path, data = good
    _, end = header_of(data)
    body = len(data) - end
    places = [*range(end), *range(end, len(data), max(1, body // 200)), len(data) - 1]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        refused(small, path)


def test_a_file_of_another_length_is_refused(small: Program, good: tuple[Path, bytes]) -> None:
    path, data = good
    end, body = header_of(data)
    cuts = {
        0,
        1,
        30,
        40,
        end - 1,
        end,
        end + 1,
        body - 1,
        body,
        body + 1,
        len(data) - 8,
        len(data) - 1,
    }
    cuts |= set(range(0, len(data), max(1, len(data) // 50)))
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        refused(small, path)
    for more in (b"\0", data[body:], data):
        path.write_bytes(data + more)
        refused(small, path, "not as long")


def rewritten(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the checkpoint *data* with its header changed and the checksum of the header made right."""
    end, body = header_of(data)
    header = json.loads(data[:end])
    change(header)
    text = json.dumps(header).encode() + b"\n"
    return text + hashlib.sha256(text).hexdigest().encode() + b"\n" + data[body:]


def test_the_header_can_be_rewritten(small: Program, good: tuple[Path, bytes]) -> None:
    """The tests below would show nothing if every rewritten file were refused."""
    path, data = good
    path.write_bytes(rewritten(data, lambda header: None))
    assert continued(small, path).states == whole(small).states


def _swap_first_levels(header: dict[str, Any]) -> None:
    header["levels"][0], header["levels"][1] = header["levels"][1], header["levels"][0]


def _one_more_chunk(header: dict[str, Any], lo: int, hi: int) -> None:
    """Add a chunk, and count its states as not expanded."""
    header["todo"].append([0, lo, hi])
    header["workers"][0][1] -= hi - lo


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], object]] = {
    "count + 1": lambda h: h["workers"][0].__setitem__(0, h["workers"][0][0] + 1),
    "count - 1": lambda h: h["workers"][0].__setitem__(0, h["workers"][0][0] - 1),
    "count -1": lambda h: h["workers"][0].__setitem__(0, -1),
    "huge count": lambda h: h["workers"][0].__setitem__(0, 10**17),
    "count true": lambda h: h["workers"][0].__setitem__(0, True),
    "count 1.0": lambda h: h["workers"][0].__setitem__(0, 1.0),
    "expanded + 1": lambda h: h["workers"][0].__setitem__(1, h["workers"][0][1] + 1),
    "another worker": lambda h: h["workers"].append([0, 0]),
    "no worker": lambda h: h["workers"].clear(),
    "end of level + 1": lambda h: h["levels"][-1].__setitem__(0, h["levels"][-1][0] + 1),
    "end of level - 1": lambda h: h["levels"][-1].__setitem__(0, h["levels"][-1][0] - 1),
    "last level": lambda h: h["levels"].pop(),
    "one more level": lambda h: h["levels"].append([h["workers"][0][0]]),
    "empty level": lambda h: h["levels"].insert(0, [0]),
    "no first level": lambda h: h["levels"].pop(0),
    "only the first level": lambda h: h["levels"].__delitem__(slice(1, None)),
    "no levels": lambda h: h["levels"].clear(),
    "levels in the wrong order": _swap_first_levels,
    "level of two workers": lambda h: h["levels"][1].append(0),
    "nothing to do": lambda h: h["todo"].clear(),
    "chunks that overlap": lambda h: _one_more_chunk(h, h["todo"][0][1], h["todo"][0][1] + 1),
    "another chunk of an earlier level": lambda h: _one_more_chunk(h, 0, 1),
    "a chunk twice": lambda h: h["todo"].append(h["todo"][0]),
    "chunk of nobody": lambda h: h["todo"][0].__setitem__(0, 7),
    "chunk of -1": lambda h: h["todo"][0].__setitem__(0, -1),
    "chunk of an earlier level": lambda h: h["todo"][0].__setitem__(1, 0),
    "chunk past the level": lambda h: h["todo"][0].__setitem__(2, h["todo"][0][2] + 1),
    "empty chunk": lambda h: h["todo"].append([0, h["levels"][-2][0], h["levels"][-2][0]]),
    "chunk of two numbers": lambda h: h["todo"].append([0, 1]),
    "a checksum less": lambda h: h["checksums"].pop(),
    "a checksum more": lambda h: h["checksums"].append(0),
    "another checksum": lambda h: h["checksums"].__setitem__(0, h["checksums"][0] ^ 1),
    "no checksums": lambda h: h.pop("checksums"),
    "levels of words": lambda h: h.__setitem__("levels", "0123"),
    "no identity": lambda h: h.__setitem__("identity", {}),
    "identity of words": lambda h: h.__setitem__("identity", "quiesce"),
    "nothing": lambda h: h.clear(),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_header_that_contradicts_itself_is_refused(
    small: Program, good: tuple[Path, bytes], name: str
) -> None:
    path, data = good
    changed = rewritten(data, CONTRADICTIONS[name])
    assert changed != data
    path.write_bytes(changed)
    refused(small, path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_header_leads_outside_the_vectors(
    small: Program, good: tuple[Path, bytes], data: st.DataObject
) -> None:
    """A header with other numbers and the right checksum is refused, or what it says is searched."""
    path, content = good

    def change(header: dict[str, Any]) -> None:
        for _ in range(data.draw(st.integers(1, 3))):
            rows = header[data.draw(st.sampled_from(["levels", "todo", "workers"]))]
            if rows:
                row = rows[data.draw(st.integers(0, len(rows) - 1))]
                row[data.draw(st.integers(0, len(row) - 1))] = data.draw(st.integers(0, 40))

    path.write_bytes(rewritten(content, change))
    with contextlib.suppress(UsageError):
        assert continued(small, path).incomplete == ""


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"\0" * 4096, b'{"format": "quiesce checkpoint 2"}\n']
)
def test_what_is_not_a_checkpoint_is_refused(
    small: Program, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "search"
    path.write_bytes(content)
    refused(small, path, "not a checkpoint")


def test_a_header_without_an_end_is_refused(small: Program, tmp_path: Path) -> None:
    path = tmp_path / "search"
    beginning = checkpoint_header._BEGINNING + b'"levels": '
    nested = beginning + b"[" * 100_000 + b"\n"
    path.write_bytes(nested + hashlib.sha256(nested).hexdigest().encode() + b"\n")
    refused(small, path, "damaged")
    path.write_bytes(beginning * 10_000)
    refused(small, path, "damaged")


def test_a_checkpoint_that_does_not_fit_into_memory_is_refused(
    small: Program, good: tuple[Path, bytes]
) -> None:
    path, data = good
    search = Search(small, SearchOptions(Bounds(max_memory=1000), keep_going=True))
    search.checkpoint = Checkpoint(str(path))
    with pytest.raises(UsageError, match="1,000 bytes of memory"):
        search.run()
    assert path.read_bytes() == data


def test_a_checkpoint_of_another_user_is_refused(
    small: Program, good: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = os.stat(good[0]).st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    refused(small, good[0], "another user")


@pytest.mark.parametrize("kind", ["link", "dangling link", "directory", "fifo"])
def test_what_is_not_a_regular_file_is_not_opened(
    small: Program, tmp_path: Path, kind: str
) -> None:
    path, other = tmp_path / "search", tmp_path / "other"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(other)
    if kind == "link":
        continued(small, other, limit=8)
    before = os.lstat(path), other.read_bytes() if other.exists() else None
    with pytest.raises(UsageError, match="not a regular file"):
        continued(small, path)
    after = os.lstat(path), other.read_bytes() if other.exists() else None
    assert [before[0].st_mode, before[0].st_ino, before[1]] == [
        after[0].st_mode, after[0].st_ino, after[1],
    ]  # fmt: skip


# --- What cannot be written ---------------------------------------------------------------------------


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """Let every file of more than a few bytes fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("where", ["missing", "below a file", "system", "long name"])
def test_a_checkpoint_that_cannot_be_written_is_a_warning(
    small: Program, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_checkpoint, "SAVE_EVERY", -1.0)
    (tmp_path / "file").write_bytes(b"")
    path = {
        "missing": tmp_path / "missing" / "search",
        "below a file": tmp_path / "file" / "search",
        "system": Path("/proc/search"),
        "long name": tmp_path / ("x" * 300),
    }[where]
    told: list[str] = []
    expected = check_native(small, Options(keep_going=True), NativeOptions())
    options = Options(keep_going=True, warn=told.append)
    result = check_native(small, options, NativeOptions(checkpoint=str(path)))
    assert (result.verdict, result.states) == (expected.verdict, expected.states)
    assert result.complete
    assert len(told) == 1 and "cannot be written" in told[0]
    assert sum("cannot be written" in note for note in result.notes) == 1
    assert os.listdir(tmp_path) == ["file"]


def test_a_full_disk_keeps_the_checkpoint_before(
    small: Program, good: tuple[Path, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_checkpoint, "SAVE_EVERY", -1.0)
    path, data = good
    with no_room():
        search = continued(small, path)
    assert search.states == whole(small).states
    assert isinstance(search.checkpoint, Checkpoint)
    assert ["cannot be written" in w for w in search.checkpoint.warnings] == [True]
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == ["search"]


def test_nothing_that_others_prepared_is_opened(small: Program, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    for name in ("search.partial", ".search.partial", "search.tmp"):
        (tmp_path / name).symlink_to(victim)
    path = tmp_path / "search"
    continued(small, path)
    assert victim.read_bytes() == b"precious"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# --- The command line ---------------------------------------------------------------------------------

SOURCE = """\
from quiesce.protocol import Int, Scenario, atomic, thread

class Counted(Scenario):
    total = Int(0, high=40)

    @atomic
    def up(self) -> None:
        self.total += 1

    @thread(count=2)
    def run(self) -> None:
        for _ in range(20):
            self.up()
"""


def test_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counted.py").write_text(SOURCE, encoding="utf-8")
    check = ["check", "counted.py", "--explorer", "native", "--cores", "1", "--json", "-q"]
    assert main([*check, "--checkpoint", "no/such/dir"]) == 0
    out, err = capsys.readouterr()
    assert "the checkpoint no/such/dir cannot be written: No such file or directory" in err
    assert any("no/such/dir" in note for note in json.loads(out)["notes"])
    assert main([*check, "--checkpoint", "c", "--max-states", "30"]) == 3
    data = bytearray(Path("c").read_bytes())
    data[data.index(b'"workers": [[') + 13] ^= 1
    Path("c").write_bytes(data)
    capsys.readouterr()
    assert main([*check, "--checkpoint", "c"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "the checkpoint c is damaged" in err
    assert Path("c").read_bytes() == data
