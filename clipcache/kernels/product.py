"""Logits of a block of rows in one go: float16 or float32 rows times float32 weights.

BLAS wants float32 rows, so a float16 pool would have to be written out twice as large and read
again; and for a few dozen classes it reaches half of what the processor can do. Here a panel of
rows is widened and transposed into a buffer that stays in the first-level cache, and multiplied
with each lane of a vector standing for a row. So no lane is wasted, whatever the number of classes,
and the logits come out class by class, which is how the measures sweep over them. What a compiler
would not find by itself, the shuffles of the transposition and sums that never leave the registers,
is written in LLVM's language, which knows vectors, but no particular processor.

The sums run over the dimensions in one order. So a row's logits depend on the row and the weights
alone: not on the rows beside it, on the size of a block or on the number of threads.
"""

import platform
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from clipcache.arrays import Features, Logits, RowIds, Scores, Vectors
from clipcache.kernels.jit import instructions, interpreted, kernel


class Tile(NamedTuple):
    """What the inner loop keeps in registers: sums of vectors * lanes rows times classes."""

    lanes: int
    vectors: int
    classes: int


def _tile() -> Tile:
    """Return a tile that fills this processor's vector registers."""
    has = llvm.get_host_cpu_features()
    if has.get("avx512f"):
        return Tile(lanes=16, vectors=3, classes=8)  # sums in 24 of 32 registers
    if has.get("avx"):
        return Tile(lanes=8, vectors=3, classes=4)  # 12 of 16
    if has.get("neon"):
        return Tile(lanes=4, vectors=3, classes=8)  # 24 of 32
    return Tile(lanes=4, vectors=2, classes=4)  # 8 of 16


def _reads_half() -> bool:
    """Return whether the processor widens float16 itself; without F16C LLVM calls a library."""
    x86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    return not x86 or bool(llvm.get_host_cpu_features().get("f16c"))


TILE = _tile()
READS_HALF = _reads_half()
LANES, PANEL = TILE.lanes, TILE.lanes * TILE.vectors
"""Rows in a vector, and in a panel."""
DEPTH = 128
"""Dimensions in a panel: with 48 rows 24 kB, beside which 8 classes fit into 48 kB."""
STRIP = 4 * PANEL
"""Rows that share one reading of the weights, which with many classes come from far away."""
LINE = 64
"""Bytes in a line of the cache."""

FLOAT, HALF, INT = ir.FloatType(), ir.HalfType(), ir.IntType(64)
VECTOR = ir.VectorType(FLOAT, LANES)


class PackedWeights(NamedTuple):
    """Weights in the order in which the inner loop reads them, padded with zeros."""

    weight: npt.NDArray[np.float32]
    """(groups, dims, TILE.classes), dims a multiple of LANES."""
    bias: npt.NDArray[np.float32]
    """(groups * TILE.classes,)."""
    classes: int


def pack_weights(weight: Vectors, bias: Vectors) -> PackedWeights:
    """Lay out (d, c) float32 weights and (c,) biases for `product`."""
    d, c = weight.shape
    groups, dims = -(-c // TILE.classes), -(-d // LANES) * LANES
    padded = np.zeros((dims, groups * TILE.classes), dtype=np.float32)
    padded[:d, :c] = weight
    packed = padded.reshape(dims, groups, TILE.classes).transpose(1, 0, 2)
    biases = np.zeros(groups * TILE.classes, dtype=np.float32)
    biases[:c] = bias
    return PackedWeights(np.ascontiguousarray(packed), biases, c)


def product(
    features: Features | Vectors, rows: RowIds, weights: PackedWeights
) -> tuple[Logits, Scores]:
    """Return logits and squared lengths of some rows.

    Parameters
    ----------
    features : (n, d) float16 or float32, C-contiguous.
    rows : (b,) int64 places in `features`, in any order.
    weights : what `pack_weights` made of (d, c) weights and (c,) biases.

    Returns
    -------
    logits : (b, c) float32, in Fortran order: the rows of one class lie side by side. A logit
        lies within `roundings(d)` 2^-24 (|x| |w| + |bias|) of x . w + bias, to first order.
    squares : (b,) float32, |x|^2; not finite where x is not.
    """
    if features.dtype == np.float16 and not READS_HALF:
        features, rows = features[rows].astype(np.float32), np.arange(len(rows))
    if interpreted():  # LLVM's language has no interpreter
        return _interpreted(features, rows, weights)
    logits = np.empty((len(weights.bias), len(rows)), dtype=np.float32)
    squares = np.empty(len(rows), dtype=np.float32)
    bits = features.view(np.uint16 if features.dtype == np.float16 else np.uint32)
    panels = np.empty(DEPTH * STRIP + LINE // 4, dtype=np.float32)
    whole = len(rows) // STRIP * STRIP
    _product(bits, rows[:whole], weights.weight, weights.bias, logits, squares, panels)
    if whole < len(rows):  # rows that do not fill a strip, again and again until they do
        rest = np.resize(rows[whole:], STRIP)
        last = np.empty((len(weights.bias), STRIP), dtype=np.float32)
        lengths = np.empty(STRIP, dtype=np.float32)
        _product(bits, rest, weights.weight, weights.bias, last, lengths, panels)
        logits[:, whole:] = last[:, : len(rows) - whole]
        squares[whole:] = lengths[: len(rows) - whole]
    return logits[: weights.classes].T, squares


def roundings(d: int) -> int:
    """Return how many roundings a term of a logit goes through at most.

    One in its product, one for each addition within its panel, one for each panel and the bias
    (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1 on blocked sums).
    """
    return min(d, DEPTH) + 2 + -(-d // DEPTH)


def _interpreted(
    features: Features | Vectors, rows: RowIds, weights: PackedWeights
) -> tuple[Logits, Scores]:
    x = features[rows].astype(np.float32)
    flat = weights.weight.transpose(1, 0, 2).reshape(-1, len(weights.bias))
    logits = x @ flat[: x.shape[1], : weights.classes] + weights.bias[: weights.classes]
    return np.asfortranarray(logits), (x * x).sum(axis=1)


@kernel
def _product(
    bits: Any, rows: RowIds, weight: Any, bias: Any, logits: Any, squares: Any, panels: Any
) -> None:
    """Fill in logits and squares; `rows` are whole strips."""
    groups, dims, classes = weight.shape
    d, size, width = bits.shape[1], bits.itemsize, logits.shape[1]
    aligned = panels.ctypes.data + (-panels.ctypes.data) % LINE
    tail = np.zeros((STRIP, LANES), dtype=bits.dtype)  # the last dimensions, filled up with zeros
    where = np.empty(STRIP, dtype=np.int64)
    for start in range(0, len(rows), STRIP):
        for i in range(STRIP):
            where[i] = bits.ctypes.data + rows[start + i] * d * size
            squares[start + i] = 0.0
            for j in range(d - d % LANES, d):
                tail[i, j % LANES] = bits[rows[start + i], j]
        for j in range(len(bias)):
            for i in range(STRIP):
                logits[j, start + i] = bias[j]
        ahead = bits.ctypes.data + rows[min(start + STRIP, len(rows) - 1)] * d * size
        fetched = ahead + STRIP * d * size
        for first in range(0, dims, DEPTH):
            depth = min(DEPTH, dims - first)
            for k in range(first, first + depth, LANES):
                if k + LANES > d:
                    for i in range(STRIP):
                        where[i] = tail.ctypes.data + (i * LANES - k) * size
                for v in range(0, STRIP, LANES):
                    panel = v // PANEL * DEPTH + k - first
                    target = aligned + (panel * PANEL + v % PANEL) * 4
                    sums = squares.ctypes.data + (start + v) * 4
                    _widen(bits, where.ctypes.data + v * 8, k, target, sums)
            for g in range(groups):
                columns = weight.ctypes.data + (g * dims + first) * classes * 4
                for i in range(0, STRIP, PANEL):
                    # The next rows are on their way while these are worked on. Where the guess is
                    # wrong (rows need not lie side by side), nothing but the reading is lost.
                    source = aligned + i * DEPTH * 4
                    target = logits.ctypes.data + (g * classes * width + start + i) * 4
                    _multiply(source, columns, target, depth, width, min(ahead, fetched))
                    ahead += depth * LINE


@instructions
def _widen(typing: Any, bits: Any, where: Any, column: Any, panel: Any, squares: Any) -> Any:
    """Write LANES rows by LANES dimensions as float32 into the panel, a dimension a vector.

    `where` is the address of the rows' addresses. Adds what these dimensions give to |x|^2.
    """
    size = bits.dtype.bitwidth // 8
    source = ir.VectorType(HALF if size == 2 else FLOAT, LANES)

    def emit(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _, where, column, panel, squares = arguments
        table = b.inttoptr(where, INT.as_pointer())
        lines = []
        for i in range(LANES):
            address = b.add(b.load(b.gep(table, [INT(i)])), b.mul(column, INT(size)))
            line = b.load(b.inttoptr(address, source.as_pointer()), align=size)
            lines.append(b.fpext(line, VECTOR) if size == 2 else line)
        sums = b.load(_pointer(b, squares), align=4)
        for k, line in enumerate(_transposed(b, lines)):
            sums = _multiply_add(b, line, line, sums)
            b.store(line, _pointer(b, panel, k * PANEL * 4), align=LANES * 4)
        b.store(sums, _pointer(b, squares), align=4)
        return context.get_dummy_value()

    return types.void(bits, *[types.intp] * 4), emit


@instructions
def _multiply(
    typing: Any, panel: Any, weight: Any, out: Any, depth: Any, width: Any, ahead: Any
) -> Any:
    """Add what `depth` dimensions give to the logits of a panel and one group of classes.

    `out` is the address of logits that lie `width` numbers apart from class to class; `ahead` is
    where to fetch memory into the cache, a line for each dimension.
    """

    def emit(context: Any, b: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        panel, weight, out, depth, width, ahead = arguments
        places = []
        for j in range(TILE.classes):
            of_class = b.add(out, b.mul(width, INT(j * 4)))
            places += [_pointer(b, of_class, v * LANES * 4) for v in range(TILE.vectors)]
        zero = ir.Constant(VECTOR, [0.0] * LANES)
        before, loop, after = b.block, b.append_basic_block(), b.append_basic_block()
        b.branch(loop)
        b.position_at_end(loop)
        k = b.phi(INT)
        sums = [b.phi(VECTOR) for _ in places]
        _prefetch(b, b.add(ahead, b.mul(k, INT(LINE))))
        row = b.add(panel, b.mul(k, INT(PANEL * 4)))
        column = b.add(weight, b.mul(k, INT(TILE.classes * 4)))
        x = [b.load(_pointer(b, row, v * LANES * 4), align=LANES * 4) for v in range(TILE.vectors)]
        grown = []
        for j in range(TILE.classes):
            w = _spread(b, column, j * 4)
            for v in range(TILE.vectors):
                grown.append(_multiply_add(b, w, x[v], sums[j * TILE.vectors + v]))
        following = b.add(k, INT(1))
        k.add_incoming(INT(0), before)
        k.add_incoming(following, loop)
        for total, later in zip(sums, grown, strict=True):
            total.add_incoming(zero, before)
            total.add_incoming(later, loop)
        b.cbranch(b.icmp_signed("<", following, depth), loop, after)
        b.position_at_end(after)
        for place, total in zip(places, grown, strict=True):
            b.store(b.fadd(b.load(place, align=4), total), place, align=4)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), emit


def _pointer(b: ir.IRBuilder, address: Any, offset: int = 0) -> Any:
    return b.inttoptr(b.add(address, INT(offset)), VECTOR.as_pointer())


def _multiply_add(b: ir.IRBuilder, one: Any, two: Any, three: Any) -> Any:
    """Return one * two + three, rounded once where the processor can do that, else twice."""
    kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
    return b.call(_llvm(b, f"llvm.fmuladd.v{LANES}f32", kind), [one, two, three])


def _prefetch(b: ir.IRBuilder, address: Any) -> None:
    """Ask for a line of memory, for reading (0), into the second-level cache (2), as data (1)."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    where = b.inttoptr(address, byte)
    b.call(_llvm(b, "llvm.prefetch.p0", kind), [where, number(0), number(2), number(1)])


def _llvm(b: ir.IRBuilder, name: str, kind: Any) -> Any:
    return cgutils.get_or_insert_function(b.module, kind, name)  # type: ignore[no-untyped-call]


def _spread(b: ir.IRBuilder, address: Any, offset: int) -> Any:
    """Load one number into all lanes."""
    number = b.load(b.inttoptr(b.add(address, INT(offset)), FLOAT.as_pointer()))
    single = b.insert_element(ir.Constant(VECTOR, ir.Undefined), number, INT(0))
    return _shuffle(b, single, single, [0] * LANES)


def _shuffle(b: ir.IRBuilder, one: Any, two: Any, lanes: list[int]) -> Any:
    """Pick lanes of two vectors, those of the second counted on from LANES."""
    return b.shuffle_vector(one, two, ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes))


def _transposed(b: ir.IRBuilder, lines: list[Any]) -> list[Any]:
    """Transpose a square of vectors: exchange halves, then quarters, down to single lanes."""
    step = LANES // 2
    while step:
        upper = [lane + (LANES - step if lane & step else 0) for lane in range(LANES)]
        lower = [lane + (LANES if lane & step else step) for lane in range(LANES)]
        lines = [
            _shuffle(b, lines[i - step], line, lower)
            if i & step
            else _shuffle(b, line, lines[i + step], upper)
            for i, line in enumerate(lines)
        ]
        step //= 2
    return lines
