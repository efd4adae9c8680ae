# SPDX-License-Identifier: Apache-2.0
"""All benchmarks in one run: ``python -m benchmarks`` writes ``results.json`` and ``docs/performance.md``."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from benchmarks import native_report

HERE = Path(__file__).parent
OTHERS = ["lockdep_events", "lockdep_watch", "explain_speed", "compile_time"]


def main() -> None:
    """Run everything and write the results."""
    results: dict[str, Any] = {}
    for name in ["native_peers", *OTHERS]:
        print(f"{name} ...", flush=True)
        results[name] = importlib.import_module(f"benchmarks.{name}").main()
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    page = native_report.page(results["native_peers"])
    (HERE.parent / "docs" / "performance.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
