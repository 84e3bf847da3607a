-- The sum of each ledger account, so that a quote need not add up its history. Account 0: the side has no accounts.
CREATE TABLE balance(
    side TEXT NOT NULL,
    account INTEGER NOT NULL,
    amount INTEGER NOT NULL,                 -- debits less credits
    PRIMARY KEY(side, account)
) STRICT, WITHOUT ROWID;
INSERT INTO balance(side, account, amount)
    SELECT side, COALESCE(account, 0), SUM(amount) FROM ledger GROUP BY side, account;
