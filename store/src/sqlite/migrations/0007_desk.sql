-- The support queue: the folder `Queue` of a desk's account shows the open mails of INBOX and Requests, best paid first.
-- A mail is there no entry of its own, but its entry in INBOX or Requests under a UID and a date of the Queue. In the clear,
-- as in quote and entry: amounts and dates.

-- Every open mail; those behind the limit have no uid.
CREATE TABLE desk_mail(
    message INTEGER PRIMARY KEY,             -- refers to nothing: the row goes when the Queue hears that the mail went
    queue INTEGER NOT NULL REFERENCES mailbox(id),
    mailbox INTEGER NOT NULL,                -- where its entry is
    entry_uid INTEGER NOT NULL,
    amount INTEGER NOT NULL,                 -- msat, locked or settled
    arrived INTEGER NOT NULL,
    modseq INTEGER NOT NULL DEFAULT 0,
    uid INTEGER,
    internal_date INTEGER
) STRICT;
CREATE INDEX desk_mail_rank ON desk_mail(queue, amount DESC, arrived, message);
CREATE UNIQUE INDEX desk_mail_uid ON desk_mail(queue, uid) WHERE uid IS NOT NULL;

-- Which mail lay under a UID: an act on one that is gone meanwhile finds it.
CREATE TABLE desk_uid(
    queue INTEGER NOT NULL REFERENCES mailbox(id),
    uid INTEGER NOT NULL,
    message INTEGER NOT NULL,
    PRIMARY KEY(queue, uid)
) STRICT, WITHOUT ROWID;
