-- A database of :n accounts as it lies after a year, what the worker cleans up being cleaned up.
-- Names, hashes and times are spread as the service spreads them; ids grow with time, as UUIDv7 do.
CREATE FUNCTION pg_temp.uid(space int, g bigint) RETURNS uuid LANGUAGE sql IMMUTABLE RETURN
  (lpad(to_hex(1759000000000 + g * 1000), 12, '0') || '7' || lpad(to_hex(space), 3, '0') || '8000' || lpad(to_hex(g), 12, '0'))::uuid;
CREATE FUNCTION pg_temp.mac(space int, g bigint) RETURNS bytea LANGUAGE sql IMMUTABLE RETURN
  sha256((space || ':' || g)::bytea);
CREATE FUNCTION pg_temp.since(span interval, g bigint) RETURNS timestamptz LANGUAGE sql STABLE RETURN
  now() - span * (1 - g::float8 / :n);
SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO service_clients (id, name, scopes, created_at)
  SELECT pg_temp.uid(1, g), 'client' || g, '["accounts:read"]', now() FROM generate_series(1, 20) g;
INSERT INTO client_secrets (id, client_id, secret_hash, created_at)
  SELECT pg_temp.uid(2, g), pg_temp.uid(1, g), pg_temp.mac(2, g), now() FROM generate_series(1, 20) g;
INSERT INTO webhook_endpoints (id, client_id, url, event_types, secret, status, position, created_at, updated_at)
  SELECT pg_temp.uid(3, g), pg_temp.uid(1, g), 'https://example.com/' || g, '[]', pg_temp.mac(3, g), 'active', :n, now(), now()
  FROM generate_series(1, 20) g;
INSERT INTO signing_keys (kid, sealed_pem, active_from, created_at)
  SELECT 'key' || g, pg_temp.mac(4, g), now(), now() FROM generate_series(1, 3) g;
INSERT INTO data_keys (id, sealed_secret, created_at)
  SELECT pg_temp.uid(4, g), pg_temp.mac(4, g), now() FROM generate_series(1, 3) g;

INSERT INTO accounts (id, username, username_key, email, email_key, phone, password_hash, password_revoked, password_changed_at,
    credentials_version, status, real_name_status, arbitrary_settlement, time_zone, profile_version, created_at, updated_at,
    closed_at, erase_at, company_name, industry, region, company_description, contact_name, locale)
  SELECT pg_temp.uid(16, g), 'Holder' || g, 'holder' || g, 'holder' || g || '@example.com', 'holder' || g || '@example.com',
    CASE WHEN g % 3 > 0 THEN '+86138' || lpad(g::text, 8, '0') END,
    '$argon2id$v=19$m=19456,t=2,p=1$' || encode(substr(pg_temp.mac(5, g), 1, 16), 'base64') || '$' || encode(pg_temp.mac(6, g), 'base64'),
    g % 1000 = 0, NULL, 1 + g % 3, CASE WHEN g % 50 = 0 THEN 'closed' WHEN g % 500 = 1 THEN 'suspended' ELSE 'active' END,
    (ARRAY['none', 'pending', 'verified', 'rejected'])[1 + g % 4], g % 1000 = 0, 'Asia/Shanghai', 1 + g % 5,
    pg_temp.since('365 days', g), pg_temp.since('365 days', g),
    CASE WHEN g % 50 = 0 THEN now() END, CASE WHEN g % 50 = 0 THEN now() + interval '180 days' * (g::float8 / :n) END,
    'Northwind Trading Company ' || g, 'I65', 'CN-31', NULL, 'Contact ' || g, CASE WHEN g % 4 = 0 THEN 'en' ELSE 'zh-CN' END
  FROM generate_series(1::bigint, :n) g;
INSERT INTO account_references (client_id, reference, account_id, fingerprint)
  SELECT pg_temp.uid(1, 1 + g % 5), 'order-' || g, pg_temp.uid(16, g), pg_temp.mac(7, g) FROM generate_series(1::bigint, :n) g;
INSERT INTO challenges (id, purpose, lane, slot, account_id, channel, target, code_mac, code_sent_at, code_expires_at, code_tries,
    tries, sends, created_at, expires_at, closed_at)
  SELECT pg_temp.uid(17, g), (ARRAY['login', 'register', 'password_reset', 'change_current', 'change_new'])[1 + g % 5], 'open',
    pg_temp.mac(8, g / 2), CASE WHEN g % 10 > 0 THEN pg_temp.uid(16, 1 + g % (:n / 2)) END, CASE WHEN g % 10 = 0 THEN 'none' WHEN g % 3 = 0 THEN 'sms' ELSE 'email' END,
    'holder' || g || '@example.com', pg_temp.mac(9, g), t, t + interval '10 minutes', g % 3, g % 4, 1, t, t + interval '30 minutes',
    CASE WHEN g < :n * 0.99 AND g % 2 = 0 OR g % 2 = 1 AND g < :n * 0.99 THEN t + interval '2 minutes' ELSE CASE WHEN g % 2 = 1 THEN t END END
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('30 days', g)) AS at(t);
INSERT INTO registrations (id, challenge_id, username, email, phone, password_hash, created_at, expires_at, company_name, locale)
  SELECT pg_temp.uid(18, g), pg_temp.uid(17, g), 'Holder' || g, 'holder' || g || '@example.com', NULL, repeat('x', 97),
    pg_temp.since('1 day', g), pg_temp.since('1 day', g) + interval '30 minutes', 'Northwind Trading', 'en' FROM generate_series(1::bigint, :n) g;
INSERT INTO sessions (id, account_id, method, delivery, ip, user_agent, auth_time, last_used_at, expires_at, final_at, ended_at,
    end_reason, refresh_hash, previous_hash, rotated_at, successor)
  SELECT pg_temp.uid(19, g), pg_temp.uid(16, 1 + (g * 7919) % (:n / 2)), 'password', 'cookie', '10.' || g % 256 || '.' || (g / 256) % 256 || '.' || (g / 65536) % 256,
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36', t, t, t + interval '14 days', t + interval '90 days',
    CASE WHEN g % 3 = 0 THEN t + interval '1 day' END, CASE WHEN g % 3 = 0 THEN 'logout' END, pg_temp.mac(10, g), pg_temp.mac(11, g), t, repeat('y', 76)::bytea
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('104 days', g)) AS at(t);
INSERT INTO login_tickets (ticket_hash, account_id, workspace_id, actor, client_id, created_at, expires_at, used_at)
  SELECT pg_temp.mac(12, g), pg_temp.uid(16, 1 + (g * 7919) % (:n / 2)), 'wksp_' || lpad(g::text, 20, '0'), 'service:client1', pg_temp.uid(1, 1),
    pg_temp.since('30 days', g), pg_temp.since('30 days', g) + interval '1 minute', pg_temp.since('30 days', g) FROM generate_series(1::bigint, :n) g;
INSERT INTO activity (id, account_id, action, actor, client_id, session_id, ip, user_agent, request_id, created_at)
  SELECT pg_temp.uid(20, g), CASE WHEN g < :n * 0.99 THEN pg_temp.uid(16, 1 + (g * 7919) % (:n / 5)) END, (ARRAY['session.started', 'session.failed', 'profile.edited', 'session.ended'])[1 + g % 4],
    'holder', NULL, pg_temp.uid(19, g), '10.0.' || g % 256 || '.1', 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36',
    encode(substr(pg_temp.mac(13, g), 1, 16), 'hex'), CASE WHEN g < :n * 0.99 THEN pg_temp.since('365 days', g) ELSE now() - interval '12 hours' END FROM generate_series(1::bigint, :n) g;
INSERT INTO budgets (key, used, expires_at)
  SELECT pg_temp.mac(14, g), 1 + g % 5, now() + interval '1 day' * (g::float8 / :n) FROM generate_series(1::bigint, :n) g;
INSERT INTO login_throttles (key, failures, next_at, expires_at)
  SELECT pg_temp.mac(15, g), 1 + g % 5, now(), now() + interval '1 day' * (g::float8 / :n) FROM generate_series(1::bigint, :n) g;
INSERT INTO idempotent_answers (key, fingerprint, status, headers, body, locked_until, expires_at)
  SELECT pg_temp.mac(16, g), pg_temp.mac(17, g), 201, '{"content-type": "application/json"}', repeat('b', 400)::bytea, now(), now() + interval '1 day' * (g::float8 / :n)
  FROM generate_series(1::bigint, :n) g;
INSERT INTO outbox_messages (id, channel, "to", template, locale, params, sealed, state, attempts, due_at, expires_at, created_at, finished_at)
  SELECT pg_temp.uid(21, g), CASE WHEN g % 3 = 0 THEN 'sms' ELSE 'email' END, 'holder' || g || '@example.com', 'login_code', 'zh-CN', '{"minutes": "10"}',
    NULL, CASE WHEN g > :n * 0.999 THEN 'queued' ELSE 'sent' END, 1, t, t + interval '10 minutes', t, CASE WHEN g <= :n * 0.999 THEN t END
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('30 days', g)) AS at(t);
INSERT INTO credential_changes (id, account_id, session_id, credential, proof, state, base_version, old_value, new_value, challenge_id,
    created_at, expires_at, proven_at, effective_at, completed_at, undo_hash, undo_expires_at)
  SELECT pg_temp.uid(22, g), pg_temp.uid(16, 1 + (g * 7919) % (:n / 2)), pg_temp.uid(19, g), CASE WHEN g % 3 = 0 THEN 'phone' ELSE 'email' END, 'current',
    CASE WHEN g > :n * 0.9999 THEN 'waiting' WHEN g > :n * 0.999 THEN 'verify_new' WHEN g % 5 = 0 THEN 'cancelled' ELSE 'completed' END, 1,
    'old' || g || '@example.com', 'new' || g || '@example.com', pg_temp.uid(17, g), t, t + interval '30 minutes', t,
    CASE WHEN g > :n * 0.9999 THEN t + interval '72 hours' END, CASE WHEN g <= :n * 0.999 AND g % 5 > 0 THEN t + interval '5 minutes' END, pg_temp.mac(18, g), t + interval '72 hours'
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('30 days', g)) AS at(t) WHERE g <= :n * 0.999 OR g % 3 > 0;
INSERT INTO events (id, position, type, subject, data, created_at)
  SELECT pg_temp.uid(23, g), CASE WHEN g <= :n - 20 THEN g END, (ARRAY['account.created', 'account.profile_updated', 'workspace.settlement_changed'])[1 + g % 3],
    'acct_' || encode(substr(pg_temp.mac(19, g), 1, 16), 'hex'), '{"account_id": "acct_0193a2b4c5d67e8f9a0b1c2d3e4f5a6b"}', pg_temp.since('90 days', g) FROM generate_series(1::bigint, :n) g;
UPDATE event_head SET last = :n - 20;
INSERT INTO webhook_deliveries (endpoint_id, position, state, attempts, due_at, finished_at)
  SELECT pg_temp.uid(3, 1 + g % 20), g, CASE WHEN g > :n * 0.999 THEN 'pending' ELSE 'delivered' END, 1, pg_temp.since('30 days', g),
    CASE WHEN g <= :n * 0.999 THEN pg_temp.since('30 days', g) END FROM generate_series(1::bigint, :n) g;
INSERT INTO webhook_attempts (id, endpoint_id, position, number, outcome, status, milliseconds, created_at)
  SELECT pg_temp.uid(24, g), pg_temp.uid(3, 1 + g % 20), g, 1, CASE WHEN g % 100 = 0 THEN 'retrying' ELSE 'delivered' END, 200, 12, pg_temp.since('30 days', g) FROM generate_series(1::bigint, :n) g;
INSERT INTO cloud_accounts (id, account_id, provider, account_number, instance_id, product, status, status_at, ask_at, asked, created_at, claimed_at)
  SELECT pg_temp.uid(25, g), CASE WHEN g % 20 > 0 THEN pg_temp.uid(16, 1 + (g * 7919) % (:n / 2)) END, (ARRAY['alibaba', 'huawei', 'aws'])[1 + g % 3], lpad(g::text, 16, '1'), 'instance' || g, 'cmgj00053362',
    (ARRAY['active', 'active', 'active', 'frozen', 'ended'])[1 + g % 5], now(), CASE WHEN g % 1000 = 0 THEN now() + interval '6 hours' * (g::float8 / :n) END, 0, pg_temp.since('365 days', g), now() FROM generate_series(1::bigint, :n) g;
INSERT INTO cloud_account_keys (provider, key, cloud_account_id, strong)
  SELECT (ARRAY['alibaba', 'huawei', 'aws'])[1 + g % 3], 'instance:' || encode(substr(pg_temp.mac(20, g), 1, 16), 'hex'), pg_temp.uid(25, g), true FROM generate_series(1::bigint, :n) g;
INSERT INTO cloud_account_keys (provider, key, cloud_account_id, strong)
  SELECT (ARRAY['alibaba', 'huawei', 'aws'])[1 + g % 3], 'buyer:' || lpad((g / 2)::text, 16, '1'), pg_temp.uid(25, g), false FROM generate_series(1::bigint, :n) g;
INSERT INTO cloud_notices (id, provider, channel, type, effect, strand, dedup, event_at, body, state, cloud_account_id, repeats, created_at, applied_at)
  SELECT pg_temp.uid(26, g), (ARRAY['alibaba', 'huawei', 'aws'])[1 + g % 3], 'spi', 'createInstance', (ARRAY['activated', 'changed', 'frozen', 'closed'])[1 + g % 4], 'instance' || g, pg_temp.mac(21, g), t,
    ('{"orderId": "order' || g || '", "instanceId": "' || g || '", "productCode": "cmgj00053362", "skuId": "cmgj00053362-postpay", "trial": "false"}')::jsonb,
    CASE WHEN g % 10000 = 1 THEN 'waiting' WHEN g % 20000 = 2 THEN 'ambiguous' WHEN g % 20 = 3 THEN 'ignored' ELSE 'applied' END,
    CASE WHEN g % 10000 = 1 OR g % 20 = 3 THEN NULL ELSE pg_temp.uid(25, 1 + (g * 7919) % (:n / 2)) END, 0, t, t
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('365 days', g)) AS at(t);
INSERT INTO cloud_notice_keys (notice_id, key, provider)
  SELECT pg_temp.uid(26, g), 'instance:' || encode(substr(pg_temp.mac(20, g), 1, 16), 'hex'), (ARRAY['alibaba', 'huawei', 'aws'])[1 + g % 3] FROM generate_series(1::bigint, :n) g;
INSERT INTO marketplace_nonces (nonce, expires_at)
  SELECT pg_temp.mac(22, g), now() + interval '5 minutes' * (g::float8 / :n) FROM generate_series(1::bigint, :n) g;
INSERT INTO marketplace_claims (token_hash, cloud_account_id, created_at, expires_at, used_at)
  SELECT pg_temp.mac(23, g), pg_temp.uid(25, g), t, t + interval '1 hour', CASE WHEN g % 10 > 0 THEN t END FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('30 days', g)) AS at(t);
INSERT INTO settlements (id, workspace_id, effective_from, follows, method, cloud_account_id, cause, lock_ends_at)
  SELECT pg_temp.uid(27, g), 'wksp_' || lpad(g::text, 20, '0'), now() - interval '300 days', NULL, 'billing_center', NULL, 'created', NULL FROM generate_series(1::bigint, :n) g;
INSERT INTO settlements (id, workspace_id, effective_from, follows, method, cloud_account_id, cause, lock_ends_at)
  SELECT pg_temp.uid(28, g), 'wksp_' || lpad(g::text, 20, '0'), now() - interval '100 days', now() - interval '300 days', 'cloud_account', pg_temp.uid(25, 1 + (g * 7919) % :n), 'chosen', NULL
  FROM generate_series(1::bigint, :n) g;
INSERT INTO settlements (id, workspace_id, effective_from, follows, method, cloud_account_id, cause, lock_ends_at)
  SELECT pg_temp.uid(29, g), 'wksp_' || lpad(g::text, 20, '0'), now() - interval '10 days', now() - interval '100 days', 'billing_center', NULL, CASE WHEN g % 1000 = 0 THEN 'locked' ELSE 'chosen' END,
    CASE WHEN g % 1000 = 0 THEN now() + interval '5 days' END FROM generate_series(1::bigint, :n, 2) g;
INSERT INTO workspaces (id, account_id, site, name, settled_from, created_at, updated_at, dissolved_at)
  SELECT 'wksp_' || lpad(g::text, 20, '0'), pg_temp.uid(16, 1 + (g * 7919) % (:n / 2)), 'cn1', 'Production ' || g, now() - interval '1 day' * CASE WHEN g % 2 = 1 THEN 10 ELSE 100 END,
    now() - interval '300 days', now(), CASE WHEN g % 50 = 0 THEN now() END FROM generate_series(1::bigint, :n) g;
INSERT INTO real_name_submissions (id, account_id, type, country, status, key_id, sealed, document_hash, holds_document, in_review, reason, attempts, due_at, created_at, decided_at, superseded_at, erase_at)
  SELECT pg_temp.uid(30, g), pg_temp.uid(16, g), CASE WHEN g % 4 = 0 THEN 'individual' ELSE 'enterprise' END, 'CN', s, pg_temp.uid(4, 1 + g % 3), CASE WHEN s <> 'cancelled' THEN repeat('s', 180)::bytea END,
    pg_temp.mac(24, g), s IN ('verified', 'pending'), s = 'pending' AND g % 2 = 0, CASE WHEN s = 'rejected' THEN 'mismatched' END, 1, t, t, t, NULL, CASE WHEN s = 'rejected' THEN now() + interval '30 days' * (g::float8 / :n) END
  FROM generate_series(1::bigint, :n) g, LATERAL (SELECT pg_temp.since('365 days', g)) AS at(t),
    LATERAL (SELECT CASE WHEN g % 1000 < 2 THEN 'pending' WHEN g % 20 = 3 THEN 'cancelled' WHEN g % 10 = 4 THEN 'rejected' ELSE 'verified' END) AS st(s);
INSERT INTO real_name_calls (id, submission_id, provider, outcome, detail, request_id, created_at, finished_at)
  SELECT pg_temp.uid(31, g), pg_temp.uid(30, g), 'alibaba', 'verified', NULL, encode(substr(pg_temp.mac(25, g), 1, 16), 'hex'), now(), now() FROM generate_series(1::bigint, :n) g;
INSERT INTO real_name_documents (document_hash, used)
  SELECT pg_temp.mac(24, g), 1 FROM generate_series(1::bigint, :n) g;
