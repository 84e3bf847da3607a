-- When a client last APPENDed to Sent: while it does, nothing is filed there for it.
ALTER TABLE account ADD COLUMN sent_append_at INTEGER;

-- What was filed to Sent on submission, by Message-ID: the client's own copy takes its place.
CREATE TABLE sent_copy(
    account INTEGER NOT NULL REFERENCES account(id),
    message_id_hash BLOB NOT NULL,
    message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
    PRIMARY KEY(account, message_id_hash, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX sent_copy_message ON sent_copy(message);
