"""What glibc holds on to after it was freed. Elsewhere (musl, macOS) nothing is done, and nothing needs to be."""

import ctypes

_M_ARENA_MAX = -8  # mallopt(3)
_LIBC = ctypes.CDLL(None)


def in_one_heap() -> None:
    """Let all threads share one heap; to be called before there are any.

    `give_back` reaches the end of the main heap only, and that is where argon2's block of 19 MiB lies between two
    hashes. The heap's lock costs nothing here: Python's own lets one thread at a time in.
    """
    if hasattr(_LIBC, "mallopt"):
        _LIBC.mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Return whole free pages to the system, by a millisecond or two; what is in use stays where it is."""
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
