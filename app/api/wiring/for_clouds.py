"""What comes from cloud marketplaces, and how workspaces are paid for."""

from dataclasses import dataclass
from datetime import timedelta

from app.api.wiring.shared import Shared
from app.services.claims import ClaimService
from app.services.cloud_accounts import CloudAccountService
from app.services.intake import Intake
from app.services.marketplace import MarketplaceService
from app.services.ownership import Ownership
from app.services.recurrence import Recurrence
from app.services.settlement import SettlementService
from app.services.subscriptions import Subscriptions
from app.services.workspaces import WorkspaceService
from app.workers.marketplace import MarketplaceWorker


@dataclass(frozen=True, kw_only=True)
class ForClouds:
    claims: ClaimService
    cloud_accounts: CloudAccountService
    marketplace: MarketplaceService
    marketplace_worker: MarketplaceWorker
    settlement: SettlementService
    workspaces: WorkspaceService


def for_clouds(shared: Shared) -> ForClouds:
    uow, effects, providers = shared.uow, shared.settlement_effects, shared.gateways.marketplaces
    subscriptions = Subscriptions(uow, settlement=effects)
    intake = Intake(uow, subscriptions=subscriptions, recurrence=Recurrence(uow, subscriptions=subscriptions))
    ownership = Ownership(shared.notices, settlement=effects)
    return ForClouds(
        claims=ClaimService(uow, codes=shared.codes, verification=shared.verification, ownership=ownership),
        cloud_accounts=CloudAccountService(
            uow, providers=providers, intake=intake, ownership=ownership, budgets=shared.budgets
        ),
        marketplace=MarketplaceService(
            uow,
            providers=providers,
            intake=intake,
            claim_life=timedelta(hours=shared.settings.marketplace_claim_hours),
        ),
        marketplace_worker=MarketplaceWorker(uow, providers=providers, intake=intake),
        settlement=SettlementService(uow, lookups=shared.lookups, effects=effects),
        workspaces=WorkspaceService(uow, settlement=effects),
    )
