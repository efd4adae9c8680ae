# SPDX-License-Identifier: Apache-2.0
"""One native search in a process of its own, so that its peak memory is its own: prints one JSON object."""

from __future__ import annotations

import argparse
import json
import resource
import time

from benchmarks.models.count import CountProtocol, CountWithVcpus
from examples.textbook.lamport import Lamport
from examples.textbook.peterson import Peterson
from quiesce.compiler.program import Program, compile_scenario
from quiesce.explorer.native.search import Search, SearchOptions
from quiesce.explorer.native.symmetry import find_symmetry
from quiesce.explorer.reference.graph import Bounds

MODELS = {
    "count": CountProtocol,
    "count-vcpu": CountWithVcpus,
    "peterson": Peterson,
    "lamport": Lamport,
}


def main() -> None:
    """Search the model that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("size", type=int)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--symmetry", action="store_true")
    parser.add_argument("--max-memory", type=int, default=8 << 30)
    args = parser.parse_args()
    # A small search first, so that loading the compiled kernels is not counted.
    _search(_compile(args.model, 2), args.cores, args.symmetry, args.max_memory)
    program = _compile(args.model, args.size)
    wall, cpu = time.perf_counter(), time.process_time()
    search = _search(program, args.cores, args.symmetry, args.max_memory)
    print(
        json.dumps(
            {
                "states": search.states,
                "transitions": search.transitions,
                "depth": search.depth,
                "incomplete": search.incomplete,
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": time.process_time() - cpu,
                "bytes_per_state": search.bytes / search.states,
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


def _compile(model: str, size: int) -> Program:
    return compile_scenario(MODELS[model](size))


def _search(program: Program, cores: int, symmetry: bool, memory: int) -> Search:
    bounds = Bounds(max_memory=memory)
    search = Search(program, SearchOptions(bounds, cores, keep_going=True))
    if symmetry:
        search.use_symmetry(find_symmetry(search.compiled).symmetry)
    search.run()
    return search


if __name__ == "__main__":
    main()
