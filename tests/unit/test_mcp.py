# SPDX-License-Identifier: Apache-2.0
"""The server of tools, asked by the SDK's own client; each answer is of a process with limits."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import sys
from typing import Any

import pytest
from conftest import DATA, ROOT

from quiesce.cli import main
from quiesce.mcp.sandbox import run

RWSEM = (ROOT / "examples" / "rwsem_gate.py").read_text(encoding="utf-8")

needs_sdk = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="the package mcp is not installed"
)


def ask(tool: str, **arguments: Any) -> dict[str, Any]:
    """Start `quiesce mcp` as a client does, call *tool*, return what it answers."""
    from mcp import Client, StdioServerParameters

    environment = dict(os.environ, PYTHONPATH=str(ROOT / "src"))
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "quiesce", "mcp"], env=environment
    )

    async def call() -> dict[str, Any]:
        async with Client(server) as client:
            tools = {tool.name for tool in (await client.list_tools()).tools}
            assert tools == {"explain_log", "check_protocol", "compare_fixes"}
            answer = await client.call_tool(tool, arguments)
            assert not answer.is_error, answer
            assert answer.structured_content is not None
            return dict(answer.structured_content)

    return asyncio.run(call())


@needs_sdk
def test_explain_a_log() -> None:
    log = (DATA / "splats" / "hung_memslot_update.txt").read_text(encoding="utf-8")
    answer = ask("explain_log", log=log)
    assert answer["text"].startswith("Hung: starvation, not deadlock")


@needs_sdk
def test_check_a_source() -> None:
    answer = ask("check_protocol", source=RWSEM)
    assert (answer["exit_code"], answer["meaning"]) == (1, "a violation was found")
    assert "deadlock: no thread can run" in answer["text"]


@needs_sdk
def test_compare_fixes() -> None:
    answer = ask("compare_fixes", fixes={"fair": RWSEM, "wrong": "x ="})
    assert answer["which hold"] == []
    codes = {name: version["exit_code"] for name, version in answer["versions"].items()}
    assert codes == {"fair": 1, "wrong": 2}


def test_without_the_sdk_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [
        n for n in sys.modules if n == "mcp" or n.startswith(("mcp.", "quiesce.mcp.server"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["mcp"]) == 2
    assert "pip install 'quiesce[mcp]'" in capsys.readouterr().err


ENDS = """
import os
os._exit(0)
"""
LOOPS = """
while True:
    pass
"""
EATS = """
x = bytearray(8 << 30)
"""
WRITES = """
with open("large", "wb") as file:
    file.write(bytes(64 << 20))
"""


def test_a_source_that_ends_the_process_is_no_verdict() -> None:
    assert run(["check", "protocol.py"], {"protocol.py": ENDS}, 20).exit_code is None


def test_a_source_that_never_ends_is_killed() -> None:
    answer = run(["check", "protocol.py", "--max-seconds", "1"], {"protocol.py": LOOPS}, 1)
    assert answer.exit_code in (None, 3)


@pytest.mark.parametrize("source", [EATS, WRITES], ids=["memory", "file"])
def test_what_is_too_much_is_refused(source: str) -> None:
    answer = run(["check", "protocol.py"], {"protocol.py": source}, 20)
    assert answer.exit_code in (None, 2)
    assert "Traceback" not in answer.text


def test_the_directory_is_gone_afterwards() -> None:
    source = "import os\nraise RuntimeError(os.getcwd())"
    answer = run(["check", "protocol.py"], {"protocol.py": source}, 20)
    (folder,) = [word for word in answer.text.split() if "/quiesce-" in word]
    assert not os.path.exists(folder)
