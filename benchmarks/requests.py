"""Requests as they go over the wire."""

import json

from benchmarks.seed import address


def raw(method: str, path: str, *, token: str | None = None, body: object = None, number: int | None = None) -> bytes:
    """A request as it goes over the wire; `number` is of the account from whose address it comes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: account.example.com", "Accept: application/json"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if number is not None:
        lines.append(f"X-Forwarded-For: {address(number)}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content
