"""All that handlers and commands are given."""

from dataclasses import dataclass

from app.api.wiring.for_clients import ForClients
from app.api.wiring.for_clouds import ForClouds
from app.api.wiring.for_holders import ForHolders
from app.api.wiring.for_operators import ForOperators
from app.api.wiring.for_real_names import ForRealNames
from app.api.wiring.gateways import Gateways
from app.core.config import Settings
from app.workers.runner import Runner


@dataclass(frozen=True, kw_only=True)
class Container(ForHolders, ForClients, ForClouds, ForRealNames, ForOperators, Gateways):
    """What a process is made of. Services keep nothing between calls; one of each serves all requests."""

    settings: Settings
    runner: Runner

    async def close(self) -> None:
        self.hasher.close()
        await super().close()
