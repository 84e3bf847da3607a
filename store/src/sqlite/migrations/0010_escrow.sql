-- Money that is received before it is decided about, and paid back when the mail is not accepted. In the clear, as in quote:
-- states, amounts, payment hashes, times.

ALTER TABLE quote ADD COLUMN author_hash BLOB;               -- whose quotas it counts against
ALTER TABLE quote ADD COLUMN domain_hash BLOB;
ALTER TABLE quote ADD COLUMN hold_ms INTEGER;                -- how long the owner has, once it was received
ALTER TABLE quote ADD COLUMN target BLOB;                    -- sealed: where a refund goes
ALTER TABLE quote ADD COLUMN refund_hash BLOB;               -- of the invoice a refund is paid by; null: none is committed
ALTER TABLE quote ADD COLUMN refund_bolt11 BLOB;             -- sealed
ALTER TABLE quote ADD COLUMN refund_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE quote ADD COLUMN refund_since INTEGER;
ALTER TABLE quote ADD COLUMN link INTEGER NOT NULL DEFAULT 0; -- which link may change the target: each is used once
ALTER TABLE quote ADD COLUMN link_at INTEGER;                -- when one was last asked for

DROP INDEX quote_open;
CREATE INDEX quote_open ON quote(state) WHERE state IN ('live', 'held', 'claiming', 'escrowed', 'refunding', 'stuck');
CREATE INDEX quote_author ON quote(author_hash) WHERE state IN ('live', 'held', 'claiming', 'escrowed');
CREATE INDEX quote_domain ON quote(domain_hash) WHERE state IN ('live', 'held', 'claiming', 'escrowed');
CREATE INDEX quote_refund ON quote(refund_hash) WHERE refund_hash IS NOT NULL;

ALTER TABLE gate ADD COLUMN refunding INTEGER NOT NULL DEFAULT 0; -- money received in escrow is on its way back
