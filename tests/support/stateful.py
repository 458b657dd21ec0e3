"""State machines against the service: Hypothesis calls in its own thread, the service answers in the test's loop."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

Run = Callable[[Coroutine[Any, Any, Any]], Any]


async def play(machine: Callable[[Run], Any], *, examples: int) -> None:
    """Any order of its rules, 25 steps at a time; the same ones in each run."""
    loop = asyncio.get_running_loop()

    def run(call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, loop).result()

    begin: Any = lambda: machine(run)  # noqa: E731
    await asyncio.to_thread(
        run_state_machine_as_test,
        begin,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
