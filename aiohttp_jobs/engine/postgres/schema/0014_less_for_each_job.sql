-- Less for each job: a submission does not count all that its user waits for and tells of itself, and a claim that
-- finds nothing holds up no other.

-- How many jobs of a user wait at most, and how many bytes they have: of users of whom 64 have waited at once. What has
-- been accepted since they were counted last is added, and what has begun since then is not taken off.
CREATE TABLE aiohttp_jobs.waiting_amounts (
    user_id text PRIMARY KEY,
    jobs bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION aiohttp_jobs.wait_again_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE aiohttp_jobs.waiting_amounts w SET jobs = w.jobs + 1, bytes = w.bytes + NEW.size
    WHERE w.user_id = NEW.user_id;
    RETURN NULL;
END $$;
ALTER FUNCTION aiohttp_jobs.wait_again_1 SET enable_seqscan = off;
CREATE TRIGGER count_again AFTER UPDATE OF state ON aiohttp_jobs.jobs
FOR EACH ROW WHEN (OLD.state = 'running' AND NEW.state <> 'running') EXECUTE FUNCTION aiohttp_jobs.wait_again_1();

-- As before, but all that wait are counted only when the limit may be reached.
CREATE OR REPLACE FUNCTION aiohttp_jobs.submit_2(
    the_id uuid, whose text, name text, in_slot text, with_priority int, due timestamptz, lock text, bytes bigint,
    needed text[], only_host uuid, attempt_number int, record json, most_jobs bigint, most_bytes bigint,
    OUT is_accepted boolean, OUT waiting bigint, OUT waiting_bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    is_later boolean := due IS NOT NULL AND due > clock_timestamp();
    are_many boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(whose, 7305));
    is_accepted := EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.job_id = the_id)
        OR EXISTS (SELECT FROM aiohttp_jobs.ended_jobs e WHERE e.job_id = the_id);
    IF is_accepted THEN
        RETURN;
    END IF;
    SELECT count(*), coalesce(sum(few.size), 0) INTO waiting, waiting_bytes FROM (
        SELECT j.size FROM aiohttp_jobs.jobs j WHERE j.user_id = whose AND j.state <> 'running' LIMIT 64
    ) AS few;
    are_many := waiting >= 64;
    IF are_many THEN
        SELECT w.jobs, w.bytes INTO waiting, waiting_bytes
        FROM aiohttp_jobs.waiting_amounts w WHERE w.user_id = whose FOR UPDATE;
        IF NOT FOUND OR waiting >= most_jobs OR waiting_bytes + bytes > most_bytes THEN
            SELECT count(*), coalesce(sum(j.size), 0) INTO waiting, waiting_bytes
            FROM aiohttp_jobs.jobs j WHERE j.user_id = whose AND j.state <> 'running';
            INSERT INTO aiohttp_jobs.waiting_amounts AS w (user_id, jobs, bytes)
            VALUES (whose, waiting, waiting_bytes)
            ON CONFLICT (user_id) DO UPDATE SET jobs = excluded.jobs, bytes = excluded.bytes;
        END IF;
    ELSE
        -- It would not be at least what waits any more.
        DELETE FROM aiohttp_jobs.waiting_amounts w WHERE w.user_id = whose;
    END IF;
    IF waiting >= most_jobs OR (waiting > 0 AND waiting_bytes + bytes > most_bytes) THEN
        RETURN;
    END IF;
    INSERT INTO aiohttp_jobs.jobs (job_id, state, user_id, job_name, slot, priority, run_at, lock_name, size, needs,
        host, attempt, submission, queued_at)
    VALUES (the_id, CASE WHEN is_later THEN 'pending' ELSE 'queued' END, whose, name, in_slot, with_priority, due,
        lock, bytes, needed, only_host, attempt_number, record,
        CASE WHEN is_later THEN NULL ELSE clock_timestamp() END);
    IF are_many THEN
        UPDATE aiohttp_jobs.waiting_amounts w SET jobs = w.jobs + 1, bytes = w.bytes + submit_2.bytes
        WHERE w.user_id = whose;
    END IF;
    is_accepted := true;
END $$;
ALTER FUNCTION aiohttp_jobs.submit_2 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.submit_2 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.submit_2 SET jit = off;
ALTER FUNCTION aiohttp_jobs.submit_2 SET plan_cache_mode = force_generic_plan;

-- As before, of a release that knows of no needs.
CREATE OR REPLACE FUNCTION aiohttp_jobs.submit_1(
    the_id uuid, whose text, name text, in_slot text, with_priority int, due timestamptz, lock text, bytes bigint,
    only_host uuid, attempt_number int, record json, most_jobs bigint, most_bytes bigint,
    OUT is_accepted boolean, OUT waiting bigint, OUT waiting_bytes bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.is_accepted, s.waiting, s.waiting_bytes INTO is_accepted, waiting, waiting_bytes
    FROM aiohttp_jobs.submit_2(the_id, whose, name, in_slot, with_priority, due, lock, bytes, '{}', only_host,
        attempt_number, record, most_jobs, most_bytes) s;
END $$;

-- Accept a job, and tell of it once it is committed: a commit that tells would wait for those of others that do.
CREATE PROCEDURE aiohttp_jobs.submit_and_tell_1(
    the_id uuid, whose text, name text, in_slot text, with_priority int, due timestamptz, lock text, bytes bigint,
    needed text[], only_host uuid, attempt_number int, record json, most_jobs bigint, most_bytes bigint,
    channel text, said text, INOUT is_accepted boolean, INOUT waiting bigint, INOUT waiting_bytes bigint
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.is_accepted, s.waiting, s.waiting_bytes INTO is_accepted, waiting, waiting_bytes
    FROM aiohttp_jobs.submit_2(the_id, whose, name, in_slot, with_priority, due, lock, bytes, needed, only_host,
        attempt_number, record, most_jobs, most_bytes) s;
    COMMIT;
    IF is_accepted THEN
        PERFORM pg_notify(channel, said);
    END IF;
END $$;

-- As claim_3. Where nothing waits, others that claim are not held up: whatever is queued later is told of afterwards.
CREATE FUNCTION aiohttp_jobs.claim_4(
    me uuid, claim uuid, free jsonb, my_offers text[], per_user int, overall int,
    starvation double precision, stall double precision, known_rights bigint,
    OUT taken_id uuid, OUT taken_fence bigint, OUT taken_submission json, OUT taken_lock text,
    OUT next_due double precision, OUT keys_number bigint, OUT rights_mark bigint, OUT new_rights json
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    the_time timestamptz := clock_timestamp();
BEGIN
    IF EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.state = 'queued')
        OR EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.state = 'pending' AND j.run_at <= the_time) THEN
        RETURN QUERY SELECT * FROM aiohttp_jobs.claim_3(
            me, claim, free, my_offers, per_user, overall, starvation, stall, known_rights);
        RETURN;
    END IF;
    SELECT extract(epoch FROM min(j.run_at) - the_time) INTO next_due
    FROM aiohttp_jobs.jobs j WHERE j.state = 'pending';
    SELECT k.number INTO keys_number FROM aiohttp_jobs.record_kinds k WHERE k.kind = 'api_key';
    SELECT hashtextextended(i.rights::text, 7305),
        CASE WHEN hashtextextended(i.rights::text, 7305) IS DISTINCT FROM known_rights THEN i.rights END
    INTO rights_mark, new_rights FROM aiohttp_jobs.installation i;
    RETURN NEXT;
END $$;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET jit = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET plan_cache_mode = force_generic_plan;

-- Give a verdict with its notices, and tell of it once it is committed: false when it is the process's no longer.
CREATE PROCEDURE aiohttp_jobs.verdict_and_tell_1(
    the_job uuid, the_fence bigint, me uuid, the_attempt int, has_all boolean,
    wanted_id bigint, first_of_month bigint, last_of_month bigint, whose text, the_name text, the_status text,
    the_mode text, is_success boolean, the_start bigint, the_runtime double precision, bytes bigint,
    the_record json, the_long_fields json, earlier json, the_submission json, the_words text[],
    notice_ids uuid[], the_notices text[], channels text[], news text[], INOUT is_given boolean
) LANGUAGE plpgsql AS $$
BEGIN
    is_given := aiohttp_jobs.verdict_1(the_job, the_fence, me, the_attempt, has_all, wanted_id, first_of_month,
        last_of_month, whose, the_name, the_status, the_mode, is_success, the_start, the_runtime, bytes, the_record,
        the_long_fields, earlier, the_submission, the_words);
    IF is_given AND notice_ids <> '{}' THEN
        PERFORM aiohttp_jobs.keep_notices_1(whose, notice_ids, the_notices);
    END IF;
    COMMIT;
    IF is_given THEN
        PERFORM pg_notify(n.channel, n.said) FROM unnest(channels, news) AS n (channel, said);
    END IF;
END $$;
