"""The unpickler builds plain data, as the standard one does, and calls what it is allowed to."""

from __future__ import annotations

import pickle
import subprocess
from collections import OrderedDict
from typing import Any

import pytest

from minigrad.errors import DataError
from minigrad.io.unpickle import OPERATIONS, Inert, Named, unpickle

KNOWN = {"collections.OrderedDict": Named("collections.OrderedDict", dict)}
PLAIN = {
    "whole": [0, 1, 255, 256, 65535, 65536, -1, 2**31, -(2**40), 2**59],
    "real": (0.5, float("inf"), -0.0),
    "text": ["", "é", "x" * 300, "\U0001f600"],
    "bytes": [b"", b"\0" * 300],
    3: None,
    "yes": [True, False, ()],
    "nested": [[[]], {"a": {}}, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
}


def nothing(identity: Any) -> Any:
    raise ValueError(f"{identity!r} is not expected")


class Evil:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_come_as_they_were(protocol: int) -> None:
    data = {key: value for key, value in PLAIN.items() if key != "bytes" or protocol > 2}
    program = pickle.dumps(data, protocol)
    assert unpickle(program + b"rest", KNOWN, nothing) == (data, len(program))
    shared: list[Any] = [[1]]
    shared = unpickle(pickle.dumps(shared * 2, protocol), KNOWN, nothing)[0]
    assert shared[0] is shared[1]


def test_only_known_names_are_called() -> None:
    ordered = OrderedDict(a=1)
    assert unpickle(pickle.dumps(ordered, 2), KNOWN, nothing)[0] == {"a": 1}
    with pytest.raises(DataError, match=r"asks for collections\.OrderedDict, which is neither"):
        unpickle(pickle.dumps(ordered, 2), {}, nothing)
    known = {"m.C": Named("m.C", lambda *a: Inert("m.C", a)), "m.t": Named("m.t")}
    program = b"\x80\x02cm\nC\nK\x01\x85\x81}X\x01\0\0\0aK\x02sb."
    found = unpickle(program, known, nothing)[0]
    assert (found.name, found.arguments, found.state) == ("m.C", (1,), {"a": 2})
    with pytest.raises(DataError, match=r"it calls m\.t"):
        unpickle(b"\x80\x02cm\nt\n)R.", known, nothing)


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_refused_by_name_and_not_run(protocol: int, tmp_path: Any) -> None:
    import os

    mark = tmp_path / "run"
    program = pickle.dumps({"a": Evil(os.system, f"touch {mark}")}, protocol)
    with pytest.raises(DataError, match=rf"asks for {os.name}\.system|none of protocols 2"):
        unpickle(program, KNOWN, nothing)
    for function in (eval, getattr, subprocess.Popen):
        with pytest.raises(DataError, match=f"{function.__name__}|none of protocols 2"):
            unpickle(pickle.dumps(Evil(function, "1"), protocol), KNOWN, nothing)
    assert not mark.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\nX\x04\0\0\0echo\x85R.",
        b"\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R.",
        b"(X\x04\0\0\0echoios\nsystem\n.",
        b"(cos\nsystem\nX\x04\0\0\0echoo.",
    ],
)
def test_the_offending_name_is_said_whichever_operation_brings_it(program: bytes) -> None:
    with pytest.raises(DataError, match=r"it asks for os\.system, which is neither"):
        unpickle(b"\x80\x02" + program, KNOWN, nothing)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"", "index out of range"),
        (b".", "pop from empty list"),
        (b"N", "index out of range"),
        (b"(.", "pop from empty list"),
        (b"X\xff\xff\xff\xffa.", "ends within 4294967295 bytes"),
        (b"\x8d" + b"\xff" * 8 + b".", "ends within"),
        (b"\x8b\xff\xff\xff\x7f.", "ends within"),
        (b"X\x01\0\0\0\xff.", "can't decode"),
        (b"j\xff\xff\xff\x7f.", "2147483647"),
        (b"N\x86.", "the stack is empty"),
        (b"NNa.", "NoneType is no list"),
        (b"NNNs.", "NoneType is no dict"),
        (b"}NNb.", "NoneType has no state"),
        (b"}]Ns.", "a key of type list"),
        (b"}(N)\x85Nu.", "argument 2 is shorter"),
        (b"}\x8a\x09" + b"\xff" * 8 + b"\0Ns.", "a key of type int"),
        (b"N)R.", "it calls NoneType"),
        (b"\x80\x06N.", "of protocol 6"),
        (b"\x95" + b"\xff" * 8 + b"N.", "a frame of"),
        (b"\x82\x01.", "the operation b'.x82' is none of protocols 2 to 5"),
        (b"c" + b"x" * 1000, "a name has no end"),
        (b"]" * (OPERATIONS + 1), f"more than {OPERATIONS:,} operations"),
        (b"NQ.", "None is not expected"),
    ],
)
def test_damaged_pickles_are_refused(program: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        unpickle(program, KNOWN, nothing)
    assert "damaged near byte" in str(caught.value)


def test_a_call_within_a_call_ends() -> None:
    def call(function: Named, arguments: Any) -> Any:
        assert function.make is not None
        return function.make(*arguments)

    known = {"m.f": Named("m.f", call)}
    nested = b"cm\nf\nq\0)" + b"".join([b"q\x010h\0h\x01\x86"] * 5000)
    with pytest.raises(DataError, match="RecursionError"):
        unpickle(b"\x80\x02" + nested + b"q\x010h\0h\x01R.", known, nothing)


def test_depth_and_memory_are_no_matter() -> None:
    deep, _ = unpickle(b"\x80\x02N" + b"\x85" * 100_000 + b".", {}, nothing)
    assert type(deep) is tuple
    wide, _ = unpickle(b"\x80\x02]q\0" + b"2\x86" * 60 + b".", {}, nothing)  # 2^60 leaves
    assert type(wide) is tuple
    assert unpickle(b"\x80\x02Nr\xff\xff\xff\xff.", {}, nothing)[0] is None
