-- The record of an output folder: what was asked for, sent, paid and delivered.
-- application_id says whose file it is, user_version which form; a newer form is refused, never guessed at, and an
-- older one is copied and brought to this one (migrating.py).

PRAGMA application_id = 1651336036;  -- 'bmcd'
PRAGMA user_version = 2;

-- Facts of the folder: folder_id, account_salt (the folder_id by which the keys were hashed, where
-- that is another one: the folder was copied), manifest_name, manifest_file, rows_digest, and epoch, which each
-- run raises when it begins: an intent is written only under the epoch of its own run; shown is the
-- last epoch whose run lived to write results.csv and the report, indexed the last one whose run had told the index
-- of paid work everything, and how that stood then.
CREATE TABLE folder (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- One request, whoever its output is delivered to.
CREATE TABLE work (
    work_id         INTEGER PRIMARY KEY,
    job_key         TEXT NOT NULL,      -- hash of everything that changes the result
    provider        TEXT NOT NULL,
    model           TEXT,
    origin          TEXT NOT NULL,      -- where it is asked; '' for the embedded engine
    options         TEXT NOT NULL,      -- JSON
    inputs          TEXT NOT NULL,      -- JSON: mode, prompt, video, first_frame
    status          TEXT NOT NULL CHECK (status IN
                    ('planned', 'submitting', 'submitted', 'succeeded', 'failed', 'uncertain')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    request_id      TEXT,
    state           TEXT,               -- JSON: what the provider's dialect needs to go on
    output_location TEXT,               -- where the finished output is to be fetched
    error_code      TEXT,
    error           TEXT,
    billed          INTEGER,            -- 1 yes, 0 no, NULL unknown
    cost_usd        REAL,
    cost_source     TEXT,               -- provider | estimate
    reserved_usd    REAL NOT NULL DEFAULT 0,
    facts           TEXT,               -- JSON: width, height, fps, frames, duration_s, has_audio, bytes
    sha256          TEXT,
    warnings        TEXT NOT NULL DEFAULT '[]',
    flag_reason     TEXT,
    submitted_at    REAL,               -- Unix seconds
    finished_at     REAL,
    run_id          TEXT,
    again           INTEGER NOT NULL DEFAULT 0  -- a further version of what had an output already: 1 sent by
                                                -- any run; 2 by --pay-again, only by a run that says so
) STRICT;
CREATE INDEX work_by_key ON work (job_key, work_id);
CREATE INDEX work_by_status ON work (status);

-- One POST that could create a paid job; written before it leaves, with exactly what it says.
CREATE TABLE attempt (
    attempt_id   INTEGER PRIMARY KEY,
    work_id      INTEGER NOT NULL REFERENCES work,
    provider     TEXT NOT NULL,
    origin       TEXT NOT NULL,
    account      TEXT,                  -- a salted hash of the key: another account's history proves nothing
    body         TEXT NOT NULL,         -- JSON, as sent
    sent_at      REAL NOT NULL,
    outcome      TEXT NOT NULL DEFAULT 'open' CHECK (outcome IN
                 ('open', 'accepted', 'refused', 'never_sent', 'unknown', 'never_accepted')),
    seen_dead_at REAL,                  -- when it was known that its answer would not come
    request_id   TEXT,
    note         TEXT
) STRICT;
CREATE INDEX attempt_by_work ON attempt (work_id);
-- A request id belongs to one attempt for ever.
CREATE UNIQUE INDEX request_once ON attempt (provider, origin, request_id) WHERE request_id IS NOT NULL;

-- The n-th output of an id, and the work it comes from. The number is given with the intent.
CREATE TABLE delivery (
    id        TEXT NOT NULL,
    id_folded TEXT NOT NULL,            -- ids differ without regard to case
    version   INTEGER NOT NULL,
    work_id   INTEGER NOT NULL REFERENCES work,
    path      TEXT NOT NULL UNIQUE,     -- relative to the output folder
    delivered INTEGER NOT NULL DEFAULT 0,
    stem      TEXT NOT NULL,            -- the naming template with this row's columns put in
    PRIMARY KEY (id_folded, version),
    UNIQUE (id_folded, work_id)
) STRICT;
CREATE INDEX delivery_by_work ON delivery (work_id);

-- The manifests' rows as the last runs saw them, for results.csv and the report.
CREATE TABLE manifest_row (
    number   INTEGER NOT NULL,
    id       TEXT NOT NULL,
    job_key  TEXT,
    status   TEXT,                      -- held | invalid where there is no work
    fields   TEXT NOT NULL,             -- JSON: the row's fields and the user's own columns
    manifest TEXT NOT NULL DEFAULT '',  -- its file, as seen from the folder
    PRIMARY KEY (manifest, number)
) STRICT;
CREATE INDEX manifest_row_by_key ON manifest_row (job_key);

-- A row's `review: redo` is an event: spent on a version, and counted again only after it was seen gone.
CREATE TABLE review (
    id_folded TEXT PRIMARY KEY,
    spent_on  INTEGER NOT NULL,
    armed     INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Files already at a provider, so that one clip is sent up once.
CREATE TABLE upload (
    provider TEXT NOT NULL,
    origin   TEXT NOT NULL,
    sha256   TEXT NOT NULL,
    url      TEXT NOT NULL,
    at       REAL NOT NULL,
    PRIMARY KEY (provider, origin, sha256)
) STRICT;

-- How good an output is, beside its source. Nothing is lost with it: `batchmod report` makes it anew.
CREATE TABLE score (
    work_id INTEGER NOT NULL REFERENCES work,
    form    INTEGER NOT NULL,           -- of the formulas; those of a newer one stand beside
    sha256  TEXT NOT NULL,              -- the output that was looked at
    scores  TEXT,                       -- JSON: motion, flicker, first_frame, structure, drift, and what else was seen
    problem TEXT,                       -- why there are none
    PRIMARY KEY (work_id, form)
) STRICT;

-- Runs into this folder.
CREATE TABLE run (
    run_id      TEXT PRIMARY KEY,
    started_at  REAL NOT NULL,
    ended_at    REAL,
    exit_code   INTEGER,
    stop_reason TEXT
) STRICT;
