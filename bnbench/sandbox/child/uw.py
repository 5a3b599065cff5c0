"""Call the functions of a compiled homework file: matrices in, matrices out, by bytes over two pipes.

Run as ``python uw.py LIBRARY EDITION REPLIES``: requests come on standard input, replies go to the descriptor REPLIES,
before all others b"BNUW", when the library is about to be loaded. A request is a header and its matrices, a reply
likewise; all numbers are little-endian, matrices are row-major float32:

    request   b"BNUW"  function  groups  matrices          then for each: rows  cols  data
    reply     b"BNUW"  status  1 + aliased argument or 0  matrices   then for each: rows  cols  data

A stage's reply holds its result and then its arguments as they are after the call. A layer's reply
holds the results and rolling averages of the steps in ``run_layer``.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import BinaryIO

MAGIC = b"BNUW"
REQUEST = struct.Struct("<4s3I")
REPLY = struct.Struct("<4s3I")
SHAPE = struct.Struct("<2i")
RETURNED, MISSING, SHAPE_ABSURD, NO_DATA = range(4)
MOST_ELEMENTS = 1 << 22

STAGES = ("mean", "variance", "normalize", "delta_mean", "delta_variance", "delta_batch_norm")
LAYER = len(STAGES)
PASSES = {
    "groups": ("forward_batchnorm_layer", "backward_batchnorm_layer"),
    "spatial": ("batch_normalize_forward", "batch_normalize_backward"),
}


class Matrix(ctypes.Structure):
    """``struct matrix`` of uwnet.h."""

    _fields_ = (
        ("rows", ctypes.c_int),
        ("cols", ctypes.c_int),
        ("data", ctypes.POINTER(ctypes.c_float)),
        ("shallow", ctypes.c_int),
    )


def read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise EOFError
    return data


def read_matrix(stream: BinaryIO, library: ctypes.CDLL) -> Matrix:
    """Read a matrix onto the C heap, so that whoever reads past its end can be caught."""
    rows, cols = SHAPE.unpack(read_exactly(stream, SHAPE.size))
    matrix: Matrix = library.make_matrix(rows, cols)
    ctypes.memmove(matrix.data, read_exactly(stream, 4 * rows * cols), 4 * rows * cols)
    return matrix


def status_of(matrix: Matrix) -> int:
    if matrix.rows < 0 or matrix.cols < 0 or matrix.rows * matrix.cols > MOST_ELEMENTS:
        return SHAPE_ABSURD
    return RETURNED if matrix.data or not matrix.rows * matrix.cols else NO_DATA


def packed(matrix: Matrix) -> bytes:
    return SHAPE.pack(matrix.rows, matrix.cols) + ctypes.string_at(matrix.data, 4 * matrix.rows * matrix.cols)


def address(matrix: Matrix) -> int:
    return ctypes.cast(matrix.data, ctypes.c_void_p).value or 0


def run_stage(library: ctypes.CDLL, edition: str, stage: int, groups: int, arguments: list[Matrix]) -> bytes:
    function = getattr(library, STAGES[stage], None)
    if function is None:
        return REPLY.pack(MAGIC, MISSING, 0, 0)
    extra: list[int] = []
    if edition == "spatial":
        extra = [arguments[0].cols // groups]
    elif STAGES[stage] in {"mean", "variance", "normalize"}:
        extra = [groups]
    function.restype = Matrix
    function.argtypes = [Matrix] * len(arguments) + [ctypes.c_int] * len(extra)
    result = function(*arguments, *extra)
    if status_of(result) != RETURNED:
        return REPLY.pack(MAGIC, status_of(result), 0, 0)
    addresses = [address(argument) for argument in arguments]
    aliased = addresses.index(address(result)) + 1 if address(result) in addresses else 0
    return REPLY.pack(MAGIC, RETURNED, aliased, 1 + len(arguments)) + b"".join(map(packed, [result, *arguments]))


def run_layer(library: ctypes.CDLL, edition: str, groups: int, arguments: list[Matrix]) -> bytes:
    """Forward x1, forward x2, backward d2, forward a row; after each forward also the rolling averages."""
    forward, backward = (getattr(library, name, None) for name in PASSES[edition])
    if forward is None or backward is None:
        return REPLY.pack(MAGIC, MISSING, 0, 0)
    library.bnbench_new_layer.restype = ctypes.c_void_p
    library.bnbench_run_layer.argtypes = [ctypes.c_void_p, ctypes.c_void_p, Matrix]
    library.bnbench_rolling.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.bnbench_run_layer.restype = library.bnbench_rolling.restype = Matrix
    layer = library.bnbench_new_layer(groups)
    answers = []
    for function, argument in zip((forward, forward, backward, forward), arguments, strict=True):
        answer = library.bnbench_run_layer(layer, ctypes.cast(function, ctypes.c_void_p), argument)
        if status_of(answer) != RETURNED:
            return REPLY.pack(MAGIC, status_of(answer), 0, 0)
        answers.append(packed(answer))
        if function is forward:
            answers.extend(packed(library.bnbench_rolling(layer, which)) for which in (0, 1))
    return REPLY.pack(MAGIC, RETURNED, 0, len(answers)) + b"".join(answers)


def serve(library: ctypes.CDLL, edition: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer requests until there are no more."""
    library.make_matrix.restype = Matrix
    while header := requests.read(REQUEST.size):
        _, function, groups, count = REQUEST.unpack(header)
        arguments = [read_matrix(requests, library) for _ in range(count)]
        if function == LAYER:
            reply = run_layer(library, edition, groups, arguments)
        else:
            reply = run_stage(library, edition, function, groups, arguments)
        replies.write(reply)
        replies.flush()


def main(path: str, edition: str, replies: int) -> None:
    """Load the library, and answer the requests of standard input on the descriptor ``replies``."""
    with os.fdopen(0, "rb", closefd=False) as requests, os.fdopen(replies, "wb") as answers:
        answers.write(MAGIC)
        answers.flush()
        serve(ctypes.CDLL(path), edition, requests, answers)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
