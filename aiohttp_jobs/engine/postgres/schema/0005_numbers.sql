-- What processes count together, and how each of them is.

CREATE TABLE aiohttp_jobs.counted_numbers (
    name text COLLATE "C" PRIMARY KEY,
    number double precision NOT NULL
);

-- `turn` grows with each time that a process adds what it has counted, so that nothing is added twice.
CREATE TABLE aiohttp_jobs.present_numbers (
    process_id uuid PRIMARY KEY,
    turn bigint NOT NULL,
    numbers json NOT NULL
);
