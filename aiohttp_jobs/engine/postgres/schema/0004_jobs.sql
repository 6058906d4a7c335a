-- Accepted jobs that have not ended, and their order.

CREATE TABLE aiohttp_jobs.jobs (
    job_id uuid PRIMARY KEY,
    place bigint GENERATED ALWAYS AS IDENTITY,
    state text NOT NULL CHECK (state IN ('pending', 'queued', 'running')),
    user_id text NOT NULL,
    job_name text NOT NULL,
    slot text NOT NULL,
    priority smallint NOT NULL,
    run_at timestamptz,
    lock_name text,
    size bigint NOT NULL,
    -- A job that only this process may run, as long as it lives.
    host uuid,
    attempt smallint NOT NULL,
    -- json, as it is signed.
    submission json NOT NULL,
    queued_at timestamptz,
    -- Of a running job. Each claim has another fence, and nothing is written of a job but with its own.
    fence bigint NOT NULL DEFAULT 0,
    process_id uuid,
    claim_id uuid,
    started_at timestamptz,
    pid integer,
    output_size bigint NOT NULL DEFAULT 0,
    progress json,
    cancelled_by text,
    cancel_message text
);
CREATE INDEX jobs_in_order ON aiohttp_jobs.jobs (priority, user_id, place) WHERE state = 'queued';
CREATE INDEX jobs_by_age ON aiohttp_jobs.jobs (queued_at) WHERE state = 'queued';
CREATE INDEX jobs_later ON aiohttp_jobs.jobs (run_at) WHERE state = 'pending';
CREATE INDEX jobs_waiting_of_user ON aiohttp_jobs.jobs (user_id) INCLUDE (size) WHERE state <> 'running';
CREATE INDEX jobs_running ON aiohttp_jobs.jobs (process_id) WHERE state = 'running';
CREATE INDEX jobs_running_of_user ON aiohttp_jobs.jobs (user_id) WHERE state = 'running';
-- No two running jobs have one concurrency key, whoever started them.
CREATE UNIQUE INDEX jobs_locks ON aiohttp_jobs.jobs (lock_name) WHERE state = 'running' AND lock_name IS NOT NULL;

-- When a user's turn was last, among those with jobs of one priority.
CREATE SEQUENCE aiohttp_jobs.turns;
CREATE TABLE aiohttp_jobs.user_turns (
    priority smallint NOT NULL,
    user_id text NOT NULL,
    turn bigint NOT NULL,
    PRIMARY KEY (priority, user_id)
);

-- The results of attempts that were followed by another, of jobs that have not ended.
CREATE TABLE aiohttp_jobs.attempts (
    job_id uuid NOT NULL,
    attempt smallint NOT NULL,
    record json NOT NULL,
    PRIMARY KEY (job_id, attempt)
);

-- What attempts print: while they run, and afterwards what their results have no room for.
CREATE TABLE aiohttp_jobs.output_chunks (
    job_id uuid NOT NULL,
    attempt smallint NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (job_id, attempt, start)
);
ALTER TABLE aiohttp_jobs.output_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

-- Accept a job, unless as many of its user's wait as may. One user's come one after the other. A job whose id is
-- known already was accepted before: whoever did not hear of that asks again.
CREATE FUNCTION aiohttp_jobs.submit_1(
    the_id uuid, whose text, name text, in_slot text, with_priority int, due timestamptz, lock text, bytes bigint,
    only_host uuid, attempt_number int, record json, most_jobs bigint, most_bytes bigint,
    OUT is_accepted boolean, OUT waiting bigint, OUT waiting_bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    is_later boolean := due IS NOT NULL AND due > clock_timestamp();
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(whose, 7305));
    SELECT count(*), coalesce(sum(j.size), 0) INTO waiting, waiting_bytes
    FROM aiohttp_jobs.jobs j WHERE j.user_id = whose AND j.state <> 'running';
    is_accepted := EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.job_id = the_id)
        OR EXISTS (SELECT FROM aiohttp_jobs.ended_jobs e WHERE e.job_id = the_id);
    IF is_accepted OR waiting >= most_jobs OR (waiting > 0 AND waiting_bytes + bytes > most_bytes) THEN
        RETURN;
    END IF;
    INSERT INTO aiohttp_jobs.jobs (job_id, state, user_id, job_name, slot, priority, run_at, lock_name, size, host,
        attempt, submission, queued_at)
    VALUES (the_id, CASE WHEN is_later THEN 'pending' ELSE 'queued' END, whose, name, in_slot, with_priority, due,
        lock, bytes, only_host, attempt_number, record, CASE WHEN is_later THEN NULL ELSE clock_timestamp() END);
    is_accepted := true;
END $$;

CREATE FUNCTION aiohttp_jobs.is_alive_1(process uuid, stall double precision) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM aiohttp_jobs.processes p
        WHERE p.process_id = process AND p.heard_at > clock_timestamp() - stall * interval '1 s')
$$;

-- Whether a waiting job may start in a process with these free places.
CREATE FUNCTION aiohttp_jobs.may_start_1(
    job aiohttp_jobs.jobs, me uuid, free jsonb, per_user int, stall double precision
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF coalesce((free ->> job.slot)::int, 0) <= 0 THEN
        RETURN false;
    END IF;
    IF job.host IS NOT NULL AND job.host <> me AND aiohttp_jobs.is_alive_1(job.host, stall) THEN
        RETURN false;
    END IF;
    IF job.lock_name IS NOT NULL AND EXISTS (
        SELECT FROM aiohttp_jobs.jobs r WHERE r.state = 'running' AND r.lock_name = job.lock_name
    ) THEN
        RETURN false;
    END IF;
    RETURN per_user IS NULL OR per_user > (
        SELECT count(*) FROM aiohttp_jobs.jobs r WHERE r.state = 'running' AND r.user_id = job.user_id);
END $$;

-- Take a waiting job for a process; nothing when somebody has cancelled it just now.
CREATE FUNCTION aiohttp_jobs.take_1(the_id uuid, me uuid, claim uuid) RETURNS aiohttp_jobs.jobs
LANGUAGE plpgsql AS $$
DECLARE
    taken aiohttp_jobs.jobs;
BEGIN
    UPDATE aiohttp_jobs.jobs j
    SET state = 'running', process_id = me, claim_id = claim, fence = j.fence + 1, started_at = clock_timestamp(),
        pid = NULL, output_size = 0, progress = NULL
    WHERE j.job_id = the_id AND j.state = 'queued' RETURNING j.* INTO taken;
    IF FOUND THEN
        INSERT INTO aiohttp_jobs.user_turns (priority, user_id, turn)
        VALUES (taken.priority, taken.user_id, nextval('aiohttp_jobs.turns'))
        ON CONFLICT (priority, user_id) DO UPDATE SET turn = excluded.turn;
    END IF;
    RETURN taken;
END $$;

-- Take the next jobs, as many as there are places: those that have waited for too long, then by priority, and of one
-- priority in turns, from the user whose turn was longest ago. Of each user the first jobs are looked at for one that
-- may start. One process at a time decides, so that order and limits hold over all of them. Moments are variables, as
-- no index can be asked for what a clock will say.
CREATE FUNCTION aiohttp_jobs.claim_1(
    me uuid, claim uuid, free jsonb, per_user int, overall int, starvation double precision, stall double precision
) RETURNS SETOF aiohttp_jobs.jobs LANGUAGE plpgsql AS $$
DECLARE
    places bigint;
    the_time timestamptz;
    level int;
    whose text[];
    one_user text;
    next_id uuid;
    taken aiohttp_jobs.jobs;
    has_taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7305, 1);
    -- Under the lock, which whoever pauses takes too: nothing is claimed once they have their answer.
    IF (SELECT i.is_paused FROM aiohttp_jobs.installation i) THEN
        RETURN;
    END IF;
    the_time := clock_timestamp();
    UPDATE aiohttp_jobs.jobs j SET state = 'queued', queued_at = the_time
    WHERE j.state = 'pending' AND j.run_at <= the_time;
    SELECT coalesce(sum(greatest(f.value::int, 0)), 0) INTO places FROM jsonb_each_text(free) f;
    IF overall IS NOT NULL THEN
        places := least(places, overall - (SELECT count(*) FROM aiohttp_jobs.jobs j WHERE j.state = 'running'));
    END IF;

    FOR next_id IN
        SELECT j.job_id FROM aiohttp_jobs.jobs j
        WHERE j.state = 'queued' AND j.queued_at <= the_time - starvation * interval '1 s'
        ORDER BY j.queued_at LIMIT 256
    LOOP
        EXIT WHEN places <= 0;
        IF (SELECT aiohttp_jobs.may_start_1(j, me, free, per_user, stall)
            FROM aiohttp_jobs.jobs j WHERE j.job_id = next_id) THEN
            taken := aiohttp_jobs.take_1(next_id, me, claim);
            IF taken.job_id IS NOT NULL THEN
                free := jsonb_set(free, ARRAY[taken.slot], to_jsonb((free ->> taken.slot)::int - 1));
                places := places - 1;
                RETURN NEXT taken;
            END IF;
        END IF;
    END LOOP;

    SELECT max(j.priority) INTO level FROM aiohttp_jobs.jobs j WHERE j.state = 'queued';
    WHILE level IS NOT NULL AND places > 0 LOOP
        -- Each user with jobs of this priority once, from one to the next along the index.
        WITH RECURSIVE users AS (
            (SELECT j.user_id FROM aiohttp_jobs.jobs j WHERE j.state = 'queued' AND j.priority = level
             ORDER BY j.user_id LIMIT 1)
            UNION ALL
            SELECT (SELECT j.user_id FROM aiohttp_jobs.jobs j
                    WHERE j.state = 'queued' AND j.priority = level AND j.user_id > users.user_id
                    ORDER BY j.user_id LIMIT 1)
            FROM users WHERE users.user_id IS NOT NULL
        )
        SELECT array_agg(users.user_id ORDER BY coalesce(t.turn, 0), head.place) INTO whose
        FROM users
        LEFT JOIN aiohttp_jobs.user_turns t ON t.priority = level AND t.user_id = users.user_id
        CROSS JOIN LATERAL (
            SELECT j.place FROM aiohttp_jobs.jobs j
            WHERE j.state = 'queued' AND j.priority = level AND j.user_id = users.user_id
            ORDER BY j.place LIMIT 1
        ) AS head
        WHERE users.user_id IS NOT NULL;
        LOOP
            has_taken := false;
            FOREACH one_user IN ARRAY coalesce(whose, ARRAY[]::text[]) LOOP
                EXIT WHEN places <= 0;
                SELECT first_ones.job_id INTO next_id FROM (
                    SELECT j AS job, j.job_id, j.place FROM aiohttp_jobs.jobs j
                    WHERE j.state = 'queued' AND j.priority = level AND j.user_id = one_user
                    ORDER BY j.place LIMIT 64
                ) AS first_ones
                WHERE aiohttp_jobs.may_start_1(first_ones.job, me, free, per_user, stall)
                ORDER BY first_ones.place LIMIT 1;
                CONTINUE WHEN next_id IS NULL;
                taken := aiohttp_jobs.take_1(next_id, me, claim);
                CONTINUE WHEN taken.job_id IS NULL;
                free := jsonb_set(free, ARRAY[taken.slot], to_jsonb((free ->> taken.slot)::int - 1));
                places := places - 1;
                has_taken := true;
                RETURN NEXT taken;
            END LOOP;
            EXIT WHEN NOT has_taken OR places <= 0;
        END LOOP;
        SELECT max(j.priority) INTO level FROM aiohttp_jobs.jobs j
        WHERE j.state = 'queued' AND j.priority < level;
    END LOOP;
END $$;

-- What a table without statistics seems to cost is a guess, and every question here has an index.
ALTER FUNCTION aiohttp_jobs.claim_1 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_1 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_1 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_1 SET jit = off;
ALTER FUNCTION aiohttp_jobs.submit_1 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.submit_1 SET jit = off;
-- A plan for any values is not one for few rows of many.
ALTER FUNCTION aiohttp_jobs.claim_1 SET plan_cache_mode = force_custom_plan;
