-- Version 1. What lies here in the clear: account ids, UIDs, sizes, INTERNALDATE, system flags, gate and
-- queue states, amounts, times, payment hashes, CIDs. Columns marked `sealed` are ciphertext under the bridge
-- key, columns named `*_hash` are keyed hashes (see vault.rs). Contents and summaries arrive sealed to their owner.
-- Identifiers that leave the database are AUTOINCREMENT: a stale one never names something newer.

CREATE TABLE account(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name BLOB NOT NULL,                      -- sealed: local@domain
    identity BLOB NOT NULL,
    sealed_seed BLOB NOT NULL,               -- under the mailbox key
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    uid_validity_next INTEGER NOT NULL,
    requests_seen_at INTEGER NOT NULL DEFAULT 0,
    notice_at INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Who answers to an address: the account itself, or by an alias.
CREATE TABLE address(
    address_hash BLOB PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES account(id),
    alias INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX address_account ON address(account);

CREATE TABLE alias(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account(id),
    name BLOB NOT NULL,                      -- sealed: local@domain
    expires_at INTEGER,
    max_uses INTEGER,
    uses INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX alias_account ON alias(account);

CREATE TABLE credential(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account(id),
    kind TEXT NOT NULL,
    wrap_id TEXT NOT NULL,
    label BLOB NOT NULL,                     -- sealed
    wrap BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX credential_account ON credential(account);

CREATE TABLE contact(
    account INTEGER NOT NULL REFERENCES account(id),
    author_hash BLOB NOT NULL,
    name BLOB NOT NULL,                      -- sealed
    relation TEXT NOT NULL,
    demoted_from TEXT,                       -- what Junk took away, for the way back
    changed_at INTEGER NOT NULL,
    PRIMARY KEY(account, author_hash)
) STRICT, WITHOUT ROWID;

-- Free passes of authors that do not align, by From and evidence.
CREATE TABLE pass(
    account INTEGER NOT NULL REFERENCES account(id),
    evidence_hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(account, evidence_hash)
) STRICT, WITHOUT ROWID;

-- What the user sent, to whom: makes a reply free.
CREATE TABLE sent(
    account INTEGER NOT NULL REFERENCES account(id),
    message_id_hash BLOB NOT NULL,
    recipient_hash BLOB NOT NULL,
    PRIMARY KEY(account, message_id_hash, recipient_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE mailbox(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account(id),
    place INTEGER NOT NULL,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL DEFAULT 1,
    modseq INTEGER NOT NULL DEFAULT 1,
    recent_from INTEGER NOT NULL DEFAULT 1,
    messages INTEGER NOT NULL DEFAULT 0,
    recent INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    vanished INTEGER NOT NULL DEFAULT 0,     -- rows of vanished
    vanished_floor INTEGER NOT NULL DEFAULT 0, -- up to this MODSEQ vanished UIDs were forgotten
    name_hash BLOB NOT NULL,
    name BLOB NOT NULL,                      -- sealed
    UNIQUE(account, name_hash),
    UNIQUE(account, uid_validity)
) STRICT;
CREATE INDEX mailbox_place ON mailbox(account, place);

CREATE TABLE subscription(
    account INTEGER NOT NULL REFERENCES account(id),
    name_hash BLOB NOT NULL,
    name BLOB NOT NULL,                      -- sealed
    PRIMARY KEY(account, name_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE message(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account(id),
    gate INTEGER,
    author BLOB,                             -- sealed; of a mail without a gate
    summary BLOB NOT NULL                    -- sealed to the owner
) STRICT;
CREATE INDEX message_account ON message(account);
CREATE INDEX message_gate ON message(gate) WHERE gate IS NOT NULL;

-- Apart from message, so that a listing reads summaries without stepping over bodies.
CREATE TABLE content(
    message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,
    body BLOB NOT NULL                       -- sealed to the owner
) STRICT;

CREATE TABLE attachment(
    message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
    cid TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY(message, cid)
) STRICT, WITHOUT ROWID;
CREATE INDEX attachment_cid ON attachment(cid);

CREATE TABLE entry(
    mailbox INTEGER NOT NULL REFERENCES mailbox(id),
    uid INTEGER NOT NULL,
    message INTEGER NOT NULL REFERENCES message(id),
    gate INTEGER,
    modseq INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    internal_date INTEGER NOT NULL,
    size INTEGER NOT NULL,
    keywords BLOB,                           -- sealed: the user's own; the server's come from the gate
    PRIMARY KEY(mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_message ON entry(message);
CREATE INDEX entry_gate ON entry(gate) WHERE gate IS NOT NULL;
CREATE INDEX entry_modseq ON entry(mailbox, modseq);
CREATE INDEX entry_deleted ON entry(mailbox, uid) WHERE flags & 8;

CREATE TABLE vanished(
    mailbox INTEGER NOT NULL REFERENCES mailbox(id),
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY(mailbox, modseq, uid)
) STRICT, WITHOUT ROWID;

-- Where a mail lay before the server moved it.
CREATE TABLE tombstone(
    mailbox INTEGER NOT NULL REFERENCES mailbox(id),
    uid INTEGER NOT NULL,
    gate INTEGER NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY(mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_until ON tombstone(until);

-- One address for the open mails of one author to one account.
CREATE TABLE page(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    key_hash BLOB NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    token BLOB NOT NULL,                     -- sealed
    recipient BLOB NOT NULL,                 -- sealed
    UNIQUE(account, key_hash)
) STRICT;

-- Outlives its account and its mail: a payment may still arrive.
CREATE TABLE gate(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL,
    message INTEGER NOT NULL,
    state TEXT NOT NULL,
    refunded INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    armed_until INTEGER,
    armed_accept INTEGER NOT NULL DEFAULT 0,
    relation TEXT NOT NULL,
    price INTEGER NOT NULL,
    priority_price INTEGER NOT NULL,
    page INTEGER,
    hold_until INTEGER,
    deadline_height INTEGER,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    message_id_hash BLOB,
    digest_hash BLOB,
    parties BLOB                             -- sealed: author, recipient, where to ask; erased after the end
) STRICT;
CREATE INDEX gate_account ON gate(account);
CREATE INDEX gate_page ON gate(page);
CREATE INDEX gate_held ON gate(state) WHERE state = 'held';
CREATE INDEX gate_ended ON gate(ended_at) WHERE parties IS NOT NULL;
CREATE INDEX gate_message_id ON gate(account, message_id_hash) WHERE message_id_hash IS NOT NULL;
CREATE INDEX gate_digest ON gate(account, digest_hash) WHERE digest_hash IS NOT NULL;

CREATE TABLE quote(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    gate INTEGER NOT NULL REFERENCES gate(id),
    hash BLOB NOT NULL UNIQUE,
    amount INTEGER NOT NULL,
    received INTEGER,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    deadline_height INTEGER,
    expires_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    preimage BLOB NOT NULL,                  -- sealed
    bolt11 BLOB                              -- sealed
) STRICT;
CREATE INDEX quote_gate ON quote(gate);
CREATE INDEX quote_open ON quote(state) WHERE state IN ('live', 'held');
CREATE INDEX quote_changed ON quote(changed_at);

CREATE TABLE asked(
    at INTEGER NOT NULL,
    account INTEGER NOT NULL,
    author_hash BLOB NOT NULL,
    domain_hash BLOB NOT NULL,
    dkim_hash BLOB
) STRICT;
CREATE INDEX asked_author ON asked(author_hash, at);
CREATE INDEX asked_domain ON asked(domain_hash, at);
CREATE INDEX asked_dkim ON asked(dkim_hash) WHERE dkim_hash IS NOT NULL;
CREATE INDEX asked_at ON asked(at);

CREATE TABLE job(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    kind BLOB NOT NULL                       -- sealed
) STRICT;
CREATE INDEX job_due ON job(due_at);

CREATE TABLE outgoing(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    reverse_path BLOB NOT NULL,              -- sealed
    body BLOB NOT NULL                       -- sealed
) STRICT;

CREATE TABLE queue(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    mail INTEGER NOT NULL REFERENCES outgoing(id),
    due_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    leased INTEGER NOT NULL DEFAULT 0,
    recipient BLOB NOT NULL,                 -- sealed
    last_error BLOB                          -- sealed
) STRICT;
CREATE INDEX queue_due ON queue(due_at);
CREATE INDEX queue_mail ON queue(mail);

CREATE TABLE caught(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    head BLOB NOT NULL,                      -- sealed
    body BLOB NOT NULL                       -- sealed
) STRICT;

CREATE TABLE meta(
    key_hash BLOB PRIMARY KEY,
    value BLOB NOT NULL                      -- sealed
) STRICT, WITHOUT ROWID;

CREATE TABLE posting(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    gate INTEGER,
    at INTEGER NOT NULL
) STRICT;

-- Debits are positive, credits negative.
CREATE TABLE ledger(
    posting INTEGER NOT NULL REFERENCES posting(id),
    line INTEGER NOT NULL,
    side TEXT NOT NULL,
    account INTEGER,
    amount INTEGER NOT NULL,
    PRIMARY KEY(posting, line)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_side ON ledger(side, account, amount);

-- Append only: a wrong posting is put right by another one.
CREATE TRIGGER posting_no_update BEFORE UPDATE ON posting BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER posting_no_delete BEFORE DELETE ON posting BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
