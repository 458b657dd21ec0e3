"""The surface of cloud marketplaces: each provider's own protocol, in none of our documents."""

from app.api.routers.marketplace import providers

ROUTERS = providers.ROUTERS
