-- What the sender of an outgoing mail asked for (DSN, REQUIRETLS, DELIVERBY, MT-PRIORITY): NULL in older rows.
ALTER TABLE outgoing ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outgoing ADD COLUMN wishes BLOB;   -- sealed
ALTER TABLE queue ADD COLUMN wishes BLOB;      -- sealed
-- What the postmaster holds back, and whose sender knows of the delay.
ALTER TABLE queue ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN delay_told INTEGER NOT NULL DEFAULT 0;
