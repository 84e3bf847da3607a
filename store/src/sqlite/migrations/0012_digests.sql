-- Which digest named an unpaid mail: it may leave Unpaid only some time after, and once a session has seen that digest.
ALTER TABLE gate ADD COLUMN told_at INTEGER;
ALTER TABLE gate ADD COLUMN told_uid INTEGER;                -- the digest's, in INBOX
CREATE INDEX gate_told ON gate(told_at) WHERE told_at IS NOT NULL AND state = 'waiting';
