# SPDX-License-Identifier: Apache-2.0
"""Plain pointers for kernels, and the few instructions that Python has no words for.

numba counts references to an array, with an atomic instruction, whenever a function is entered that takes
it; in a kernel that calls another for each step, that is most of the time. A pointer is indexed in
the same way, ``p[i]``, and has no reference count: the caller of the kernel keeps the array alive.
"""

from __future__ import annotations

from typing import Any

from quiesce.explorer.native.kernels.jit import quiet_numba

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


def _bytes_at(_context: Any, _address: Any) -> Any:
    """Return a pointer to the bytes at *address*, a number that Python had from ``array.ctypes``."""
    signature = types.CPointer(types.uint8)(types.int64)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], ir.PointerType(ir.IntType(8)))

    return signature, generate


def _load_word(_context: Any, place: Any, _at: Any) -> Any:
    """Return the 64-bit word that begins at the byte ``place[at]``, wherever that is."""
    signature = types.int64(place, types.int64)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        address = builder.gep(arguments[0], [arguments[1]])
        found = builder.load(builder.bitcast(address, ir.PointerType(word)))
        found.align = 1
        return found

    return signature, generate


def _store_word(_context: Any, place: Any, _at: Any, _value: Any) -> Any:
    """Write a 64-bit word to the eight bytes from ``place[at]`` on."""
    signature = types.void(place, types.int64, types.int64)

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.gep(arguments[0], [arguments[1]])
        pointer_ = builder.bitcast(address, ir.PointerType(ir.IntType(64)))
        builder.store(arguments[2], pointer_).align = 1
        return context.get_dummy_value()

    return signature, generate


def _compare_and_swap(_context: Any, place: Any, _index: Any, _old: Any, _new: Any) -> Any:
    """Write *new* to ``place[index]`` if it is *old*, at once for all cores; return what was there.

    A core that sees *new* also sees everything written before.
    """
    signature = place.dtype(place, types.int64, place.dtype, place.dtype)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.gep(arguments[0], [arguments[1]])
        done = builder.cmpxchg(address, arguments[2], arguments[3], "acq_rel", "acquire")
        return builder.extract_value(done, 0)

    return signature, generate


def _lowest_bit(_context: Any, _bits: Any) -> Any:
    """Return the place of the lowest bit that is set in *bits*, which is not 0."""
    signature = types.int64(types.int64)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return signature, generate


def _count_bits(_context: Any, _bits: Any) -> Any:
    """Return how many bits of *bits* are set."""
    signature = types.int64(types.uint64)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return signature, generate


def _compare_eight(_context: Any, place: Any, _index: Any, _value: Any, _mask: Any) -> Any:
    """Return, as bits, which of the eight words from ``place[index]`` on agree with *value* in *mask*."""
    signature = types.int64(place, types.int64, types.uint64, types.uint64)

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word, eight = ir.IntType(64), ir.VectorType(ir.IntType(64), 8)

        def everywhere(value: Any) -> Any:
            one = builder.insert_element(ir.Constant(eight, ir.Undefined), value, ir.IntType(32)(0))
            lanes = ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8)
            return builder.shuffle_vector(one, one, lanes)

        address = builder.gep(arguments[0], [arguments[1]])
        found = builder.load(builder.bitcast(address, ir.PointerType(eight)))
        found.align = 8
        differs = builder.and_(
            builder.xor(found, everywhere(arguments[2])), everywhere(arguments[3])
        )
        same = builder.icmp_unsigned("==", differs, ir.Constant(eight, [0] * 8))
        return builder.zext(builder.bitcast(same, ir.IntType(8)), word)

    return signature, generate


# Their Python signatures are for the compiler; in a kernel they take one argument less.
pointer: Any = intrinsic(_pointer)
prefetch: Any = intrinsic(_prefetch)
bytes_at: Any = intrinsic(_bytes_at)
load_word: Any = intrinsic(_load_word)
store_word: Any = intrinsic(_store_word)
compare_and_swap: Any = intrinsic(_compare_and_swap)
lowest_bit: Any = intrinsic(_lowest_bit)
count_bits: Any = intrinsic(_count_bits)
compare_eight: Any = intrinsic(_compare_eight)
