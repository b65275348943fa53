"""The only door to the GPU: `launch` compiles a kernel where it is new, checks, and starts it.

A kernel is declared once, in its .cu file. From there come the types to which arguments are cast,
and the template arguments: `T` is the element type of the arrays that are handed over as ``T*``.

    template <class T, int V> __global__ void scale(const T* x, T* y, long long n, Acc<T> by)
    launch("scale", grid, block, (x, y, x.size, 0.5), constants=(4,))    # scale<float, 4>

The cast matters. CuPy would pass the Python float 0.5 as a double, and the kernel would read
half of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigrad import backend
from minigrad.errors import DeviceError, DTypeError, OptionError, ShapeError, unknown

__all__ = ["Declaration", "declarations", "expression", "launch", "source"]

FOLDER = Path(__file__).parent
OPTIONS = ("--std=c++17",)
MOST_THREADS = 1024  # of a block
MOST_BLOCKS = (2**31 - 1, 65535, 65535)

# NumPy's name of an element type -> that of CUDA C++
ELEMENTS = {
    "float16": "__half", "bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double",
    "int64": "long long", "int32": "int", "bool": "bool",
}  # fmt: skip
_NUMBERS: dict[str, Any] = {
    "int": np.int32, "long long": np.int64, "bool": np.bool_, "float": np.float32,
    "double": np.float64,
}  # fmt: skip
_NULL = np.uintp(0)


class Parameter(NamedTuple):
    """A parameter of a kernel: ``OPTIONAL const T* bias`` or ``int n``."""

    type: str  # without const, * and OPTIONAL
    name: str
    pointer: bool
    optional: bool


class Declaration(NamedTuple):
    """What a .cu file says of a kernel."""

    file: str
    name: str
    classes: tuple[str, ...]  # template parameters that are element types …
    numbers: tuple[str, ...]  # … and those that are numbers, which come after
    parameters: tuple[Parameter, ...]


_DECLARATION = re.compile(
    r"template\s*<([^>]*)>\s*__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s*)?"
    r"(\w+)\s*\(([^)]*)\)"
)
_PARAMETER = re.compile(
    r"(OPTIONAL\s+)?(?:const\s+)?([\w<> ]+?)\s*(\*?)\s*(?:__restrict__\s+)?(\w+)"
)


@cache
def source(file: str) -> str:
    """Return a .cu file with the text of the headers of this folder in place of their #include."""
    seen: set[str] = set()

    def text(name: str) -> str:
        seen.add(name)
        return re.sub(
            r'#include "(\w+\.cuh)"\n',
            lambda match: "" if match[1] in seen else text(match[1]),
            (FOLDER / name).read_text(encoding="utf-8"),
        )

    return text(f"{file}.cu")


@cache
def declarations() -> dict[str, Declaration]:
    """Read the declarations of all kernels, by name."""
    found = {}
    for path in sorted(FOLDER.glob("*.cu")):
        for template, name, parameters in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            words = [word.split() for word in template.split(",")]
            found[name] = Declaration(
                path.stem,
                name,
                tuple(word for kind, word in words if kind == "class"),
                tuple(word for kind, word in words if kind != "class"),
                tuple(_parameter(name, p) for p in parameters.split(",")),
            )
    return found


def _parameter(kernel: str, text: str) -> Parameter:
    match = _PARAMETER.fullmatch(" ".join(text.split()))
    if match is None:
        raise OptionError(f"cannot read the parameter {text!r} of CUDA kernel {kernel}")
    optional, type_, star, name = match.groups()
    return Parameter(type_, name, bool(star), bool(optional))


def expression(name: str, elements: Sequence[str], constants: Sequence[int] = ()) -> str:
    """Return the name of an instantiation, for example ``scale<float, 4>``."""
    return f"{name}<{', '.join([*elements, *map(str, constants)])}>"


@cache
def _function(name: str, elements: tuple[str, ...], constants: tuple[int, ...]) -> Any:
    """Return a compiled kernel; a file is compiled once for the same types and numbers."""
    declaration = declarations()[name]
    module, names = _module(declaration.file, elements, constants)
    return module.get_function(names[name])


@cache
def _module(
    file: str, elements: tuple[str, ...], constants: tuple[int, ...]
) -> tuple[Any, dict[str, str]]:
    """Compile all kernels of a file that take as many types and numbers."""
    names = {
        d.name: expression(d.name, elements, constants)
        for d in declarations().values()
        if d.file == file and len(d.classes) == len(elements) and len(d.numbers) == len(constants)
    }
    module = backend._cupy().RawModule(
        code=source(file), options=OPTIONS, name_expressions=tuple(names.values())
    )
    return module, names


def launch(
    name: str,
    grid: Sequence[int],
    block: Sequence[int],
    args: Sequence[Any],
    constants: Sequence[int] = (),
) -> None:
    """Start a kernel on the current stream.

    Parameters
    ----------
    name : str
        A kernel of one of the .cu files of this folder.
    grid, block : sequence of int
        Blocks, and threads of a block, along up to three axes. An empty grid starts nothing.
    args : sequence
        One for every parameter: C-contiguous arrays on one device for pointers, None where an
        OPTIONAL one is missing, numbers for the rest.
    constants : sequence of int
        The template parameters that are numbers.

    Raises
    ------
    OptionError
        If there is no such kernel, or arguments or constants are missing.
    ShapeError
        If the grid or the block is larger than a GPU allows, or an array is not contiguous.
    DTypeError
        If an array has another element type than its parameter, or a number does not fit.
    DeviceError
        If the arrays are on different devices.
    """
    declaration = declarations().get(name)
    if declaration is None:
        raise unknown("CUDA kernel", name, declarations())
    _check_counts(declaration, args, constants)
    if not _check_size(name, grid, block):
        return
    types, values, device = _cast(declaration, args)
    elements = tuple(types[c] for c in declaration.classes)
    function = _function(name, elements, tuple(constants))
    with device:
        function(tuple(grid), tuple(block), tuple(values))


def _check_counts(declaration: Declaration, args: Sequence[Any], constants: Sequence[int]) -> None:
    wanted, given = len(declaration.parameters), len(args)
    if wanted != given:
        names = ", ".join(p.name for p in declaration.parameters)
        raise OptionError(
            f"CUDA kernel {declaration.name} takes {wanted} arguments ({names}), got {given}"
        )
    if len(declaration.numbers) != len(constants):
        raise OptionError(
            f"CUDA kernel {declaration.name} has the constants {declaration.numbers}, got "
            f"{tuple(constants)}"
        )


def _check_size(name: str, grid: Sequence[int], block: Sequence[int]) -> bool:
    """Return False where there is nothing to do."""
    threads = math.prod(block)
    if not (0 < len(block) <= 3 and 0 < threads <= MOST_THREADS):
        raise ShapeError(
            f"CUDA kernel {name}: a block has 1 to {MOST_THREADS} threads on up to three axes, "
            f"got {tuple(block)}"
        )
    if not 0 < len(grid) <= 3 or any(n > most for n, most in zip(grid, MOST_BLOCKS, strict=False)):
        raise ShapeError(
            f"CUDA kernel {name}: a grid has up to {MOST_BLOCKS} blocks, got {tuple(grid)}; "
            "let each thread do more"
        )
    return all(n > 0 for n in grid)


def _cast(declaration: Declaration, args: Sequence[Any]) -> tuple[dict[str, str], list[Any], Any]:
    """Return the template's element types, the arguments as the kernel takes them, the device."""
    types: dict[str, str] = {}
    values: list[Any] = list(args)
    pointers = [(i, p) for i, p in enumerate(declaration.parameters) if p.pointer]
    pointers.sort(key=lambda item: item[1].type.startswith("Acc<"))  # these depend on the others
    device = None
    for i, parameter in pointers:
        arg = args[i]
        if parameter.type.startswith("Acc<"):
            _complete(declaration, types)
        if arg is None and parameter.optional:
            values[i] = _NULL
            continue
        _check_array(declaration, parameter, arg, types)
        if device is not None and arg.device != device:
            raise DeviceError(
                f"CUDA kernel {declaration.name}: {parameter.name} is on {arg.device}, other "
                f"arrays on {device}; move it with .to(…)"
            )
        device = arg.device
    _complete(declaration, types)
    for i, parameter in enumerate(declaration.parameters):
        if not parameter.pointer:
            values[i] = _number(declaration, parameter, types, args[i])
    return types, values, device


def _complete(declaration: Declaration, types: dict[str, str]) -> None:
    """Give a type to those template parameters all of whose arrays are missing: it is not used."""
    if len(types) < len(declaration.classes):
        for c in declaration.classes:
            types.setdefault(c, next(iter(types.values())))


def _check_array(
    declaration: Declaration, parameter: Parameter, arg: Any, types: dict[str, str]
) -> None:
    where = f"CUDA kernel {declaration.name}: {parameter.name}"
    if not hasattr(arg, "flags"):
        raise DTypeError(f"{where} must be an array, got {type(arg).__name__}")
    if isinstance(arg, (np.ndarray, np.generic)):
        raise DeviceError(f"{where} is a NumPy array; move it with minigrad.backend.to_device(…)")
    if not arg.flags.c_contiguous:
        raise ShapeError(
            f"{where}, shape {arg.shape}, must be contiguous; use arrays.contiguous(…)"
        )
    element = ELEMENTS.get(arg.dtype.name)
    wanted = parameter.type
    if wanted in declaration.classes:
        wanted = types.setdefault(wanted, element or "")
    elif wanted.startswith("Acc<"):
        wanted = _accumulator(types[wanted[4:-1]])
    if element is None or element != wanted:
        raise DTypeError(
            f"{where} has dtype {arg.dtype}, but must point to {wanted or 'a floating type'}"
        )


def _accumulator(element: str) -> str:
    """Return the type in which sums over `element` are taken: `Acc` in common.cuh."""
    return "double" if element == "double" else "float"


def _number(declaration: Declaration, parameter: Parameter, types: dict[str, str], arg: Any) -> Any:
    type_ = parameter.type
    if type_.startswith("Acc<"):
        type_ = _accumulator(types[type_[4:-1]])
    cast = _NUMBERS[type_]
    if type_ in ("int", "long long"):
        limit = np.iinfo(cast).max
        if int(arg) != arg or not -limit <= arg <= limit:
            raise DTypeError(
                f"CUDA kernel {declaration.name}: {parameter.name} must be a whole number up to "
                f"{limit}, got {arg}; cut the work into parts"
            )
    return cast(arg)
