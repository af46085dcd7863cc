CREATE DATABASE tenant_a;
USE tenant_a;
CREATE TABLE mails (
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY,
    recipient VARCHAR(254) NOT NULL,
    template TEXT NOT NULL,
    fields TEXT NOT NULL,
    state ENUM('queued', 'rendering', 'sending', 'sent', 'aside', 'unsure', 'refused') NOT NULL DEFAULT 'queued',
    run VARCHAR(64) NOT NULL DEFAULT '',
    tried_by VARCHAR(20) NOT NULL DEFAULT '',
    accepted DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    sent DATETIME(3),
    KEY (state, id)
);
CREATE DATABASE tenant_b;
CREATE TABLE tenant_b.mails LIKE tenant_a.mails;
CREATE DATABASE tenant_c;
CREATE TABLE tenant_c.mails LIKE tenant_a.mails;
FLUSH PRIVILEGES;
CREATE USER 'tenant-a'@'%', 'tenant-b'@'%', 'tenant-c'@'%';
GRANT ALL ON tenant_a.* TO 'tenant-a'@'%';
GRANT ALL ON tenant_b.* TO 'tenant-b'@'%';
GRANT ALL ON tenant_c.* TO 'tenant-c'@'%';
