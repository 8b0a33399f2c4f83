-- The queue of `batchmod serve`: which requests there are, and which files may be fetched. Times are Unix seconds.

CREATE TABLE job (
    job_id       INTEGER PRIMARY KEY,             -- the order in which they came
    request_id   TEXT NOT NULL UNIQUE,
    state        TEXT NOT NULL CHECK (state IN ('QUEUED', 'PROCESSING', 'COMPLETED', 'FAILED')),
    inputs       TEXT NOT NULL,                   -- JSON, exactly as it was sent
    accepted_at  REAL NOT NULL,
    started_at   REAL,
    ended_at     REAL,
    beginnings   INTEGER NOT NULL DEFAULT 0,      -- how often the engine began with it and was not stopped on purpose
    error        TEXT,
    of_input     INTEGER NOT NULL DEFAULT 0,      -- 1: it failed because of what was sent
    warnings     TEXT NOT NULL DEFAULT '[]',      -- JSON list
    output       TEXT,                            -- file.name
    output_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX job_state ON job (state, job_id);
CREATE INDEX job_accepted ON job (accepted_at);

CREATE TABLE file (
    name         TEXT PRIMARY KEY,                -- what its URL ends with; nobody can guess it
    kind         TEXT NOT NULL CHECK (kind IN ('assets', 'outputs')),
    media_type   TEXT NOT NULL,
    bytes        INTEGER NOT NULL,
    expires_at   REAL NOT NULL
) STRICT;

PRAGMA application_id = 1651340662;
PRAGMA user_version = 1;
