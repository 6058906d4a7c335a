-- The middle of outputs that are too long for this database: who has it on the disk, and what hosts ask of them.

-- Whether it answers them. A process of an older release does not, and nobody waits for it.
ALTER TABLE aiohttp_jobs.processes ADD COLUMN gives_output boolean NOT NULL DEFAULT false;

-- Ended attempts of which the process that ran them has more on its disk than is in `output_chunks`.
CREATE TABLE aiohttp_jobs.kept_logs (
    job_id uuid NOT NULL,
    attempt smallint NOT NULL,
    user_id text NOT NULL,
    process_id uuid NOT NULL,
    PRIMARY KEY (job_id, attempt)
);
CREATE INDEX kept_logs_of_process ON aiohttp_jobs.kept_logs (process_id);

-- A question, and its answer when there is one; whoever asked takes both away. Nobody misses them after a crash, so
-- they are in no log.
CREATE UNLOGGED TABLE aiohttp_jobs.log_requests (
    request_id uuid PRIMARY KEY,
    -- Who is asked, who asks, and whose job it is about.
    process_id uuid NOT NULL,
    asker uuid NOT NULL,
    user_id text NOT NULL,
    asked_at timestamptz NOT NULL,
    -- json, as it is signed.
    question json NOT NULL,
    is_answered boolean NOT NULL DEFAULT false,
    -- Where the piece begins; none when there is no such output.
    start bigint,
    data bytea
);
ALTER TABLE aiohttp_jobs.log_requests ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX log_requests_open ON aiohttp_jobs.log_requests (process_id, asked_at) WHERE NOT is_answered;
CREATE INDEX log_requests_age ON aiohttp_jobs.log_requests (asked_at);

-- Whether there is a job, or the result of one.
CREATE FUNCTION aiohttp_jobs.is_known_1(the_job uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.job_id = the_job)
        OR EXISTS (SELECT FROM aiohttp_jobs.ended_jobs e JOIN aiohttp_jobs.results r ON r.id = e.result_id
            WHERE e.job_id = the_job AND r.job_id = the_job)
$$;

-- Ask whoever has the log of an attempt: 'asked', 'gone' when nobody is there who has it and answers, or 'busy' when as
-- many questions are open as may. Those that nobody took away within so many seconds are forgotten.
CREATE FUNCTION aiohttp_jobs.ask_log_1(
    the_request uuid, the_job uuid, the_attempt int, me uuid, the_question json,
    most_of_user int, most int, seconds double precision, stall double precision
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    the_time timestamptz := clock_timestamp();
    keeper uuid;
    whose text;
BEGIN
    SELECT j.process_id, j.user_id INTO keeper, whose FROM aiohttp_jobs.jobs j
    WHERE j.job_id = the_job AND j.attempt = the_attempt AND j.state = 'running';
    IF NOT FOUND THEN
        SELECT k.process_id, k.user_id INTO keeper, whose FROM aiohttp_jobs.kept_logs k
        WHERE k.job_id = the_job AND k.attempt = the_attempt AND aiohttp_jobs.is_known_1(the_job);
    END IF;
    IF keeper IS NULL OR NOT aiohttp_jobs.is_alive_1(keeper, stall) OR NOT EXISTS (
        SELECT FROM aiohttp_jobs.processes p WHERE p.process_id = keeper AND p.gives_output
    ) THEN
        RETURN 'gone';
    END IF;
    PERFORM pg_advisory_xact_lock(7305, 2);
    DELETE FROM aiohttp_jobs.log_requests q WHERE q.asked_at < the_time - seconds * interval '1 s';
    IF (SELECT count(*) FROM aiohttp_jobs.log_requests) >= most OR
        (SELECT count(*) FROM aiohttp_jobs.log_requests q WHERE q.user_id = whose) >= most_of_user
    THEN
        RETURN 'busy';
    END IF;
    INSERT INTO aiohttp_jobs.log_requests (request_id, process_id, asker, user_id, asked_at, question)
    VALUES (the_request, keeper, me, whose, the_time, the_question);
    PERFORM pg_notify('aiohttp_jobs_' || keeper, me || ' asked ' || the_request);
    RETURN 'asked';
END $$;
