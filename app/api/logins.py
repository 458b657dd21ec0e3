"""Which way to log in a body asks for."""

from app.api.schemas.sessions import CodeLoginIn, LoginIn, PasswordLoginIn
from app.core.callers import Origin
from app.models.sessions import Delivery
from app.services.access import Grant
from app.services.sessions import SessionService


async def log_in(sessions: SessionService, body: LoginIn, origin: Origin) -> Grant:
    """The grant of the method that the body names."""
    delivery = Delivery(body.refresh_token_delivery)
    if isinstance(body, PasswordLoginIn):
        return await sessions.log_in_by_password(
            identifier=body.identifier, password=body.password, delivery=delivery, origin=origin
        )
    if isinstance(body, CodeLoginIn):
        return await sessions.log_in_by_code(
            challenge_id=body.challenge_id, code=body.code, delivery=delivery, origin=origin
        )
    return await sessions.log_in_by_ticket(ticket=body.ticket, delivery=delivery, origin=origin)
