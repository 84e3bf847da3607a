-- Who else may do what in a mailbox (RFC 4314): rights as bits. The owner has every right and no row.
CREATE TABLE acl(
    mailbox INTEGER NOT NULL REFERENCES mailbox(id) ON DELETE CASCADE,
    account INTEGER NOT NULL REFERENCES account(id),
    rights INTEGER NOT NULL,
    PRIMARY KEY(mailbox, account)
) STRICT, WITHOUT ROWID;
CREATE INDEX acl_account ON acl(account);

-- The owner's opening key, wrapped for the identity of a user who may read some of their mailboxes.
CREATE TABLE share_key(
    owner INTEGER NOT NULL REFERENCES account(id),
    sharee INTEGER NOT NULL REFERENCES account(id),
    wrap BLOB NOT NULL,
    PRIMARY KEY(owner, sharee)
) STRICT, WITHOUT ROWID;
CREATE INDEX share_key_sharee ON share_key(sharee);

-- What users other than the owner have seen. Of the message: each of its copies is seen.
CREATE TABLE seen(
    message INTEGER NOT NULL REFERENCES message(id) ON DELETE CASCADE,
    viewer INTEGER NOT NULL REFERENCES account(id),
    PRIMARY KEY(message, viewer)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_viewer ON seen(viewer);
