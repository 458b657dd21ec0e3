"""Rules of the house that neither ruff nor import-linter can see."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.core.config import Settings
from app.main import create_app

APP = Path(__file__).parents[1] / "app"
TRANSACTION = APP / "repositories" / "transaction.py"
HANDLER_LINES = 8


def test_only_the_transaction_commits_or_rolls_back() -> None:
    """One place decides what is one transaction; a commit anywhere else would cut a rule in two."""
    calls = [
        f"{path.relative_to(APP)}:{node.lineno}"
        for path in APP.rglob("*.py")
        if path != TRANSACTION
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"commit", "rollback"}
    ]

    assert calls == []


def test_a_handler_is_a_sentence() -> None:
    """What is longer has a rule in it, and rules live in services."""
    long = [
        f"{path.relative_to(APP)}:{function.lineno} {function.name} has {lines} lines"
        for path in (APP / "api" / "routers").rglob("*.py")
        for function in functions(path)
        if (lines := body_lines(function)) > HANDLER_LINES
    ]

    assert long == []


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From the first statement to the last, the docstring aside."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not statements:
        return 0
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1


def test_nothing_that_a_route_depends_on_runs_in_a_thread() -> None:
    """FastAPI runs a plain function in its thread pool: dear, and one of forty for everybody."""
    routes = [route for route in create_app(Settings()).routes if isinstance(route, APIRoute)]
    assert len(routes) > 80
    for route in routes:
        for part in parts_of(route.dependant):
            assert part.call is None or is_coroutine(part.call), f"{route.path}: {part.call}"


def is_coroutine(call: object) -> bool:
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(getattr(call, "__call__", None))  # noqa: B004


def parts_of(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(part for one in dependant.dependencies for part in parts_of(one))]
