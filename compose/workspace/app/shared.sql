CREATE ROLE canary LOGIN CONNECTION LIMIT 8;

CREATE ROLE pod_17 LOGIN CONNECTION LIMIT 8;

CREATE ROLE pod_18 LOGIN CONNECTION LIMIT 8;

CREATE ROLE migration LOGIN CONNECTION LIMIT 4;

CREATE TABLE connections (pod text, agent text, gateway_session text NOT NULL, since timestamptz NOT NULL DEFAULT now(), accepted int NOT NULL DEFAULT 0, PRIMARY KEY (pod, agent));

INSERT INTO connections SELECT pod, 'agent-' || lpad(n::text, 2, '0'), md5(pod || n) FROM (VALUES ('canary'), ('pod-17'), ('pod-18')) AS pods (pod), generate_series(0, 11) AS n;

CREATE TABLE subscriptions (chat text PRIMARY KEY, pod text NOT NULL, agent text NOT NULL, topic text NOT NULL, created timestamptz NOT NULL DEFAULT now(), moved boolean NOT NULL DEFAULT false);

INSERT INTO subscriptions SELECT pod || '/' || n, pod, 'agent-' || lpad((n % 12)::text, 2, '0'), 'chat', now() - interval '1 day' FROM (VALUES ('canary'), ('pod-17'), ('pod-18')) AS pods (pod), generate_series(1, 2400) AS n;

CREATE INDEX subscriptions_pod ON subscriptions (pod, chat);

CREATE TABLE customers (ticket text PRIMARY KEY, pod text NOT NULL, subscribed timestamptz NOT NULL DEFAULT now());

CREATE SEQUENCE ticket_numbers START 1000 CACHE 1;

GRANT ALL ON ALL TABLES IN SCHEMA public TO canary, pod_17, pod_18, migration;

GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO canary, pod_17, pod_18, migration;

VACUUM ANALYZE
