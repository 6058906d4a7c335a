-- A verdict as one statement, and a claim that also brings what was asked beside each. What they look for is found by
-- one index each, whatever the values are, so their plans are made once and not at every call.

-- End a job durably: false when it is the process's no longer. What it has printed beside its result is forgotten when
-- the result `has_all` of this attempt's. An id that another result has is given up for one nearby, of its month.
CREATE FUNCTION aiohttp_jobs.verdict_1(
    the_job uuid, the_fence bigint, me uuid, the_attempt int, has_all boolean,
    wanted_id bigint, first_of_month bigint, last_of_month bigint, whose text, the_name text, the_status text,
    the_mode text, is_success boolean, the_start bigint, the_runtime double precision, bytes bigint,
    the_record json, the_long_fields json, earlier json, the_submission json, the_words text[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    copied bigint;
    the_id bigint := wanted_id;
    spread bigint := 1024;
BEGIN
    DELETE FROM aiohttp_jobs.jobs j
    WHERE j.job_id = the_job AND j.fence = the_fence AND j.process_id = me AND j.state = 'running'
    RETURNING j.output_size INTO copied;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF the_attempt > 1 THEN
        DELETE FROM aiohttp_jobs.attempts a WHERE a.job_id = the_job;
    END IF;
    -- Nothing was copied of most jobs.
    IF copied > 0 OR the_attempt > 1 THEN
        IF has_all THEN
            DELETE FROM aiohttp_jobs.output_chunks c WHERE c.job_id = the_job AND c.attempt = the_attempt;
        END IF;
        bytes := bytes + coalesce((
            SELECT sum(octet_length(c.data)) FROM aiohttp_jobs.output_chunks c WHERE c.job_id = the_job), 0);
    END IF;
    LOOP
        INSERT INTO aiohttp_jobs.results
        VALUES (the_id, the_job, whose, the_name, the_status, the_mode, is_success, the_start, the_runtime, bytes,
            the_record, the_long_fields, earlier, the_submission, array_to_tsvector(the_words))
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
        -- In the same microsecond while there is room, so that times stay exact; then ever further away, so that any
        -- number of results with one and the same date find room. At random, as others choose at the same time.
        SELECT n INTO the_id FROM generate_series(wanted_id & ~1023::bigint, wanted_id | 1023) n
        WHERE NOT EXISTS (SELECT FROM aiohttp_jobs.results r WHERE r.id = n) ORDER BY random() LIMIT 1;
        IF the_id IS NULL THEN
            spread := 2 * spread;
            the_id := least(greatest(wanted_id + ((2 * random() - 1) * spread)::bigint, first_of_month), last_of_month);
        END IF;
    END LOOP;
    INSERT INTO aiohttp_jobs.ended_jobs (job_id, result_id) VALUES (the_job, the_id);
    INSERT INTO aiohttp_jobs.kept_amounts (user_id, month, results, size) VALUES (whose, first_of_month, 1, bytes);
    RETURN true;
END $$;

-- As claim_2. The last row is no job: it has in how many seconds the next one is due, how often API keys were changed
-- until now, and what the rights of hosts are, with a mark of it; without it where the mark is the one that is known.
CREATE FUNCTION aiohttp_jobs.claim_3(
    me uuid, claim uuid, free jsonb, my_offers text[], per_user int, overall int,
    starvation double precision, stall double precision, known_rights bigint,
    OUT taken_id uuid, OUT taken_fence bigint, OUT taken_submission json, OUT taken_lock text,
    OUT next_due double precision, OUT keys_number bigint, OUT rights_mark bigint, OUT new_rights json
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    places bigint;
    the_time timestamptz;
    level int;
    whose text[];
    one_user text;
    next_id uuid;
    taken aiohttp_jobs.jobs;
    has_taken boolean;
    may_take boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7305, 1);
    -- Under the lock, which whoever pauses takes too: nothing is claimed once they have their answer.
    may_take := NOT coalesce((SELECT i.is_paused FROM aiohttp_jobs.installation i), false)
        AND NOT coalesce((SELECT p.is_draining FROM aiohttp_jobs.processes p WHERE p.process_id = me), false);
    places := 0;
    IF may_take THEN
        the_time := clock_timestamp();
        UPDATE aiohttp_jobs.jobs j SET state = 'queued', queued_at = the_time
        WHERE j.state = 'pending' AND j.run_at <= the_time;
        SELECT coalesce(sum(greatest(f.value::int, 0)), 0) INTO places FROM jsonb_each_text(free) f;
        IF overall IS NOT NULL THEN
            places := least(places,
                overall - (SELECT count(*) FROM aiohttp_jobs.jobs j WHERE j.state = 'running'));
        END IF;
    END IF;

    IF places > 0 THEN
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
                    taken_id := taken.job_id;
                    taken_fence := taken.fence;
                    taken_submission := taken.submission;
                    taken_lock := taken.lock_name;
                    RETURN NEXT;
                END IF;
            END IF;
        END LOOP;
        SELECT max(j.priority) INTO level FROM aiohttp_jobs.jobs j WHERE j.state = 'queued';
    END IF;

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
                taken_id := taken.job_id;
                taken_fence := taken.fence;
                taken_submission := taken.submission;
                taken_lock := taken.lock_name;
                RETURN NEXT;
            END LOOP;
            EXIT WHEN NOT has_taken OR places <= 0;
        END LOOP;
        SELECT max(j.priority) INTO level FROM aiohttp_jobs.jobs j
        WHERE j.state = 'queued' AND j.priority < level;
    END LOOP;

    taken_id := NULL;
    taken_fence := NULL;
    taken_submission := NULL;
    taken_lock := NULL;
    SELECT extract(epoch FROM min(j.run_at) - clock_timestamp()) INTO next_due
    FROM aiohttp_jobs.jobs j WHERE j.state = 'pending';
    SELECT k.number INTO keys_number FROM aiohttp_jobs.record_kinds k WHERE k.kind = 'api_key';
    SELECT hashtextextended(i.rights::text, 7305) INTO rights_mark FROM aiohttp_jobs.installation i;
    IF rights_mark IS DISTINCT FROM known_rights THEN
        SELECT i.rights, hashtextextended(i.rights::text, 7305) INTO new_rights, rights_mark
        FROM aiohttp_jobs.installation i;
    END IF;
    RETURN NEXT;
END $$;

ALTER FUNCTION aiohttp_jobs.verdict_1 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.verdict_1 SET jit = off;
ALTER FUNCTION aiohttp_jobs.verdict_1 SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET jit = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET plan_cache_mode = force_generic_plan;
