"""The product of two float32 matrices on a register tile, to be called by its address as BLAS's sgemm is.

OpenBLAS packs both operands, and takes up to 1.4 times as long for it where x stays in the second-level cache.
Here a block of y is packed into panels of 32 columns, and x is read where it lies, each number broadcast. In all 8 × 32
sums stay in registers. Where y lies row-major the first rows of x read it there and leave its numbers in the panel as
they go: 128×784 · 784×256 takes 0.96 of the time of packing first, 128×256 · 256×128 0.94. Some rows of x run over all
panels of a block, so that the result is written along its rows, few lines at a time. `products.suits_own` says which
shapes gain by it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import config, types
from numba.core.ccallback import CFunc
from numba.core.compiler import Compiler
from numba.extending import intrinsic

from autograd_core.kernels import arithmetic_types
from autograd_core.kernels.gemm_panel import (
    FLOAT,
    ITEM,
    LANES,
    LINE,
    VECTOR,
    WIDTH,
    WORD,
    load,
    load_some,
    masks_of,
    pack,
    room,
    rows_at,
    store,
    store_some,
    vectors_at,
    word,
)
from autograd_core.kernels.jit import KernelCache, jit
from autograd_core.kernels.vector import ROWS, ask, fused, splat

_DEPTH = 512  # rows of a panel at most: 64 KB; 256 and 384 take 1.01–1.05 times as long (ten shapes)
# Bytes of a block's panels, in the second-level cache; 128 KB take up to 1.05 times as long.
_ROOM = 256 << 10
# Rows of x that run over a block. One panel for all rows instead takes 1.2–1.6 times as long for 64 → 256 channels of
# 56×56, where lines of the result are 12 KB apart; 16 and 64 rows take as long as 32. Rows of xᵀ are packed as a panel.
_STRIP = WIDTH

# Bytes from row to row of a y that the first rows of x pack. Of 1×1 convolution's, 12 KB apart, a panel at a time takes
# longer to read than all panels row by row: 0.81–0.97 of the speed.
_NEAR = 4 << 10
_AHEAD = 8  # rows of y ahead of the one that is packed, at which lines are asked for

_TURNED = 112  # cblas's name for the order of a transposed matrix

_block_room, _strip_room = room(_ROOM), room(_DEPTH * LINE)

# The tile -------------------------------------------------------------------------------------------------------


def _tile(vectors, packs=False):
    """An intrinsic for results so many vectors wide; one that `packs` reads y's lines, and leaves them as the panel."""

    @intrinsic
    def tile(typing, out, out_row, x, x_row, x_step, rows, panel, depth, columns, add, line, line_step):
        """out (rows, columns) = x (rows, depth) · panel (depth, columns), added to what is there where `add`."""

        def emit(context, builder, signature, args):
            out, out_row, x, x_row, x_step, rows, panel, depth, columns, add, line, line_step = args
            lines = rows_at(builder, x, x_row, ROWS, rows)
            cells = [
                cell
                for row in rows_at(builder, out, out_row, ROWS, rows)
                for cell in vectors_at(builder, row, vectors)
            ]
            masks = ROWS * masks_of(builder, columns, vectors)
            source = (line, line_step) if packs else (panel, word(LINE))
            sums = _summed(builder, lines, vectors, x_step, source, depth, panel if packs else None)
            # Added last: a block's sum of its own rounds half as much.
            held = _held(builder, cells, masks, add)
            sums = [builder.fadd(before, value) for before, value in zip(held, sums, strict=True)]
            whole = builder.icmp_signed("==", columns, word(vectors * LANES))
            with builder.if_else(whole) as (all_columns, some):
                with all_columns:
                    for value, cell in zip(sums, cells, strict=True):
                        store(builder, value, cell)
                with some:
                    for value, cell, mask in zip(sums, cells, masks, strict=True):
                        store_some(builder, value, cell, mask)
            return context.get_dummy_value()

        return types.void(*(types.int64,) * 12), emit

    return tile


def _held(builder, cells, masks, add):
    """What the cells hold where `add` is not 0, else zeros."""
    before = builder.block
    with builder.if_then(builder.icmp_signed("!=", add, word(0))):
        held = [load_some(builder, cell, mask) for cell, mask in zip(cells, masks, strict=True)]
        inside = builder.block
    start = [builder.phi(VECTOR) for _ in cells]
    for phi, value in zip(start, held, strict=True):
        phi.add_incoming(ir.Constant(VECTOR, None), before)
        phi.add_incoming(value, inside)
    return start


def _summed(builder, lines, vectors, x_step, source, depth, panel):
    """Σₖ (number k of each line, broadcast) · (row k of y), in registers; depth is at least 1.

    Rows of y begin at source[0], source[1] bytes apart; they are copied to the panel where there is one.
    """
    entry, body, done = (
        builder.block,
        *(builder.append_basic_block(f"tile.{name}") for name in ("k", "end")),
    )
    builder.branch(body)
    builder.position_at_end(body)
    k, at, row, to = (builder.phi(WORD) for _ in range(4))
    sums = [builder.phi(VECTOR) for _ in range(len(lines) * vectors)]
    wide = [load(builder, address) for address in vectors_at(builder, row, vectors)]
    if panel is not None:
        for value, address in zip(wide, vectors_at(builder, to, vectors), strict=True):
            store(builder, value, address)
        # Weights lie in the third-level cache after an optimizer's step: 0.97 of the time for 128×784 · 784×256.
        for address in vectors_at(builder, builder.add(row, builder.mul(source[1], word(_AHEAD))), vectors):
            ask(builder, builder.inttoptr(address, VECTOR.as_pointer()), False)
    fma, after = fused(builder, VECTOR), []
    for r, line in enumerate(lines):
        number = builder.load(builder.inttoptr(builder.add(line, at), FLOAT.as_pointer()))
        value = splat(builder, number, VECTOR)
        after += [builder.call(fma, [value, one, sums[r * vectors + v]]) for v, one in enumerate(wide)]
    following = builder.add(k, word(1))
    steps = [
        (k, word(0), following),
        (at, word(0), builder.add(at, x_step)),
        (row, source[0], builder.add(row, source[1])),
        (to, source[0] if panel is None else panel, builder.add(to, word(LINE))),
    ]
    zeros = [ir.Constant(VECTOR, None)] * len(sums)
    for phi, first, later in (*steps, *zip(sums, zeros, after, strict=True)):
        phi.add_incoming(first, entry)
        phi.add_incoming(later, body)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, done)
    builder.position_at_end(done)
    return after


_narrow, _wide, _packing = _tile(1), _tile(2), _tile(2, packs=True)


# The product ----------------------------------------------------------------------------------------------------


@jit(inner=True, fast=False)
def _multiply(out, out_row, x, x_row, x_step, rows, panels, depth, columns, add, corner, y_row, packs):
    """Some rows of x times a block of y, of which they pack what is as wide as a panel where `packs`."""
    for j in range(0, columns, WIDTH):
        wide, panel = min(WIDTH, columns - j), panels + j * depth * ITEM
        for i in range(0, rows, ROWS):
            into, lines = out + i * out_row + j * ITEM, x + i * x_row
            if packs and i == 0 and wide == WIDTH:
                line = corner + j * ITEM
                _packing(into, out_row, lines, x_row, x_step, rows, panel, depth, wide, add, line, y_row)
            elif wide > LANES:
                _wide(into, out_row, lines, x_row, x_step, rows - i, panel, depth, wide, add, 0, 0)
            else:
                _narrow(into, out_row, lines, x_row, x_step, rows - i, panel, depth, wide, add, 0, 0)


def _sgemm(order, x_order, y_order, m, n, k, alpha, x, x_lead, y, y_lead, beta, out, out_lead):
    """cblas_sgemm of row-major matrices for α = 1, β = 0 or 1 and k ≥ 1: out (m, n) = x (m, k) · y (k, n) + β · out."""
    x_row, x_step = (ITEM, ITEM * x_lead) if x_order == _TURNED else (ITEM * x_lead, ITEM)
    y_row, y_step = (ITEM, ITEM * y_lead) if y_order == _TURNED else (ITEM * y_lead, ITEM)
    panels, strip, out_row = _block_room(), _strip_room(), ITEM * out_lead
    blocks = (k + _DEPTH - 1) // _DEPTH
    for block in range(blocks):
        first = block * k // blocks
        depth = (block + 1) * k // blocks - first
        add = int(beta != 0 or block > 0)
        width = _ROOM // (depth * LINE) * WIDTH
        for j in range(0, n, width):
            columns = min(width, n - j)
            corner, packs = y + first * y_row + j * y_step, y_step == ITEM and y_row <= _NEAR
            done = columns // WIDTH * WIDTH if packs else 0  # columns that the first rows of x are to pack
            if done < columns:
                rest = panels + done * depth * ITEM
                pack(rest, corner + done * y_step, y_row, y_step, depth, columns - done)
            for i in range(0, m, _STRIP):
                into, lines = out + i * out_row + j * ITEM, x + i * x_row + first * x_step
                rows, row, step = min(_STRIP, m - i), x_row, x_step
                if x_order == _TURNED:  # its rows lie across as many pages as it is deep
                    pack(strip, lines, x_step, ITEM, depth, rows)
                    lines, row, step = strip, ITEM, LINE
                _multiply(into, out_row, lines, row, step, rows, panels, depth, columns, add, corner, y_row,
                          packs and i == 0)  # fmt: skip


@cache
def _compiled() -> Any:
    small, word, one = types.int32, types.int64, types.float32
    signature = types.void(*[small] * 3, *[word] * 3, one, *[word] * 4, one, word, word)
    how = {"nopython": True, "error_model": "numpy"}
    made = CFunc(_sgemm, (signature.args, signature.return_type), {}, how, Compiler)
    if not config.DISABLE_JIT:
        made._cache = KernelCache(_sgemm)
    with arithmetic_types.remembered():
        made.compile()
    return made


def sgemm_address() -> int:
    """Where the function lies, compiled at the first call."""
    return _compiled().address
