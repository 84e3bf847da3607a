-- What an account's sessions agreed with the ephemeral keys of its mails, so that the next session need not compute it
-- again. Nothing depends on a page being there.
CREATE TABLE agreements(
    account INTEGER NOT NULL REFERENCES account(id),
    page INTEGER NOT NULL,
    sealed BLOB NOT NULL,                    -- sealed to the owner
    PRIMARY KEY(account, page)
) STRICT;
