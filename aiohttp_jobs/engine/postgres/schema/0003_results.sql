-- What jobs have left when they ended.

-- Every job that has ended, also when its result is deleted: none of them runs again.
CREATE TABLE aiohttp_jobs.ended_jobs (
    job_id uuid PRIMARY KEY,
    result_id bigint NOT NULL
);

-- `id` is the place in the order of completion: microseconds since 1970, times 1024, and ten bits that tell equal
-- moments apart. A partition has the results of a month, so that a month is dropped at once when it is not kept.
-- There is none for what has no month yet: taking one in would hold everybody up. `months` makes them ahead.
-- `record` is json as it was written; what lists do without is in `long_fields`. `earlier_attempts` and
-- `submission` go with the result. `words` are made by the hosts, who also look for phrases: this needs no extension.
CREATE TABLE aiohttp_jobs.results (
    id bigint NOT NULL,
    job_id uuid NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    status text NOT NULL,
    mode text NOT NULL,
    success boolean NOT NULL,
    started bigint NOT NULL,
    runtime double precision NOT NULL,
    size bigint NOT NULL,
    record json NOT NULL,
    long_fields json NOT NULL,
    earlier_attempts json,
    submission json,
    words tsvector NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX results_user ON aiohttp_jobs.results (user_id, id);
CREATE INDEX results_user_name ON aiohttp_jobs.results (user_id, name, id);
CREATE INDEX results_user_started ON aiohttp_jobs.results (user_id, started, id);
CREATE INDEX results_user_runtime ON aiohttp_jobs.results (user_id, runtime, id);
CREATE INDEX results_name ON aiohttp_jobs.results (name, id);
CREATE INDEX results_started ON aiohttp_jobs.results (started, id);
CREATE INDEX results_runtime ON aiohttp_jobs.results (runtime, id);
CREATE INDEX results_user_failures ON aiohttp_jobs.results (user_id, id) WHERE NOT success;
CREATE INDEX results_failures ON aiohttp_jobs.results (id) WHERE NOT success;
-- New words wait in a list, of so many kilobytes at most because every search reads it to its end.
CREATE INDEX results_words ON aiohttp_jobs.results USING gin (words) WITH (gin_pending_list_limit = 512);

-- How many results there are, and how many bytes: the sums of these rows. Adding one holds nobody up, as counting in
-- one row would; they are put together now and then. `month` is the first id of their partition.
CREATE TABLE aiohttp_jobs.kept_amounts (
    user_id text COLLATE "C" NOT NULL,
    month bigint NOT NULL,
    results bigint NOT NULL,
    size bigint NOT NULL
);
CREATE INDEX kept_amounts_user ON aiohttp_jobs.kept_amounts (user_id, month) INCLUDE (results, size);

-- The first id of the month of an id, in UTC.
CREATE FUNCTION aiohttp_jobs.month_of(id bigint) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT extract(epoch FROM date_trunc('month', to_timestamp(id / 1024000000) AT TIME ZONE 'UTC'))::bigint * 1024000000
$$;
