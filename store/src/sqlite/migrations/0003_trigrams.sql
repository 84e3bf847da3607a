-- Which words a message cannot hold, so that a search need not read it. Of messages that arrived before there was
-- such a thing there is none. Apart from message, so that a search reads these and steps over nothing.
CREATE TABLE trigrams(
    message INTEGER PRIMARY KEY REFERENCES message(id) ON DELETE CASCADE,
    filter BLOB NOT NULL                     -- sealed to the owner
) STRICT;
