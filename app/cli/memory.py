"""What glibc holds on to after it was freed. Elsewhere (musl, macOS) nothing is done, and nothing needs to be."""

import ctypes

_M_ARENA_MAX = -8  # these as in mallopt(3)
_M_MMAP_THRESHOLD = -3
_M_TOP_PAD = -2
_M_TRIM_THRESHOLD = -1
_MIB = 1 << 20
_LIBC = ctypes.CDLL(None)


def in_one_heap() -> None:
    """Let all threads share one heap that is changed seldom; to be called before there are any.

    `give_back` reaches the end of the main heap only, and that is where argon2's block of 19 MiB lies between two
    hashes. The heap's lock costs nothing here: Python's own lets one thread at a time in.

    glibc would give back the end of the heap after each request, and ask for it again in the next one. Whoever changes
    what is mapped waits while a hash has its memory mapped, for milliseconds (docs/decisions/0029).
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, 1)
        _LIBC.mallopt(_M_MMAP_THRESHOLD, 32 * _MIB)
        _LIBC.mallopt(_M_TRIM_THRESHOLD, 64 * _MIB)
        _LIBC.mallopt(_M_TOP_PAD, _MIB)


def give_back() -> None:
    """Return whole free pages to the system, by a millisecond or two; what is in use stays where it is."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
