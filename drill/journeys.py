"""What customers do, from the registration to the settlement of a workspace, each with an account of their own."""

import asyncio
import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from app.core.documents import credit_check
from drill.client import Answer, Caller, GaveUp, ServiceCaller, Surprise, Traffic
from drill.ledger import Kind, Ledger
from drill.service import MARKET_KEY, MARKET_PRODUCT
from drill.sinks import Mailbox

_numbers = itertools.count(1)


@dataclass(frozen=True)
class World:
    """What all journeys share. `patience` in seconds for one call, `code_within` for a code to arrive."""

    base: str
    traffic: Traffic
    ledger: Ledger
    mailbox: Mailbox
    service: ServiceCaller
    patience: float
    code_within: float
    pause: float  # seconds between two steps, on average


@dataclass
class Holder:
    number: int
    password: str = "correct horse battery staple"
    account_id: str = ""
    token: str = ""
    refresh_token: str = ""
    email: str = ""
    edits: int = 0
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def username(self) -> str:
        return f"drill{self.number}"


class Customer:
    """One customer's life. `live` goes through it once, to the step in which `is_over` comes true."""

    def __init__(self, world: World, is_over: Callable[[], bool]) -> None:
        self._world = world
        self._is_over = is_over
        self._ledger = world.ledger
        number = next(_numbers)
        self.me = Holder(number, email=f"drill{number}@example.com")
        address = f"127.{1 + number // 60_000}.{number // 250 % 240}.{1 + number % 250}"
        self._caller = Caller(world.base, world.traffic, patience=world.patience, address=address)

    async def live(self) -> None:
        steps = [
            self.log_in, self.edit_profile, self.log_in_by_code, self.add_phone, self.refresh, self.edit_profile,
            self.change_email, self.change_password, self.prove_name, self.settle, self.order_account,
            self.use_ticket, self.edit_profile, self.refresh,
        ]  # fmt: skip
        try:
            await self.register()
            for step in steps:
                await self._rest()
                if self._is_over():
                    break
                await step()
        except GaveUp as gave_up:  # what was under way stands in the ledger as doubtful
            self._ledger.given_up.append(gave_up.what)
        except Surprise as surprise:
            self._ledger.surprises.append(f"{self.me.username}: {surprise}")
        finally:
            await self._caller.close()

    # Registration and logins

    async def register(self) -> None:
        me = self.me
        body = {"username": me.username, "email": me.email, "company_name": "Drill Ltd.", "password": me.password}
        seen = self._world.mailbox.seen(me.email)
        started = (await self._post("/v1/registrations", body)).expect(202)
        path = f"/v1/registrations/{started.body['id']}/confirm"
        try:
            done = await self._prove(
                path, me.email, seen, route="/v1/registrations/{id}/confirm", refresh_token_delivery="body"
            )
        except GaveUp:
            self._ledger.doubt(Kind.ACCOUNT, me.username)
            raise
        if done.status != 201 and done.doubts:  # the answer was lost: does the account exist?
            await self.log_in()
            self._ledger.acknowledge(Kind.ACCOUNT, me.username, me.account_id)
            return
        self._begin(done.expect(201))
        self._ledger.acknowledge(Kind.ACCOUNT, me.username, me.account_id)
        self._ledger.acknowledge(Kind.SESSION, me.account_id, done.body["session_id"], spare=done.doubts)

    async def log_in(self) -> None:
        await self._log_in({"method": "password", "identifier": self.me.username, "password": self.me.password})

    async def log_in_by_code(self) -> None:
        seen = self._world.mailbox.seen(self.me.email)
        asked = (await self._post("/v1/login-codes", {"identifier": self.me.username})).expect(202)
        body = {"method": "code", "challenge_id": asked.body["challenge_id"]}
        for _ in range(3):
            code = await self._code(self.me.email, seen)
            seen = self._world.mailbox.seen(self.me.email)
            if await self._log_in({**body, "code": code}):
                return
        raise Surprise("no code was the right one")

    async def _log_in(self, body: dict[str, str]) -> bool:
        """False when the code is an older one: where an answer was lost a second one is on its way."""
        answer = await self._caller.call("POST", "/v1/sessions", json={**body, "refresh_token_delivery": "body"})
        if answer.code == "wrong_code":
            return False
        if answer.status != 201 and answer.doubts and body["method"] != "password":
            # The code or ticket was taken and the answer lost. There may be a session that nobody has.
            self._ledger.acknowledge(Kind.SESSION, self.me.account_id, spare=1)
            await self.log_in()
            return True
        self._begin(answer.expect(201))
        self._ledger.acknowledge(Kind.SESSION, self.me.account_id, answer.body["session_id"], spare=answer.doubts)
        return True

    async def refresh(self) -> None:
        body = {"refresh_token": self.me.refresh_token}
        answer = await self._caller.call("POST", "/v1/sessions/refresh", json=body)
        if answer.status == 401 and answer.doubts:  # the grace for a lost answer was over
            await self.log_in()
            return
        self.me.token = answer.expect(200).body["access_token"]
        self.me.refresh_token = answer.body["refresh_token"]

    def _begin(self, answer: Answer) -> None:
        self.me.account_id, self.me.token = answer.body["account_id"], answer.body["access_token"]
        self.me.refresh_token = answer.body["refresh_token"]

    # Profile and credentials

    async def edit_profile(self) -> None:
        me = self.me
        shown = (await self._mine("GET", "/v1/account/profile")).expect(200)
        me.edits += 1
        name = f"Person {me.edits}"
        headers = {"If-Match": shown.headers["etag"]}
        try:
            answer = await self._mine("PATCH", "/v1/account/profile", json={"contact_name": name}, headers=headers)
        except GaveUp:
            self._ledger.doubt(Kind.PROFILE, me.account_id, name)
            raise
        if answer.status == 412 and answer.doubts:  # a lost answer: our own edit, or nobody's
            answer = (await self._mine("GET", "/v1/account/profile")).expect(200)
            if answer.body["contact_name"] != name:
                raise Surprise(f"an edit of {shown.headers['etag']} met {answer.body}")
        answer.expect(200)
        self._ledger.acknowledge(Kind.PROFILE, me.account_id, name)

    async def add_phone(self) -> None:
        # 139 numbers of mainland China, one for each customer
        await self._change("phone", f"+86139{self.me.number:08}", Kind.PHONE)

    async def change_email(self) -> None:
        new = f"drill{self.me.number}@example.org"
        await self._change("email", new, Kind.EMAIL)
        self.me.email = new

    async def _change(self, credential: str, value: str, kind: Kind) -> None:
        me, mailbox, base = self.me, self._world.mailbox, "/v1/account/credential-changes"
        seen = mailbox.seen(me.email)
        started = await self._post(base, {"credential": credential}, mine=True)
        if started.status == 409 and started.doubts:  # change_open: the one whose answer was lost
            listed = (await self._mine("GET", "/v1/account")).expect(200).body["credential_changes"]
            change = next(one["id"] for one in listed if one["credential"] == credential)
        else:
            change = started.expect(201).body["id"]
        path, route = f"{base}/{change}", f"{base}/{{id}}"
        await self._proven(path, route, "verify-current", me.email, seen, state="propose")
        seen = mailbox.seen(value)
        put = await self._mine("PUT", f"{path}/new-value", route=f"{route}/new-value", json={"value": value})
        if not (put.status == 409 and put.doubts):
            put.expect(200)
        try:
            await self._proven(path, route, "confirm", value, seen, state="completed")
        except GaveUp:
            self._ledger.doubt(kind, me.account_id, value)
            raise
        self._ledger.acknowledge(kind, me.account_id, value)

    async def _proven(self, path: str, route: str, step: str, contact: str, seen: int, *, state: str) -> None:
        answer = await self._prove(f"{path}/{step}", contact, seen, route=f"{route}/{step}", mine=True)
        if answer.status != 200 and answer.doubts:
            answer = await self._mine("GET", path, route=route)
        if answer.expect(200).body["state"] != state:
            raise Surprise(f"{step}: {answer.body}")

    async def change_password(self) -> None:
        me, new = self.me, f"trombone giraffe {uuid4().hex}"
        body = {"current_password": me.password, "new_password": new}
        try:
            answer = await self._mine("PUT", "/v1/account/password", json=body)
        except GaveUp:
            self._ledger.doubt(Kind.PASSWORD, me.account_id, new)
            raise
        me.password = new
        if answer.status != 204 and answer.doubts:
            await self.log_in()  # with the new one, or it was not taken: then this is a surprise
        else:
            answer.expect(204)
        self._ledger.acknowledge(Kind.PASSWORD, me.account_id, new)
        await self.log_in()

    # What the account is for

    async def prove_name(self) -> None:
        me, path = self.me, "/v1/account/real-name/submissions"
        places = f"91350100M{me.number:08}"
        body = {
            "type": "enterprise",
            "name": f"Drill {me.number}",
            "registration_number": places + credit_check(places),
        }
        try:
            answer = await self._post(path, body, mine=True)
        except GaveUp:
            self._ledger.doubt(Kind.SUBMISSION, me.account_id)
            raise
        if answer.status == 409 and answer.doubts:
            submission = (await self._mine("GET", "/v1/account/real-name")).expect(200).body["latest"]["id"]
        else:
            submission = answer.expect(201).body["id"]
        self._ledger.acknowledge(Kind.SUBMISSION, me.account_id, submission)
        await self._decided(submission)

    async def _decided(self, submission: str) -> None:
        """Staff approves it as soon as the worker has laid it before them."""
        path, route = f"/real-name/submissions/{submission}/decision", "/real-name/submissions/{id}/decision"
        headers = {"Idempotency-Key": uuid4().hex, "X-Actor": "han.meimei", "X-Reason": "Drill"}
        await self._eventually_in_review()
        try:
            answer = await self._world.service.call(
                "POST", path, route=route, json={"decision": "approve"}, headers=headers
            )
        except GaveUp:
            self._ledger.doubt(Kind.DECISION, self.me.account_id, submission)
            raise
        if answer.status == 409 and answer.doubts:
            answer = await self._mine("GET", "/v1/account/real-name")
        if answer.expect(200).body["status"] != "verified":
            raise Surprise(f"decision: {answer.body}")
        self._ledger.acknowledge(Kind.DECISION, self.me.account_id, submission)

    async def _eventually_in_review(self) -> None:
        for _ in range(int(self._world.code_within)):
            shown = (await self._mine("GET", "/v1/account/real-name")).expect(200)
            if shown.body["latest"]["in_review"]:
                return
            await asyncio.sleep(1)
        raise Surprise("a submission never came before staff")

    async def settle(self) -> None:
        me, service = self.me, self._world.service
        workspace = f"wksp_{me.number:08}"
        body = {"account_id": me.account_id, "site": "cn1", "name": "Production"}
        try:
            put = await service.call("PUT", f"/workspaces/{workspace}", route="/workspaces/{id}", json=body)
        except GaveUp:
            self._ledger.doubt(Kind.WORKSPACE, workspace, me.account_id)
            raise
        put.expect(200, 201)
        self._ledger.acknowledge(Kind.WORKSPACE, workspace, me.account_id)
        cloud = await self._cloud_account()
        path = f"/v1/account/cloud-accounts/{cloud}/bindings"
        try:
            bound = await self._post(path, {"workspace_ids": [workspace]}, mine=True, route="…/{id}/bindings")
        except GaveUp:
            self._ledger.doubt(Kind.SETTLEMENT, workspace, cloud)
            raise
        if bound.expect(200).body["bindings"][0]["cloud_account_id"] != cloud:
            raise Surprise(f"bindings: {bound.body}")
        self._ledger.acknowledge(Kind.SETTLEMENT, workspace, cloud)

    async def _cloud_account(self) -> str:
        me, instance = self.me, f"9{self.me.number:08}"
        buyer = f"12345678{me.number:08}"
        told = {
            "action": "createInstance", "aliUid": buyer, "orderBizId": instance, "orderId": f"2{instance}",
            "productCode": MARKET_PRODUCT, "skuId": f"{MARKET_PRODUCT}-postpay", "trial": "false",
        }  # fmt: skip
        await self._told(told)
        body = {"provider": "alibaba", "account_id": buyer, "instance_id": instance}
        try:
            added = await self._post("/v1/account/cloud-accounts", body, mine=True)
        except GaveUp:
            self._ledger.doubt(Kind.CLOUD_ACCOUNT, me.account_id)
            raise
        cloud = str(added.expect(201).body["id"])
        self._ledger.acknowledge(Kind.CLOUD_ACCOUNT, me.account_id, cloud)
        return cloud

    async def _told(self, told: dict[str, str]) -> None:
        """As Alibaba Cloud does: again, until the instance is named. "0" says that it is not there yet."""
        for _ in range(int(self._world.patience)):
            answer = await self._caller.call("GET", _signed(told), route="/marketplace/alibaba")
            if answer.expect(200).body.get("instanceId") == told["orderBizId"]:
                return
            await asyncio.sleep(1)
        raise Surprise(f"createInstance: {answer.body}")

    async def order_account(self) -> None:
        """Another service makes an account, and asks once more under the same key: the same answer."""
        name = f"ordered{self.me.number}"
        body = {"username": name, "email": f"{name}@example.com", "company_name": "Ordered Ltd.", "reference": name}
        headers = {"Idempotency-Key": uuid4().hex}
        made = []
        for _ in range(2):
            try:
                made.append(await self._world.service.call("POST", "/accounts", json=body, headers=headers))
            except GaveUp:
                self._ledger.doubt(Kind.REFERENCE, name)
                raise
        ids = {one.expect(200, 201).body["id"] for one in made}
        if len(ids) != 1:
            raise Surprise(f"one reference, two accounts: {ids}")
        self._ledger.acknowledge(Kind.REFERENCE, name, ids.pop())

    async def use_ticket(self) -> None:
        me = self.me
        body = {"account_id": me.account_id, "workspace_id": f"wksp_{me.number:08}", "actor": "hank"}
        headers = {"Idempotency-Key": uuid4().hex}
        ticket = await self._world.service.call("POST", "/login-tickets", json=body, headers=headers)
        self._ledger.acknowledge(Kind.TICKET, me.account_id, spare=ticket.doubts)
        await self._log_in({"method": "ticket", "ticket": ticket.expect(201).body["ticket"]})
        await self.log_in()  # as the holder: a ticket's session does not refresh

    # How

    async def _post(self, path: str, body: dict[str, Any], *, mine: bool = False, route: str | None = None) -> Answer:
        headers = {"Idempotency-Key": uuid4().hex}
        call = self._mine if mine else self._caller.call
        return await call("POST", path, route=route, json=body, headers=headers)

    async def _mine(self, method: str, path: str, **options: Any) -> Answer:
        """With the holder's token."""
        headers = options.pop("headers", {})
        for _ in range(2):
            auth = {"Authorization": f"Bearer {self.me.token}"}
            answer = await self._caller.call(method, path, headers={**headers, **auth}, **options)
            if answer.status != 401:
                break
            await self.log_in()
        return answer

    async def _prove(
        self, path: str, contact: str, seen: int, *, route: str, mine: bool = False, **members: Any
    ) -> Answer:
        """Send the code that came to the contact; the newest one when two were sent."""
        call, doubts = (self._mine if mine else self._caller.call), 0
        for _ in range(3):
            code = await self._code(contact, seen)
            answer = await call("POST", path, route=route, json={"code": code, **members})
            doubts += answer.doubts
            if answer.code != "wrong_code":
                break
            seen = self._world.mailbox.seen(contact)
        return Answer(answer.status, answer.headers, answer.body, doubts)

    async def _code(self, contact: str, seen: int) -> str:
        try:
            return await self._world.mailbox.code(contact, after=seen, within=self._world.code_within)
        except TimeoutError:
            raise Surprise(f"no code came to {contact}") from None

    async def _rest(self) -> None:
        await asyncio.sleep(self._world.pause * random.uniform(0.5, 1.5))


def _signed(parameters: dict[str, str]) -> str:
    text = "&".join(f"{name}={value}" for name, value in sorted(parameters.items()))
    token = hashlib.md5(f"{text}&key={MARKET_KEY}".encode(), usedforsecurity=False).hexdigest()
    return f"/marketplace/alibaba?{urlencode({**parameters, 'token': token})}"
