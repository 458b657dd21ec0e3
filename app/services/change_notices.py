"""What the trail and both contacts are told of a credential change."""

from collections.abc import Iterable
from uuid import UUID

from app.core import masking
from app.core.callers import Origin
from app.models.accounts import Account
from app.models.activity import Action, Actor
from app.models.credentials import CredentialChange
from app.repositories.unit_of_work import Work
from app.services.activity import record
from app.services.notices import Contact, Notices

NO_CONTACT = "—"  # shown where a phone was added and there was none before


class ChangeNotices:
    """Names the values masked. Only the old contact gets a token: it undoes, or cancels what waits."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    def record(
        self,
        uow: Work,
        action: Action,
        change: CredentialChange,
        origin: Origin | None,
        *,
        session_id: UUID | None,
        undone: bool = False,
    ) -> None:
        """Write it into the trail. No origin: nobody called, the service did it."""
        old, new = masking.contact(change.old_value), masking.contact(change.new_value)
        record(
            uow,
            action,
            change.account_id,
            origin=origin,
            session_id=session_id,
            actor=Actor.HOLDER if origin else Actor.SYSTEM,
            old=new if undone else old,
            new=old if undone else new,
        )

    def cancelled(
        self,
        uow: Work,
        account: Account,
        change: CredentialChange,
        *,
        origin: Origin | None,
        session_id: UUID | None,
    ) -> None:
        """A change came to nothing: the trail says so (and who did it), and the old contact if it was told to wait."""
        self.record(uow, Action.CHANGE_CANCELLED, change, origin, session_id=session_id)
        if change.effective_at is not None:  # it waited
            self.tell_old(uow, account, change, "credential_change_cancelled", {})

    async def waiting_cancelled(self, uow: Work, changes: Iterable[CredentialChange]) -> None:
        """These waited, and something else ended them: a moved credential, the end of their session."""
        for change in changes:
            account = await uow.accounts.get_one(change.account_id)
            self.cancelled(uow, account, change, origin=None, session_id=None)

    def tell_old(
        self,
        uow: Work,
        account: Account,
        change: CredentialChange,
        template: str,
        params: dict[str, str],
        *,
        token: str | None = None,
    ) -> None:
        """To the old contact; to the email where a phone was added and there is no old one."""
        secrets = {"token": token, "link": self._notices.undo_link(token)} if token else None
        contact = Contact.of(change.old_value or account.email)
        self._notices.write(uow, contact, template, account.locale, _named(change) | params, secrets=secrets)

    def tell_new(self, uow: Work, account: Account, change: CredentialChange, template: str) -> None:
        self._notices.write(uow, Contact.of(str(change.new_value)), template, account.locale, _named(change))


def _named(change: CredentialChange) -> dict[str, str]:
    return {
        "credential": change.credential,
        "old": masking.contact(change.old_value) or NO_CONTACT,
        "new": masking.contact(change.new_value) or NO_CONTACT,
    }
