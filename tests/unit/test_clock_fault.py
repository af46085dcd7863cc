"""The code that tells a wrong time: run here for real, and the vDSO's symbols, read or refused."""

from __future__ import annotations

import platform
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shaketable.agent.changes import clock
from shaketable.agent.kernel import KernelError
from shaketable.faults import CATALOGUE, Seen, residue, witness
from shaketable.ports import Member, Target

_RUN = """
import ctypes, mmap, sys
def function(code, *types):
    place = mmap.mmap(-1, 4096, prot=7)
    place.write(code)
    keep.append(place)
    return ctypes.CFUNCTYPE(*types)(ctypes.addressof(ctypes.c_char.from_buffer(place)))
keep = []
codes = [bytes.fromhex(a) for a in sys.argv[1:]]
pair = (ctypes.c_int64 * 2)()
at = ctypes.c_void_p(ctypes.addressof(pair))
ask = function(codes[0], ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
for which in (0, 5, 1):
    assert ask(which, at) == 0
    print(pair[0] + pair[1] / 1e9, 0 <= pair[1] < 10**9)
assert ask(99, at) != 0
ask = function(codes[1], ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ask(at, None)
print(pair[0] + pair[1] / 1e6, 0 <= pair[1] < 10**6)
ask = function(codes[2], ctypes.c_int64, ctypes.c_void_p)
print(ask(None), ask(at) == pair[0])
"""

x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the code is for x86-64")


@x86
@settings(max_examples=12, deadline=None)
@given(st.integers(-3 * 10**17, 3 * 10**17))
def test_the_replaced_code_is_that_much_off(offset_ns: int) -> None:
    """Both real-time clocks, gettimeofday and time are off by the offset, others true; an error stays an error."""
    codes = clock._shifted(offset_ns)
    words = [sys.executable, "-c", _RUN, *(codes[n].hex() for n in ("clock_gettime", "gettimeofday", "time"))]
    lines = [
        line.split() for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    ]
    now, monotonic = time.time(), time.monotonic()
    wanted = (now + offset_ns / 1e9,) * 2 + (monotonic, now + offset_ns / 1e9, now + offset_ns / 1e9)
    for (told, whole), want in zip(lines, wanted, strict=True):
        assert whole == "True"
        assert float(told) == pytest.approx(want, abs=3.0)


@x86
def test_the_code_fits_where_it_goes() -> None:
    """The kernel's own functions are found in the vDSO of this machine, and are longer than what replaces them."""
    places = clock.symbols(clock.own())
    assert all(len(code) <= places[name][1] for name, code in clock._shifted(10**18).items())


@given(st.binary(max_size=300), st.integers(0, 200))
def test_what_is_no_vdso_is_refused(data: bytes, cut: int) -> None:
    """Anything but an ELF image with these symbols raises KernelError, and nothing else."""
    for image in (data, b"\x7fELF" + data, clock.own()[: cut * 20]):
        with pytest.raises(KernelError):
            clock.symbols(image)


TARGET = Target("web", (Member("web", "c", 4, 5, "f/c", holds_namespace=True),), (), ())


@pytest.mark.parametrize(
    ("skew", "monotonic", "effective"),
    [
        (3600.0, 0.0, True),
        (3600.02, 0.001, True),
        (0.0, 0.0, False),
        (-3600.0, 0.0, False),
        (3600.0, 3600.0, False),
        (None, None, False),
    ],
)
def test_the_skew_is_the_proof(skew: float | None, monotonic: float | None, effective: bool) -> None:
    """What its own code says must be off by what was asked for, and its monotonic clock must be true."""
    kind = CATALOGUE["clock"]
    now = {"clocks": {"at": 1.0, "clocks": {"web": {"skew": skew, "monotonic": monotonic, "others": 0}}}}
    seen = Seen(TARGET, kind.params(offset=3600.0), {}, now)
    assert (witness(kind, seen).at is not None) == effective
    assert bool(residue(kind, seen)) == bool(skew)
