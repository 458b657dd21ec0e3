"""Who a holder really is: submitted, asked of providers, reviewed by staff, and what invoices rest on."""

from dataclasses import dataclass

from app.api.wiring.shared import Shared
from app.services.invoicing import InvoicingGate
from app.services.real_name import RealNameService
from app.services.real_name_review import RealNameReviews
from app.workers.real_name import RealNameWorker


@dataclass(frozen=True, kw_only=True)
class ForRealNames:
    invoicing: InvoicingGate
    real_name: RealNameService
    real_name_worker: RealNameWorker
    reviews: RealNameReviews


def for_real_names(shared: Shared) -> ForRealNames:
    uow, box, budgets, effects = shared.uow, shared.box, shared.budgets, shared.real_name_effects
    providers = shared.gateways.real_name_providers
    return ForRealNames(
        invoicing=InvoicingGate(uow, box=box),
        real_name=RealNameService(uow, secret=shared.secret, box=box, budgets=budgets, effects=effects),
        real_name_worker=RealNameWorker(uow, providers=providers, box=box, budgets=budgets, effects=effects),
        reviews=RealNameReviews(uow, box=box, effects=effects),
    )
