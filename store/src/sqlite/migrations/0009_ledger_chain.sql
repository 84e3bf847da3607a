-- The ledger's history: one link for each posting, keyed, over the link before and the posting with its lines.
CREATE TABLE link(
    posting INTEGER PRIMARY KEY REFERENCES posting(id),
    link BLOB NOT NULL
) STRICT;
CREATE TRIGGER link_no_update BEFORE UPDATE ON link BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER link_no_delete BEFORE DELETE ON link BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
