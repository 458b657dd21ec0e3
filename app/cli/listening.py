"""A port that several processes listen on, each with a socket of its own."""

from socket import SHUT_RD, SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET, socket

import uvicorn


def sockets(config: uvicorn.Config, count: int) -> list[socket]:
    """So many, bound to the address of the configuration; ends the process when somebody else has it.

    Linux spreads callers evenly among those that listen (SO_REUSEPORT, socket(7)). Processes that share one socket take
    what they can get: under load often one of them took every connection, and the others had nothing to do.
    """
    with config.bind_socket() as alone:  # shares with nobody, so that it fails where another server listens
        address, family = alone.getsockname(), alone.family
    return [_bound(family, address) for _ in range(count)]


def _bound(family: int, address: object) -> socket:
    made = socket(family)
    for option in (SO_REUSEADDR, SO_REUSEPORT):
        made.setsockopt(SOL_SOCKET, option, 1)
    made.bind(address)  # type: ignore[arg-type] # as the family has them
    made.set_inheritable(True)  # over exec, by the keeper and by what it starts
    return made


def refuse(listening: list[socket]) -> None:
    """Let the kernel lead new callers elsewhere from now on, whoever else still holds the sockets."""
    for one in listening:
        one.shutdown(SHUT_RD)
