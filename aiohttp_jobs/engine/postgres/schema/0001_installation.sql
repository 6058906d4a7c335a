-- What all hosts and workers on this database have in common, and which of them there are.

CREATE TABLE aiohttp_jobs.installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    secret_fingerprint text,
    is_paused boolean NOT NULL DEFAULT false
);
INSERT INTO aiohttp_jobs.installation DEFAULT VALUES;

-- One that has not been heard of for the stall time has died, by this server's clock alone.
CREATE TABLE aiohttp_jobs.processes (
    process_id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    heard_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What one process does for all of them, such as sending notices.
CREATE TABLE aiohttp_jobs.leases (
    name text PRIMARY KEY,
    process_id uuid NOT NULL
);
