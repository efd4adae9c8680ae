# SPDX-License-Identifier: Apache-2.0
"""Plain pointers for kernels, and the processor's prefetch instruction.

numba counts references to an array, with an atomic instruction, whenever a function is entered that takes
it; in a kernel that calls another for each step, that is most of the time. A pointer is indexed in
the same way, ``p[i]``, and is counted by nobody: whoever called the kernel keeps the array alive.
"""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.jit import quiet_numba

with quiet_numba():
    from llvmlite import ir
    from numba.core import cgutils as _cgutils
    from numba.core import types as _types
    from numba.extending import intrinsic

cgutils: Any = _cgutils
types: Any = _types


def _pointer(_context: Any, array: Any) -> Any:
    """Return a pointer to the first element of *array*."""
    signature = types.CPointer(array.dtype)(array)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        return context.make_array(kind)(context, builder, arguments[0]).data

    return signature, generate


def _prefetch(_context: Any, place: Any, _index: Any) -> Any:
    """Prefetch the cache line of ``place[index]``."""
    signature = types.void(place, types.int64)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.gep(arguments[0], [arguments[1]])
        byte = ir.PointerType(ir.IntType(8))
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        builder.call(function, [builder.bitcast(address, byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return signature, generate


# Their Python signatures are for the compiler; in a kernel they take one argument less.
pointer: Any = intrinsic(_pointer)
prefetch: Any = intrinsic(_prefetch)
