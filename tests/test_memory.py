"""Freed memory goes back to the system while a long video is read."""

import platform
import subprocess
import sys

import pytest

from aucli.pipeline import memory

# Frees every second of many blocks that come from the heap: holes that stay without help.
HOLES = """
import ctypes
from aucli.pipeline.memory import give_back

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
blocks = [libc.malloc(100_000) for _ in range(1000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for block in blocks[::2]:
    libc.free(block)
before = resident()
assert give_back()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the GNU C library")
def test_holes_between_used_memory_go_back() -> None:
    told = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    assert int(told.stdout) > 40_000_000  # of 50 MB


def test_memory_goes_back_once_in_many_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(memory, "give_back", lambda: calls.append(1))
    kept = memory.Memory()
    for _ in range(3 * memory.FRAMES_BETWEEN // 16):
        kept.after(16)
    assert len(calls) == 3


def test_a_system_without_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_trim", lambda: None)
    assert not memory.give_back()
