# SPDX-License-Identifier: Apache-2.0
"""``quiesce replay``: which file it executes and when, what it says after an edit, and its exit codes."""

from __future__ import annotations

import base64
import json
import os
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, ROOT

from quiesce.cli import main

Ran = tuple[int, str, str]

SOURCE = """\
from limits import LIMIT
from quiesce.primitives import Mutex
from quiesce.protocol import WRITE_ONCE, Bool, Int, Scenario, always, eventually, thread, wait_until


class Crossed(Scenario):
    a = Mutex()
    b = Mutex()
    n = Int(0)

    @thread()
    def first(self) -> None:
        with self.a:
            with self.b:
                self.n += 1

    @thread()
    def second(self) -> None:
        with self.b:
            with self.a:
                self.n += 1

    @always
    def small(self) -> bool:
        return self.n <= LIMIT


class Counts(Crossed):
    @thread()
    def second(self) -> None:
        with self.a:
            self.n += 1


class Starves(Scenario):
    busy = Bool(marked=True)

    @thread()
    def updater(self) -> None:
        wait_until(lambda: not self.busy)

    @thread()
    def reader(self) -> None:
        while True:
            self.busy = True
            self.busy = False

    @eventually()
    def idle(self) -> bool:
        return not self.busy
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project" / "protocols"
    folder.mkdir(parents=True)
    (folder / "idea.py").write_text(SOURCE, encoding="utf-8")
    (folder / "limits.py").write_text("LIMIT = 2\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def quiesce(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Return a function that runs a command line; modules beside a protocol are imported again each time."""

    def run(*argv: str) -> Ran:
        import sys

        sys.modules.pop("limits", None)
        capsys.readouterr()
        code = main(argv)
        out, err = capsys.readouterr()
        assert "Traceback" not in err + out
        return code, out, err

    return run


def token_of(quiesce: Callable[..., Ran], *target: str) -> str:
    _, out, _ = quiesce("check", *target, "--json")
    token = json.loads(out)["replay"]
    assert isinstance(token, str)
    return token


def unpacked(token: str) -> dict[str, Any]:
    packed = base64.urlsafe_b64decode(token[3:] + "=" * (-len(token[3:]) % 4))
    data = json.loads(zlib.decompress(packed))
    assert isinstance(data, dict)
    return data


def packed(data: dict[str, Any]) -> str:
    text = zlib.compress(json.dumps(data).encode())
    return "q1-" + base64.urlsafe_b64encode(text).decode().rstrip("=")


# --- From anywhere ------------------------------------------------------------------------------------


def test_the_file_is_named_before_it_is_executed(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    code, out, err = quiesce("replay", token)
    assert code == 1
    assert err == "quiesce: executing idea.py\n"
    assert out.startswith("VIOLATION  idea.py:Crossed\n")
    assert "the same finding, proved again: `no_deadlock` fails after 2 steps" in out
    assert "deadlock: " in out and "first/0 waits for" in out
    noisy = SOURCE + "print('executed')\n"
    (folder / "idea.py").write_text(noisy, encoding="utf-8")
    _, out, err = quiesce("replay", token)
    assert re.fullmatch("quiesce: executing idea.py, which has changed .*\nexecuted\n", err)


@pytest.mark.parametrize("where", ["here", "below", "above", "elsewhere"])
@pytest.mark.parametrize("given", ["relative", "absolute", "up and down"])
def test_it_works_from_another_directory(
    folder: Path,
    quiesce: Callable[..., Ran],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    where: str,
    given: str,
) -> None:
    (folder / "deeper").mkdir()
    (tmp_path / "elsewhere").mkdir()
    target = {
        "relative": "idea.py", "absolute": f"{folder}/idea.py", "up and down": "../protocols/idea.py",
    }[given]  # fmt: skip
    token = token_of(quiesce, f"{target}:Crossed")
    places = {"below": folder / "deeper", "above": tmp_path, "elsewhere": tmp_path / "elsewhere"}
    monkeypatch.chdir(places.get(where, folder))
    code, out, err = quiesce("replay", token)
    assert (code, "proved again" in out) == (1, True)
    short = where == "here" and given == "relative"
    assert err == f"quiesce: executing {'' if short else f'{folder}/'}idea.py\n"


def test_a_copy_is_found_from_where_it_is(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On another machine the absolute path is not there; the end of it is, from here upward."""
    os.chdir(folder.parent.parent)
    token = token_of(quiesce, "project/protocols/idea.py:Crossed")
    other = tmp_path / "other" / "checkout"
    (other / "docs").mkdir(parents=True)
    folder.rename(other / "protocols")
    for place in (other / "protocols", other, other / "docs"):
        monkeypatch.chdir(place)
        code, out, err = quiesce("replay", token)
        assert (code, "proved again" in out) == (1, True)
        assert err == f"quiesce: executing {other}/protocols/idea.py\n"
    monkeypatch.chdir(tmp_path)
    code, out, err = quiesce("replay", token)
    assert (code, out) == (2, "")
    assert "which is not there" in err and "--file FILE" in err
    code, out, err = quiesce("replay", "--file", "other/checkout/protocols/idea.py", token)
    assert (code, "proved again" in out) == (1, True)


def test_a_token_holds_no_user_name(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    token = token_of(quiesce, "idea.py:Crossed")
    assert unpacked(token)["file"] == "~/project/protocols/idea.py"
    monkeypatch.chdir("/")
    assert quiesce("replay", token)[0] == 1


def test_the_token_can_come_from_standard_input(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    token = token_of(quiesce, "idea.py:Crossed")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"\n{token}\n"))
    assert quiesce("replay", "-")[0] == 1


def test_json(folder: Path, quiesce: Callable[..., Ran]) -> None:
    _, out, _ = quiesce("check", "idea.py:Crossed", "--json")
    found = json.loads(out)
    code, out, err = quiesce("replay", found["replay"], "--json")
    data = json.loads(out)
    assert (code, err) == (1, "quiesce: executing idea.py\n")
    assert data["counterexample"] == found["counterexample"]
    del data["counterexample"]
    assert data == {
        "schema": 1, "scenario": "Crossed", "settings": [], "file": "idea.py", "changed": False,
        "property": "no_deadlock", "verdict": "violation", "incomplete_because": None,
        "no_longer_possible": None, "fairness": "strong",
    }  # fmt: skip


def test_what_the_examples_show_is_repeated(
    quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same counterexample, word for word, from another directory."""
    monkeypatch.chdir(DATA)
    files = [
        *ROOT.glob("examples/*.py"),
        *DATA.glob("inputs/*.py"),
        *DATA.glob("inputs/*/*.py"),
        *DATA.glob("protocols/*.py"),
    ]
    repeated = 0
    for file in sorted(files):
        text = file.read_text(encoding="utf-8")
        if "(Scenario)" not in text:
            continue
        code, out, _ = quiesce("check", str(file), "--json", "--max-states", "20000")
        if code == 1:
            found = json.loads(out)
            code, out, _ = quiesce("replay", found["replay"], "--json")
            assert (code, json.loads(out)["counterexample"]) == (1, found["counterexample"]), file
            repeated += 1
    assert repeated > 10


# --- After an edit ------------------------------------------------------------------------------------


def edited(folder: Path, before: str, after: str) -> None:
    text = (folder / "idea.py").read_text(encoding="utf-8")
    assert before in text
    (folder / "idea.py").write_text(text.replace(before, after), encoding="utf-8")


def test_an_edit_that_changes_nothing(folder: Path, quiesce: Callable[..., Ran]) -> None:
    for target in ("Crossed", "Starves"):
        token = token_of(quiesce, f"idea.py:{target}", "--all")
        edited(folder, "@thread()\n    def first", "# A remark.\n    @thread()\n    def first")
        code, out, err = quiesce("replay", token)
        assert code == 1
        assert "executing idea.py, which has changed" in err
        assert "idea.py has changed since this counterexample was found" in out
        assert "the same finding" in out
        assert json.loads(quiesce("replay", token, "--json")[1])["changed"] is True


def test_an_edit_of_what_is_imported(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    (folder / "limits.py").write_text("LIMIT = 30\n", encoding="utf-8")
    for path in folder.glob("__pycache__/limits*"):
        path.unlink()
    code, out, err = quiesce("replay", token)
    assert (code, err) == (1, "quiesce: executing idea.py\n")
    assert "what idea.py imports, or quiesce, has changed" in out and "the same finding" in out


def test_an_edit_that_adds_threads(folder: Path, quiesce: Callable[..., Ran]) -> None:
    """A path names its threads: others before them change the numbers of the steps, and nothing else."""
    token = token_of(quiesce, "idea.py:Crossed")
    edited(folder, "    @thread()\n    def first", "    @thread(count=2)\n    def another(self) -> None:\n"
           "        with self.a:\n            pass\n\n    @thread()\n    def first")  # fmt: skip
    code, out, _ = quiesce("replay", token)
    assert (code, "the same finding" in out) == (1, True)


def test_an_edit_after_which_it_comes_later(folder: Path, quiesce: Callable[..., Ran]) -> None:
    """The two threads are stuck as before, but a third one can still finish."""
    token = token_of(quiesce, "idea.py:Crossed")
    edited(folder, "    @always\n", "    @thread()\n    def third(self) -> None:\n"
           "        WRITE_ONCE(self).n = 0\n\n    @always\n")  # fmt: skip
    code, out, _ = quiesce("replay", token)
    assert code == 1
    assert "the same finding, proved again: `no_deadlock` fails after 3 steps" in out


def test_a_fix_that_blocks_a_step(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    edited(
        folder, "with self.b:\n            with self.a:", "with self.a:\n            with self.b:"
    )
    code, out, _ = quiesce("replay", token)
    assert code == 3
    assert out.startswith("NOT PROVED AGAIN  idea.py:Crossed\n")
    assert "no longer possible: step 2 is blocked: second/0 waits in mutex_lock(" in out
    assert "quiesce check idea.py:Crossed" in out
    assert re.search(r"^ +mutex_lock\(", out, re.MULTILINE), "the steps up to there are drawn"
    data = json.loads(quiesce("replay", token, "--json")[1])
    assert (data["verdict"], data["counterexample"]) == ("incomplete", None)
    assert "step 2 is blocked" in data["incomplete_because"]


def test_a_fix_that_leaves_the_path_possible(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Starves", "--all")
    edited(folder, "while True:", "for _ in range(3):")
    code, out, _ = quiesce("replay", token)
    assert code == 3
    assert "the run is still possible, but" in out or "no longer possible" in out
    assert "fairness assumed" not in out


def test_a_fix_of_an_invariant(folder: Path, quiesce: Callable[..., Ran]) -> None:
    (folder / "limits.py").write_text("LIMIT = 0\n", encoding="utf-8")
    token = token_of(quiesce, "idea.py:Counts")
    assert unpacked(token)["property"] == "small"
    assert "`small` is false here" in quiesce("replay", token)[1]
    edited(folder, "<= LIMIT", "<= LIMIT + 9")
    code, out, _ = quiesce("replay", token)
    assert code == 3
    assert "the run is still possible, but `small` no longer fails in it" in out


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("class Crossed(", "class Gone(", "does not define Crossed"),
        ("def second(", "def renamed(", "no longer possible: there is no thread second/0"),
        ("def small(", "def little(", None),
        ("class Crossed(", "class Crossed((", "not valid Python"),
        ("self.n += 1", "self.n = 1 / 2", "error[division]"),
        ("from limits import LIMIT", "raise SystemExit(0)", "SystemExit"),
    ],
)
def test_edits_after_which_there_is_nothing_to_walk(
    folder: Path, quiesce: Callable[..., Ran], before: str, after: str, expected: str | None
) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    edited(folder, before, after)
    code, out, err = quiesce("replay", token)
    if expected is None:
        assert (code, "the same finding" in out) == (1, True)
    else:
        assert expected in out + err
        assert (code, "another run that begins in the same way" in out) == (
            (1, True) if out else (2, False)
        )


def test_a_property_that_has_gone(folder: Path, quiesce: Callable[..., Ran]) -> None:
    (folder / "limits.py").write_text("LIMIT = 0\n", encoding="utf-8")
    token = token_of(quiesce, "idea.py:Counts")
    edited(folder, "def small(", "def little(")
    code, out, _ = quiesce("replay", token)
    assert (code, "has no property `small`" in out) == (3, True)


# --- Claims -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        {"property": "no_data_race"}, {"property": "small"}, {"property": "no_starvation", "loop": 0},
        {"property": "assertions"}, {"property": "nothing"}, {"moves": [0], "choices": [0]},
        {"moves": [0, 0, 0], "choices": [0, 0, 0]}, {"choices": [0, 7]}, {"initial": 9},
        {"threads": ["first/0", "third/0"]},
    ],
    ids=str,
)  # fmt: skip
def test_a_false_claim_is_refused(
    folder: Path, quiesce: Callable[..., Ran], claim: dict[str, Any]
) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    code, out, err = quiesce("replay", packed({**unpacked(token), **claim}))
    assert (code, out) == (2, "")
    assert "claims what is not so" in err or "initial state" in err


def test_what_a_token_says_beside_is_not_printed(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    extra = {"kind": "FORGED", "message": "FORGED", "finding": {"kind": "FORGED"}}
    forged = packed({**unpacked(token), **extra})
    assert quiesce("replay", forged) == quiesce("replay", token)
    assert quiesce("replay", forged, "--json") == quiesce("replay", token, "--json")


def test_a_forged_token_of_the_old_format_is_refused(quiesce: Callable[..., Ran]) -> None:
    token = (DATA / "inputs" / "trust" / "forged_token.txt").read_text(encoding="utf-8")
    code, out, err = quiesce("replay", token)
    assert (code, out) == (2, "")
    assert "forged" not in err


def test_what_cannot_be_decided_is_exit_3(folder: Path, quiesce: Callable[..., Ran]) -> None:
    edited(
        folder,
        "wait_until(lambda: not self.busy)",
        "wait_until(lambda: self.busy and not self.busy)",
    )
    token = token_of(quiesce, "idea.py:Starves")
    assert unpacked(token)["property"] == "no_stuck_thread"
    assert quiesce("replay", token)[0] == 1
    code, out, _ = quiesce("replay", token, "--max-states", "1")
    assert code == 3
    assert "--max-states N explores more" in out and "the bound of 1 states" in out


def test_settings_of_a_token(folder: Path, quiesce: Callable[..., Ran]) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    for setting in ("turns=1", "n", "n=" + "9" * 4000):
        code, out, _ = quiesce("replay", packed({**unpacked(token), "settings": [setting]}))
        assert (code, out) == (2, "")


def test_a_token_of_the_kvm_system(quiesce: Callable[..., Ran]) -> None:
    _, out, _ = quiesce("kvm", "check", "--design", "rwsem", "--first", "--json")
    token = json.loads(out)["replay"]
    code, out, err = quiesce("replay", token)
    assert (code, err) == (1, "")
    assert out.startswith("VIOLATION  kvm, design=rwsem\n") and "down_write" in out
    assert json.loads(quiesce("replay", token, "--json")[1])["file"] is None
    assert quiesce("replay", token, "--file", "idea.py")[0] == 2
    data = unpacked(token)
    code, out, _ = quiesce("replay", packed({**data, "program": "0" * 16}))
    assert (code, "quiesce has changed since" in out) == (1, True)
    for settings in ([], ["design=nosuch"], ["design=phased"]):
        code, out, _ = quiesce("replay", packed({**data, "settings": settings}))
        assert code in (2, 3)


# --- What is not executed -----------------------------------------------------------------------------

HARMLESS = "import pathlib\n\npathlib.Path('executed').touch()\n"


def claimed(path: Path, **changes: object) -> str:
    """Return a token of *path* by somebody who knows its text."""
    import hashlib

    return packed({
        "version": 2, "file": str(path), "given": 0, "text": hashlib.sha256(path.read_bytes()).hexdigest(),
        "scenario": "Crossed", "settings": [], "fuse": True, "program": "0" * 16, "fairness": "strong",
        "property": "no_deadlock", "thread": "", "initial": 0, "threads": [], "moves": [], "choices": [],
        "loop": None, **changes,
    })  # fmt: skip


def not_executed(quiesce: Callable[..., Ran], token: str, expected: str) -> None:
    code, out, err = quiesce("replay", token)
    assert (code, out) == (2, "")
    assert expected in err and "executing" not in err
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HARMLESS, "does not import quiesce"),
        (HARMLESS + "class Crossed:\n    pass\n", "does not import quiesce"),
        (HARMLESS + "import quiesce.protocol\n", "does not define Crossed"),
        (
            HARMLESS + "from .quiesce import Scenario\nclass Crossed(Scenario):\n    pass\n",
            "import quiesce",
        ),
    ],
)
def test_a_file_that_is_not_a_protocol_is_not_executed(
    folder: Path, quiesce: Callable[..., Ran], text: str, expected: str
) -> None:
    """Somebody else's program whose text is known, such as one of the system."""
    (folder / "tool.py").write_text(text, encoding="utf-8")
    not_executed(quiesce, claimed(folder / "tool.py"), expected)
    quiesce("replay", "--file", "tool.py", claimed(folder / "tool.py"))
    assert Path("executed").exists(), "who names the file has it executed, as with `check`"


def test_a_changed_file_elsewhere_is_not_executed(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    edited(
        folder,
        "class Crossed",
        "import pathlib\n\npathlib.Path('executed').touch()\n\n\nclass Crossed",
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    not_executed(quiesce, token, f"quiesce replay --file {folder}/idea.py TOKEN")
    code, out, err = quiesce("replay", "--file", f"{folder}/idea.py", token)
    assert (code, "the same finding" in out, "has changed" in err) == (1, True, True)
    assert Path("executed").exists()


def test_where_a_changed_file_is_executed(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here, below or above; but all files lie below the root directory, so that does not count."""
    token = token_of(quiesce, "idea.py:Crossed")
    edited(folder, "class Crossed", "# A remark.\n\n\nclass Crossed")
    (folder / "deeper").mkdir()
    for place, expected in (
        (folder, 1),
        (folder / "deeper", 1),
        (folder.parent, 1),
        (Path("/"), 2),
    ):
        monkeypatch.chdir(place)
        assert quiesce("replay", token)[0] == expected, place


def test_the_text_that_is_the_same_goes_first(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A changed copy stands where the token says; the one that it was made from lies here."""
    token = token_of(quiesce, "idea.py:Crossed")
    (folder / "deeper").mkdir()
    for name in ("idea.py", "limits.py"):
        (folder / "deeper" / name).write_bytes((folder / name).read_bytes())
    edited(folder, "class Crossed", "# A remark.\n\n\nclass Crossed")
    monkeypatch.chdir(folder / "deeper")
    code, out, _ = quiesce("replay", token)
    assert (code, "has changed" in out) == (1, False)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_others_can_write_is_not_executed(
    folder: Path, quiesce: Callable[..., Ran], what: str
) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    path = folder / "idea.py" if what == "file" else folder
    path.chmod(path.stat().st_mode | 0o002)
    not_executed(quiesce, token, "another user can write to")
    assert quiesce("replay", "--file", "idea.py", token)[0] == 1


def test_a_file_of_another_user_is_not_executed(
    folder: Path, quiesce: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = token_of(quiesce, "idea.py:Crossed")
    status = os.stat(folder / "idea.py")
    if status.st_uid == 0:
        os.chown(folder / "idea.py", 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: status.st_uid + 1)
    not_executed(quiesce, token, "another user can write to")


def test_a_link_in_a_directory_of_another_user(
    folder: Path, quiesce: Callable[..., Ran], tmp_path: Path
) -> None:
    """Beside the link lies a module of theirs, which the protocol would import."""
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "limits.py").write_text(HARMLESS + "LIMIT = 2\n", encoding="utf-8")
    (trap / "linked.py").symlink_to(folder / "idea.py")
    trap.chmod(0o777)
    not_executed(quiesce, claimed(trap / "linked.py"), "another user can write to")


@pytest.mark.parametrize("kind", ["fifo", "directory", "missing"])
def test_what_is_not_a_file_is_not_opened(
    folder: Path, quiesce: Callable[..., Ran], kind: str
) -> None:
    token = claimed(folder / "idea.py", file=f"{folder}/other.py")
    if kind == "fifo":
        os.mkfifo(folder / "other.py")
    elif kind == "directory":
        (folder / "other.py").mkdir()
    not_executed(quiesce, token, "which is not there")
    code, out, err = quiesce("replay", "--file", "other.py", token)
    assert (code, out, "there is no file other.py" in err) == (2, "", True)
