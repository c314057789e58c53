"""Multiplies small matrices inside compiled loops, in tiles held in a CPU's vector registers.

Written as LLVM code because compilers do not find these tiles, and calling a library takes longer
than such a product. A vector has `LANES` floats. Tiles are of at most 6 rows by 2 vectors, or 3 by
3 sums, so that the sums and the operands of a step fit into 16 registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from workers.numba_jit import jit_fused

Float32s = npt.NDArray[np.float32]

LANES = 16 if binding.get_host_cpu_features().get("avx512f") else 8
COLUMNS = 2 * LANES
"""The number of columns of a matrix must be a multiple of this."""
_ROWS = 6
_SUM_ROWS, _SUM_COLUMNS = 3, 3
_FLOAT, _INDEX = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_UNALIGNED = 4  # bytes

# For `put_product`. Of NumPy's type, as Numba compiles a function anew for each literal.
OVERWRITE, ADD = np.bool_(True), np.bool_(False)
LOWER, WHOLE = np.bool_(True), np.bool_(False)


class _Matrix:
    """A C-contiguous 2-D array of float32 in code that is being generated."""

    def __init__(self, context: Any, builder: ir.IRBuilder, kind: Any, value: Any) -> None:
        array = context.make_array(kind)(context, builder, value)
        self._builder = builder
        self._data = array.data
        self.rows, self.columns = cgutils.unpack_tuple(builder, array.shape, 2)

    def pointer(self, row: Any, column: Any) -> Any:
        builder = self._builder
        return builder.gep(self._data, [builder.add(builder.mul(row, self.columns), column)])

    def vector(self, row: Any, column: Any, more: int = 0) -> Any:
        builder = self._builder
        pointer = self.pointer(row, builder.add(column, _INDEX(more * LANES)))
        return builder.bitcast(pointer, _VECTOR.as_pointer())


def _allocate_zeros(builder: ir.IRBuilder, count: int) -> list[Any]:
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    vectors = [cgutils.alloca_once(builder, _VECTOR) for _ in range(count)]
    for vector in vectors:
        builder.store(zero, vector)
    return vectors


def _add_product(builder: ir.IRBuilder, total: Any, a: Any, b: Any) -> None:
    # One operation where the CPU has it.
    product = builder.fmul(a, b, flags=["contract"])
    builder.store(builder.fadd(product, builder.load(total), flags=["contract"]), total)


def _broadcast(builder: ir.IRBuilder, number: Any) -> Any:
    vector = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), number, ir.IntType(32)(0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(vector, vector, order)


def _make_product_tile(rows: int) -> Callable[..., None]:
    """Make the code for rows i to i + rows and columns j to j + COLUMNS of `put_product`."""

    @intrinsic
    def tile(
        _context: Any,
        out: Any,
        i: Any,
        j: Any,
        a: Any,
        depth: Any,
        x: Any,
        scale: Any,
        overwrite: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            target, left, right, scales = (
                _Matrix(context, builder, signature.args[n], args[n]) for n in (0, 3, 5, 6)
            )
            column = args[2]
            at_rows = [builder.add(args[1], _INDEX(n)) for n in range(rows)]
            totals = _allocate_zeros(builder, 2 * rows)
            with cgutils.for_range(builder, args[4]) as loop:
                vectors = [
                    builder.load(right.vector(loop.index, column, more), align=_UNALIGNED)
                    for more in range(2)
                ]
                for n, row in enumerate(at_rows):
                    factor = _broadcast(builder, builder.load(left.pointer(row, loop.index)))
                    for more, vector in enumerate(vectors):
                        _add_product(builder, totals[2 * n + more], factor, vector)
            pointers = [target.vector(row, column, more) for row in at_rows for more in range(2)]
            with cgutils.if_unlikely(builder, builder.not_(args[7])):
                for pointer, total in zip(pointers, totals, strict=True):
                    before = builder.load(pointer, align=_UNALIGNED)
                    builder.store(builder.fadd(before, builder.load(total)), total)
            with cgutils.if_unlikely(builder, builder.icmp_signed(">", scales.rows, _INDEX(0))):
                for more in range(2):
                    factor = builder.load(scales.vector(_INDEX(0), column, more), align=_UNALIGNED)
                    for total in totals[more::2]:
                        builder.store(builder.fmul(factor, builder.load(total)), total)
            for pointer, total in zip(pointers, totals, strict=True):
                builder.store(builder.load(total), pointer, align=_UNALIGNED)
            return context.get_dummy_value()

        return types.none(out, types.intp, types.intp, a, types.intp, x, scale, types.boolean), code

    return tile


def _make_sums_tile(rows: int, sums: int) -> Callable[..., None]:
    """Make the code for out[i : i + rows, j : j + sums] += a[i : i + rows] @ x[j : j + sums].T."""

    @intrinsic
    def tile(_context: Any, out: Any, i: Any, j: Any, a: Any, x: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = signature.args
            target, left, right = (_Matrix(context, builder, kinds[n], args[n]) for n in (0, 3, 4))
            at_rows = [builder.add(args[1], _INDEX(n)) for n in range(rows)]
            at_columns = [builder.add(args[2], _INDEX(n)) for n in range(sums)]
            totals = _allocate_zeros(builder, rows * sums)
            with cgutils.for_range_slice(builder, _INDEX(0), left.columns, _INDEX(LANES)) as (
                column,
                _,
            ):
                factors = [
                    builder.load(left.vector(row, column), align=_UNALIGNED) for row in at_rows
                ]
                for m, row in enumerate(at_columns):
                    vector = builder.load(right.vector(row, column), align=_UNALIGNED)
                    for n, factor in enumerate(factors):
                        _add_product(builder, totals[n * sums + m], factor, vector)
            for n, row in enumerate(at_rows):
                for m, column in enumerate(at_columns):
                    pointer = target.pointer(row, column)
                    total = _sum_lanes(builder, builder.load(totals[n * sums + m]))
                    builder.store(builder.fadd(builder.load(pointer), total), pointer)
            return context.get_dummy_value()

        return types.none(out, types.intp, types.intp, a, x), code

    return tile


def _sum_lanes(builder: ir.IRBuilder, vector: Any) -> Any:
    """The sum of a vector's lanes, its halves added to each other until one lane is left."""
    width = LANES
    while width > 1:
        width //= 2
        kind = ir.VectorType(ir.IntType(32), width)
        low, high = (
            builder.shuffle_vector(
                vector, vector, ir.Constant(kind, list(range(start, start + width)))
            )
            for start in (0, width)
        )
        vector = builder.fadd(low, high)
    return builder.extract_element(vector, ir.IntType(32)(0))


_product_1, _product_2, _product_3, _product_4, _product_5, _product_6 = (
    _make_product_tile(rows) for rows in range(1, _ROWS + 1)
)
_sums_11, _sums_12, _sums_13 = (_make_sums_tile(1, sums) for sums in range(1, _SUM_COLUMNS + 1))
_sums_21, _sums_22, _sums_23 = (_make_sums_tile(2, sums) for sums in range(1, _SUM_COLUMNS + 1))
_sums_31, _sums_32, _sums_33 = (_make_sums_tile(3, sums) for sums in range(1, _SUM_COLUMNS + 1))


@jit_fused
def put_product(
    out: Float32s, a: Float32s, x: Float32s, scale: Float32s, overwrite: np.bool_, lower: np.bool_
) -> None:
    """out (m, b) = scale * (a (m, k) @ x (k, b)), or scale * (out + a @ x) without `overwrite`.

    scale (1, b), or (0, b) for 1. lower: `a` is square and 0 above its diagonal, where it is not
    read. b is a multiple of `COLUMNS`.
    """
    rows, depth = a.shape
    parts = -(-rows // _ROWS)
    for column in range(0, out.shape[1], COLUMNS):
        row = 0
        for part in range(parts):
            height = (rows + part) // parts
            if lower:
                depth = row + height
            if height == 6:
                _product_6(out, row, column, a, depth, x, scale, overwrite)
            elif height == 5:
                _product_5(out, row, column, a, depth, x, scale, overwrite)
            elif height == 4:
                _product_4(out, row, column, a, depth, x, scale, overwrite)
            elif height == 3:
                _product_3(out, row, column, a, depth, x, scale, overwrite)
            elif height == 2:
                _product_2(out, row, column, a, depth, x, scale, overwrite)
            else:
                _product_1(out, row, column, a, depth, x, scale, overwrite)
            row += height


@jit_fused
def add_product_transposed(out: Float32s, a: Float32s, x: Float32s) -> None:
    """out (m, k) += a (m, b) @ x (k, b).T; b a multiple of `LANES`."""
    rows, columns = out.shape
    parts = -(-rows // _SUM_ROWS)
    row = 0
    for part in range(parts):
        height = (rows + part) // parts
        for column in range(0, columns, _SUM_COLUMNS):
            width = min(_SUM_COLUMNS, columns - column)
            if height == 3:
                if width == 3:
                    _sums_33(out, row, column, a, x)
                elif width == 2:
                    _sums_32(out, row, column, a, x)
                else:
                    _sums_31(out, row, column, a, x)
            elif height == 2:
                if width == 3:
                    _sums_23(out, row, column, a, x)
                elif width == 2:
                    _sums_22(out, row, column, a, x)
                else:
                    _sums_21(out, row, column, a, x)
            elif width == 3:
                _sums_13(out, row, column, a, x)
            elif width == 2:
                _sums_12(out, row, column, a, x)
            else:
                _sums_11(out, row, column, a, x)
        row += height
