"""The database as it was the evening before, as SQL: tables, and the shops with their passwords, tokens and phones.

A phone keeps its session: `sha256("phone of NAME")`, the first 32 digits.
"""

import hashlib

from network_parts import token_for

SHOPS = 40
HOSTS = 4
YEARS = 20 * 365 * 86_400.0
"""The image may be older than a token of today lives."""

print(
    """
CREATE TABLE accounts (
    name text PRIMARY KEY, plan text NOT NULL, host text NOT NULL, token text, salt bytea, password bytea, newest bigint
);
CREATE TABLE sessions (session text PRIMARY KEY, account text NOT NULL REFERENCES accounts);
CREATE TABLE messages (account text NOT NULL, number bigint NOT NULL, text text NOT NULL);
CREATE INDEX messages_newest ON messages (account, number);
CREATE UNIQUE INDEX messages_once ON messages (account, number);
CREATE TABLE replies (id text PRIMARY KEY, account text NOT NULL, text text NOT NULL, sent timestamptz);
CREATE TABLE histories (id text PRIMARY KEY, account text NOT NULL, asked double precision NOT NULL, arrived double precision);
"""
)
for number in range(SHOPS):
    name = f"shop-{number:02d}"
    plan = "paid" if number // HOSTS % 3 == 0 else "free"  # as many on each host
    salt = hashlib.sha256(name.encode()).digest()[:16]
    key = hashlib.scrypt(f"password of {name}".encode(), salt=salt, n=1 << 14, r=8, p=1)
    session = hashlib.sha256(f"phone of {name}".encode()).hexdigest()[:32]
    print(
        f"INSERT INTO accounts VALUES ('{name}', '{plan}', 'host-{1 + number % HOSTS}', '{token_for(name, YEARS)}', "
        f"'\\x{salt.hex()}', '\\x{key.hex()}');"
    )
    print(f"INSERT INTO sessions VALUES ('{session}', '{name}');")
