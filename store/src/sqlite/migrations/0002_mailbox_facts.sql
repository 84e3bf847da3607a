-- Version 2. What IMAP extensions keep of a mailbox and its mails. In the clear: when a mail came into its mailbox, the
-- zone its date was written in, special uses, quotas. Annotations are sealed, names and values.

ALTER TABLE entry ADD COLUMN saved_at INTEGER;               -- null: saved before this version, nobody knows when
ALTER TABLE entry ADD COLUMN zone INTEGER NOT NULL DEFAULT 0; -- of internal_date: minutes east of UTC

ALTER TABLE mailbox ADD COLUMN special_use INTEGER NOT NULL DEFAULT 0; -- bits of SpecialUse, of the user's own folders

ALTER TABLE account ADD COLUMN quota INTEGER;                -- octets; null: as much as the disk holds

-- RFC 5464. `mailbox` 0 is the account itself, which the protocol calls the server.
CREATE TABLE annotation(
    account INTEGER NOT NULL REFERENCES account(id),
    mailbox INTEGER NOT NULL,
    name_hash BLOB NOT NULL,
    name BLOB NOT NULL,                      -- sealed
    value BLOB NOT NULL,                     -- sealed
    PRIMARY KEY(account, mailbox, name_hash)
) STRICT, WITHOUT ROWID;
