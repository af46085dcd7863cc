CREATE TABLE chats (id text PRIMARY KEY, agent text NOT NULL, began timestamptz NOT NULL DEFAULT now());

CREATE TABLE tickets (number bigint PRIMARY KEY, opened timestamptz NOT NULL DEFAULT now());

CREATE TABLE subscriptions (chat text NOT NULL, agent text NOT NULL, topic text NOT NULL, created timestamptz NOT NULL DEFAULT now(), copied boolean NOT NULL DEFAULT false, closed boolean NOT NULL DEFAULT false);

INSERT INTO subscriptions SELECT 'closed/' || n, 'agent-' || lpad((n % 12)::text, 2, '0'), 'chat', now() - interval '9 days', false, true FROM generate_series(1, 260000) AS n;

CREATE INDEX subscriptions_chat ON subscriptions (lower(chat));

CREATE INDEX subscriptions_young ON subscriptions (created) WHERE NOT closed AND NOT copied;

CREATE INDEX subscriptions_copied ON subscriptions (copied) WHERE copied;

CREATE ROLE service LOGIN;

GRANT ALL ON ALL TABLES IN SCHEMA public TO service;

VACUUM ANALYZE
