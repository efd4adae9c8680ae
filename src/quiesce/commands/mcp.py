# SPDX-License-Identifier: Apache-2.0
"""``quiesce mcp``: serve the tools on standard input and output."""

from __future__ import annotations

import argparse
import contextlib
import sys

from quiesce.errors import UsageError


def mcp_command(_args: argparse.Namespace) -> int:
    """Serve until standard input ends; return the exit code.

    :raises UsageError: the SDK is not installed.
    """
    try:
        from quiesce.mcp.server import make_server
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "mcp":
            raise
        raise UsageError(
            "the Model Context Protocol's SDK is not installed", "pip install 'quiesce[mcp]'"
        ) from None
    # The protocol is spoken in bytes, past the stream that looks after what commands print.
    with contextlib.redirect_stdout(sys.__stdout__):
        make_server().run("stdio")
    return 0
