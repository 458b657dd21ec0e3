"""The statements of `core`, made once."""

from sqlalchemy import BigInteger, LargeBinary, String, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

# The caller's client may act: joined to every look-up, as in the service.
_SERVES = """
    JOIN service_clients sc ON sc.id = :client AND sc.disabled_at IS NULL
    JOIN client_secrets cs ON cs.id = :secret AND cs.client_id = sc.id AND cs.revoked_at IS NULL
"""
_BY_CLIENT = (bindparam("client", type_=Uuid()), bindparam("secret", type_=Uuid()))

BY_EMAIL = text("SELECT id, locale FROM accounts WHERE email_key = :email AND status <> 'closed'")
CHARGE = text("""
    INSERT INTO budgets (key, used, expires_at) SELECT key, 1, now() + interval '1 day' FROM unnest(:keys) AS key
    ON CONFLICT (key) DO UPDATE SET
        used = CASE WHEN budgets.expires_at <= now() THEN 1 ELSE budgets.used + 1 END,
        expires_at = CASE WHEN budgets.expires_at <= now() THEN excluded.expires_at ELSE budgets.expires_at END
    RETURNING key, used, expires_at
""").bindparams(bindparam("keys", type_=ARRAY(LargeBinary())))
WRITE_CODE = text("""
    WITH challenge AS (
        INSERT INTO challenges (id, purpose, lane, slot, account_id, channel, target, code_mac, code_sent_at,
            code_expires_at, code_tries, tries, sends, created_at, expires_at)
        VALUES (:id, 'login', 'open', :slot, :account, 'email', :target, :mac, now(), now() + interval '10 minutes',
            0, 0, 1, now(), now() + interval '30 minutes')
    )
    INSERT INTO outbox_messages ("id", "channel", "to", "template", "locale", "params", "sealed", "state", "attempts",
        "due_at", "created_at", "expires_at")
    VALUES (:message, 'email', :target, 'login_code', 'en', CAST(:params AS jsonb), :sealed, 'queued', 0,
        now() + interval '1 year', now(), now() + interval '10 minutes')
""").bindparams(
    bindparam("id", type_=Uuid()),
    bindparam("account", type_=Uuid()),
    bindparam("message", type_=Uuid()),
    bindparam("slot", type_=LargeBinary()),
    bindparam("mac", type_=LargeBinary()),
    bindparam("sealed", type_=LargeBinary()),
    bindparam("target", type_=String()),
    bindparam("params", type_=String()),
)
COUNT_GUESS = text("""
    UPDATE challenges SET tries = tries + 1, code_tries = code_tries + 1
    WHERE id = :id AND closed_at IS NULL AND code_expires_at > now() AND code_tries < 5 AND tries < 10
    RETURNING code_mac
""").bindparams(bindparam("id", type_=Uuid()))
USE_CODE = text("""
    UPDATE challenges SET closed_at = now() WHERE id = :id AND code_mac = :mac AND closed_at IS NULL
    RETURNING account_id, (SELECT status FROM accounts WHERE accounts.id = challenges.account_id) AS status
""").bindparams(bindparam("id", type_=Uuid()), bindparam("mac", type_=LargeBinary()))
OPEN_SESSION = text("""
    INSERT INTO sessions (id, account_id, method, delivery, ip, auth_time, last_used_at, expires_at, final_at,
        refresh_hash)
    VALUES (:id, :account, 'code', 'body', :ip, now(), now(), now() + interval '14 days', now() + interval '90 days',
        :hash)
""").bindparams(
    bindparam("id", type_=Uuid()), bindparam("account", type_=Uuid()), bindparam("hash", type_=LargeBinary())
)
RECORD = text("""
    INSERT INTO activity (id, account_id, action, actor, session_id, ip, new_value, created_at)
    VALUES (:id, :account, 'session.started', 'holder', :session, :ip, 'code', now())
""").bindparams(bindparam("id", type_=Uuid()), bindparam("account", type_=Uuid()), bindparam("session", type_=Uuid()))
SETTLEMENTS = text(f"""
    SELECT w.id, w.account_id, w.site, w.name, w.created_at, w.dissolved_at, s.id AS settlement_id, s.method,
        s.cloud_account_id, s.cause, s.effective_from, s.lock_ends_at,
        coalesce(n.effective_from, w.dissolved_at) AS effective_to,
        c.provider, c.status, c.account_number, c.instance_id, c.product
    FROM workspaces w
    JOIN settlements s ON s.workspace_id = w.id AND s.effective_from = w.settled_from
    LEFT JOIN settlements n ON n.workspace_id = s.workspace_id AND n.follows = s.effective_from
    LEFT JOIN cloud_accounts c ON c.id = s.cloud_account_id
    {_SERVES}
    WHERE w.id = ANY(:workspaces) AND w.dissolved_at IS NULL
""").bindparams(*_BY_CLIENT, bindparam("workspaces", type_=ARRAY(String())))  # noqa: S608 - constants of this file
ACCOUNTS = text(f"""
    SELECT a.id, a.username, a.email, a.phone, a.status, a.real_name_status, a.arbitrary_settlement, a.company_name,
        a.industry, a.region, a.contact_name, a.locale, a.time_zone, a.created_at, a.updated_at, a.closed_at
    FROM accounts a
    {_SERVES}
    WHERE a.id = ANY(:accounts)
""").bindparams(*_BY_CLIENT, bindparam("accounts", type_=ARRAY(Uuid())))  # noqa: S608
INVOICING = text(f"""
    SELECT a.id, a.status, r.id AS submission_id, r.type, r.status AS submission_status, r.sealed, r.decided_at
    FROM accounts a
    {_SERVES}
    LEFT JOIN real_name_submissions r ON r.id = (
        SELECT x.id FROM real_name_submissions x WHERE x.account_id = a.id
        ORDER BY CASE WHEN x.status = 'verified' AND x.superseded_at IS NULL THEN 0
            WHEN x.status = 'pending' THEN 1 ELSE 2 END, x.id DESC
        LIMIT 1
    )
    WHERE a.id = :account
""").bindparams(*_BY_CLIENT, bindparam("account", type_=Uuid()))  # noqa: S608
_EVENTS = text(f"""
    SELECT e.position, e.id, e.type, e.subject, e.data, e.created_at
    FROM events e
    {_SERVES}
    WHERE e.position > :after ORDER BY e.position LIMIT 100
""").bindparams(*_BY_CLIENT, bindparam("after", type_=BigInteger()))  # noqa: S608
EVENTS = _EVENTS.columns(data=JSONB)
