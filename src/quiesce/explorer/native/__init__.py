# SPDX-License-Identifier: Apache-2.0
"""The native explorer: packed states, one compiled interpreter, every core.

Import nothing from here but through :mod:`quiesce.explorer.native.check`: the modules with kernels need
numba, and say so with :class:`~quiesce.explorer.native.kernels.jit.NativeUnavailable`.
"""
