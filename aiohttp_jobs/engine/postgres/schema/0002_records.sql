-- What users make beside jobs: schedules, templates, notices. And the moments of schedules that were fired.

-- Whoever changes records of a kind changes its row here first, and so is alone with them; a process that has
-- seen `number` has seen all, and one that has seen `removed_number` knows of all that are gone.
CREATE TABLE aiohttp_jobs.record_kinds (
    kind text PRIMARY KEY,
    number bigint NOT NULL DEFAULT 0,
    removed_number bigint NOT NULL DEFAULT 0
);
INSERT INTO aiohttp_jobs.record_kinds (kind)
VALUES ('schedule'), ('template'), ('notice'), ('prepared_notice'), ('api_key');

-- `record` is json, and not jsonb, because it is signed: a number has to come back as it was written.
CREATE TABLE aiohttp_jobs.records (
    kind text NOT NULL REFERENCES aiohttp_jobs.record_kinds,
    record_id uuid NOT NULL,
    user_id text NOT NULL,
    changed_number bigint NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    record json NOT NULL,
    PRIMARY KEY (kind, record_id)
);
CREATE INDEX records_changed ON aiohttp_jobs.records (kind, changed_number);

CREATE TABLE aiohttp_jobs.fired_moments (
    schedule_id uuid NOT NULL,
    moment timestamptz NOT NULL,
    job_id uuid,
    skipped text,
    holder uuid,
    is_finished boolean NOT NULL DEFAULT false,
    PRIMARY KEY (schedule_id, moment)
);
CREATE INDEX fired_moments_unfinished ON aiohttp_jobs.fired_moments (moment) WHERE NOT is_finished;

CREATE TABLE aiohttp_jobs.sessions (
    session_id uuid PRIMARY KEY,
    user_id text NOT NULL,
    ends_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    record json NOT NULL
);
CREATE INDEX sessions_of_user ON aiohttp_jobs.sessions (user_id);
