"""One tensor of a plan: rows as numpy arrays, codes, or MLX's own layout."""
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Tuple

import numpy as np
import numpy.typing as npt

from libtare._base import CData, Code, Error, call, optional, own, sized, string, utf8
from libtare._libtare import ffi, lib

if TYPE_CHECKING:
    from libtare._model import Model

Array = npt.NDArray[Any]
VIEWS = {"parameter": lib.TARE_VIEW_PARAMETER, "source": lib.TARE_VIEW_SOURCE}
KINDS = {lib.TARE_CODES_NONE: None, lib.TARE_CODES_INTEGER: "integer", lib.TARE_CODES_FLOAT: "float"}
NUMPY = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16, "uint8": np.uint8}


class Codes(NamedTuple):
    """weight = scales[row, group] * codes[row, column] + offsets[row, group], group = group_of_column[column]; where info.codes is
    "float", info.table[codes] stands in the place of codes."""
    codes: Array
    scales: Array
    offsets: Array
    group_of_column: Array


@dataclasses.dataclass(frozen=True)
class MLXInfo:
    """What a parameter becomes in an MLX folder. packed False: one dense array, of which only dtype is told.

    global_scales: nvfp4: float32, one for each matrix, with the tensor's leading axes; None: there are none. global_scale: that of
    a single matrix, else 0."""
    packed: bool
    mode: Optional[str]
    dtype: str
    bits: int
    group_size: int
    global_scale: float
    global_scales: Optional[Array]


class Rows(NamedTuple):
    """Rows in MLX's layout: numpy arrays (bfloat16 as uint16), biases None but for affine."""
    weight: Array
    scales: Array
    biases: Optional[Array]
    info: MLXInfo


@dataclasses.dataclass(frozen=True)
class Info:
    """What struct tare_tensor_info says; include/tare/reader.h documents each field."""
    name: str
    packing: str
    scale_dtype: Optional[str]
    shape: Tuple[int, ...]
    bits: int
    group_size: int
    rows: int
    columns: int
    groups: int
    codes: Optional[str]
    table: Optional[Array]
    packed: bool
    has_zeros: bool
    has_biases: bool
    act_order: bool


def _bfloat16(words: Array) -> Array:
    """uint16 words as bfloat16 where the package ml_dtypes is there, else as they are."""
    try:
        import ml_dtypes
    except ImportError:
        return words
    return words.view(ml_dtypes.bfloat16)


def _info(c: CData) -> Info:
    table = None
    if c.table != ffi.NULL:
        table = np.frombuffer(ffi.buffer(c.table, 4 * 2 ** c.bits), np.float32).copy()
    shape = tuple(c.shape[i] for i in range(c.rank))
    return Info(string(c.name), string(c.packing), optional(c.scale_dtype), shape, c.bits, c.group_size, c.rows, c.columns, c.groups,
                KINDS[c.codes], table, c.packed, c.has_zeros, c.has_biases, c.act_order)


class Tensor:
    """A tensor of a model, which it keeps alive. Reading allocates what it returns and nothing beside it; any thread may read."""

    def __init__(self, model: "Model", name: str, view: str = "parameter") -> None:
        reader, plan = ffi.new("tare_reader **"), model.handle()
        call(lib.tare_reader_open, reader, plan, utf8(name), VIEWS[view])
        self._reader = own(reader[0], lib.tare_reader_free, plan)
        self.info = _info(lib.tare_reader_info(self._reader))

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def shape(self) -> Tuple[int, ...]:
        return self.info.shape

    def __repr__(self) -> str:
        return "<libtare.Tensor %s %s %s>" % (self.name, self.info.packing, list(self.shape))

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> Array:
        if copy is False:
            raise ValueError("%s: its numbers are computed, so there is no array without a copy" % self.name)
        return self.numpy().astype(dtype or np.float32, copy=False)

    def _range(self, rows: Optional[slice]) -> Tuple[int, int, Tuple[int, ...]]:
        """(first, count, shape) of a slice of the rows; all of them: the tensor's own shape."""
        if rows is None:
            return 0, self.info.rows, self.shape
        first, end, step = rows.indices(self.info.rows)
        if step != 1:
            raise ValueError("rows: a slice without a step")
        return first, max(end - first, 0), (max(end - first, 0), self.info.columns)

    def numpy(self, rows: Optional[slice] = None, dtype: str = "float32") -> Array:
        """The numbers. rows: a slice over all axes but the last. dtype: "float32", "float16" or "bfloat16", which is the package
        ml_dtypes' where that is there, else words of uint16."""
        first, count, shape = self._range(rows)
        if dtype not in ("float32", "float16", "bfloat16"):
            raise Error(Code.ARGUMENT, self.name, "dtype %s; float32, float16 and bfloat16 are read" % (dtype,))
        out = np.empty(shape, NUMPY[dtype])
        room = ffi.from_buffer("char[]", out) if out.size else ffi.new("char[1]")
        call(lib.tare_read_floats, self._reader, first, count, dtype.encode(), room, out.size)
        return _bfloat16(out) if dtype == "bfloat16" else out

    def codes(self, rows: Optional[slice] = None) -> Codes:
        """Codes, scales and offsets of rows, see Codes."""
        first, count, _ = self._range(rows)
        info = self.info
        if info.codes is None:
            raise Error(Code.ARGUMENT, self.name, "it has no codes of one kind (stored as %s); numpy() reads its numbers" % info.packing)
        codes = np.empty((count, info.columns), np.uint8)
        scales, offsets = np.empty((count, info.groups), np.float32), np.empty((count, info.groups), np.float32)
        group = np.empty(info.columns, np.int32)
        call(lib.tare_reader_groups, self._reader, ffi.from_buffer("int32_t[]", group), group.size)
        if count:
            call(lib.tare_read_codes, self._reader, first, count, ffi.from_buffer("uint8_t[]", codes),
                 ffi.from_buffer("float[]", scales), ffi.from_buffer("float[]", offsets))
        return Codes(codes, scales, offsets, group)

    def mlx_info(self) -> MLXInfo:
        """What the parameter becomes in an MLX folder."""
        c = sized("tare_mlx_info")
        call(lib.tare_reader_mlx, self._reader, c)
        scales = None
        if c.global_scales != ffi.NULL:
            scales = np.frombuffer(ffi.buffer(c.global_scales, 4 * c.n_global_scales), np.float32).reshape(self.shape[:-2]).copy()
        return MLXInfo(c.packed, optional(c.mode), string(c.dtype), c.bits, c.group_size, c.global_scale, scales)

    def mlx(self, rows: Optional[slice] = None) -> Rows:
        """Rows in MLX's layout, byte for byte what convert(to="mlx") writes."""
        info = self.mlx_info()
        first, count, shape = self._range(rows)
        if not info.packed:
            raise Error(Code.ARGUMENT, self.name, "it is dense in MLX (%s); numpy() reads it" % info.dtype)
        weight = np.empty(shape[:-1] + (self.info.columns * info.bits // 32,), np.uint32)
        scales = np.empty(shape[:-1] + (self.info.columns // info.group_size,), NUMPY[info.dtype])
        biases = np.empty_like(scales) if info.mode == "affine" else None
        if count:
            call(lib.tare_read_mlx, self._reader, first, count, ffi.from_buffer("uint32_t[]", weight), ffi.from_buffer("char[]", scales),
                 ffi.NULL if biases is None else ffi.from_buffer("char[]", biases))
        return Rows(weight, scales, biases, info)
