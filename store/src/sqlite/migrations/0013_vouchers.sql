-- Vouchers: a gate that begins without its mail, because its author pays before sending it. In the clear: states and times.
ALTER TABLE gate ADD COLUMN voucher TEXT;                    -- open until its mail came, used afterwards, over without it
ALTER TABLE gate ADD COLUMN voucher_until INTEGER;           -- unpaid: how long it is offered
ALTER TABLE gate ADD COLUMN voucher_ms INTEGER;              -- paid: how long it waits for its mail
ALTER TABLE gate ADD COLUMN voucher_author BLOB;             -- keyed hashes: whose mail it waits for
ALTER TABLE gate ADD COLUMN voucher_domain BLOB;
ALTER TABLE gate ADD COLUMN voucher_dkim BLOB;               -- keyed hash: the signature of the mail that used it

CREATE INDEX gate_voucher_author ON gate(voucher_author, account) WHERE voucher = 'open';
CREATE INDEX gate_voucher_domain ON gate(voucher_domain) WHERE voucher = 'open';
CREATE INDEX gate_voucher_offered ON gate(voucher_until) WHERE voucher = 'open' AND state = 'waiting';
CREATE INDEX gate_voucher_dkim ON gate(voucher_dkim) WHERE voucher_dkim IS NOT NULL;
