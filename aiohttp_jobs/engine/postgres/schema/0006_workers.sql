-- Who the processes are and what they can run, and what a job needs of whoever runs it.

ALTER TABLE aiohttp_jobs.processes
    ADD COLUMN kind text NOT NULL DEFAULT 'host' CHECK (kind IN ('host', 'worker')),
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN machine text NOT NULL DEFAULT '',
    ADD COLUMN pid integer,
    ADD COLUMN version text NOT NULL DEFAULT '',
    ADD COLUMN labels text[] NOT NULL DEFAULT '{}',
    -- All that a job may need of it, labels included.
    ADD COLUMN offers text[] NOT NULL DEFAULT '{}',
    -- How many jobs it runs at once, by slot.
    ADD COLUMN places json NOT NULL DEFAULT '{}',
    ADD COLUMN is_draining boolean NOT NULL DEFAULT false;

-- All of them have to be among the offers of whoever runs the job.
ALTER TABLE aiohttp_jobs.jobs ADD COLUMN needs text[] NOT NULL DEFAULT '{}';

-- What the rights of hosts are by their configuration, signed: for workers, which have none of their own.
ALTER TABLE aiohttp_jobs.installation ADD COLUMN rights json;

-- Whether a waiting job may start in a process with these free places.
CREATE FUNCTION aiohttp_jobs.may_start_2(
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

-- Processes of the release before know of no needs, and leave such jobs alone.
CREATE OR REPLACE FUNCTION aiohttp_jobs.may_start_1(
    job aiohttp_jobs.jobs, me uuid, free jsonb, per_user int, stall double precision
) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN job.needs = '{}' AND aiohttp_jobs.may_start_2(job, me, free, per_user, stall);
END $$;

-- As submit_1, with what whoever runs the job has to offer.
CREATE FUNCTION aiohttp_jobs.submit_2(
    the_id uuid, whose text, name text, in_slot text, with_priority int, due timestamptz, lock text, bytes bigint,
    needed text[], only_host uuid, attempt_number int, record json, most_jobs bigint, most_bytes bigint,
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
    INSERT INTO aiohttp_jobs.jobs (job_id, state, user_id, job_name, slot, priority, run_at, lock_name, size, needs,
        host, attempt, submission, queued_at)
    VALUES (the_id, CASE WHEN is_later THEN 'pending' ELSE 'queued' END, whose, name, in_slot, with_priority, due,
        lock, bytes, needed, only_host, attempt_number, record,
        CASE WHEN is_later THEN NULL ELSE clock_timestamp() END);
    is_accepted := true;
END $$;

-- As claim_1, of the jobs that this process can run. What it cannot run is left out before the first ones of a user
-- are looked at: of another's jobs, however many wait, none holds up one of these.
CREATE FUNCTION aiohttp_jobs.claim_2(
    me uuid, claim uuid, free jsonb, my_offers text[], per_user int, overall int,
    starvation double precision, stall double precision
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
    IF (SELECT i.is_paused FROM aiohttp_jobs.installation i)
        OR (SELECT p.is_draining FROM aiohttp_jobs.processes p WHERE p.process_id = me) THEN
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
            AND j.needs <@ my_offers
        ORDER BY j.queued_at LIMIT 256
    LOOP
        EXIT WHEN places <= 0;
        IF (SELECT aiohttp_jobs.may_start_2(j, me, free, per_user, stall)
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
                        AND j.needs <@ my_offers
                    ORDER BY j.place LIMIT 64
                ) AS first_ones
                WHERE aiohttp_jobs.may_start_2(first_ones.job, me, free, per_user, stall)
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

ALTER FUNCTION aiohttp_jobs.claim_2 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_2 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_2 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_2 SET jit = off;
ALTER FUNCTION aiohttp_jobs.submit_2 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.submit_2 SET jit = off;
-- A plan for any values is not one for few rows of many.
ALTER FUNCTION aiohttp_jobs.claim_2 SET plan_cache_mode = force_custom_plan;
