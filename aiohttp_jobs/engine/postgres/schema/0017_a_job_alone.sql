-- A claim that finds one job waiting takes it without a look at whose turn it is, and leaves the line that it was in: the
-- same user's next job finds it. What is left so goes with the next claim that looks at lines, as each does while there are
-- more than 16. (claim_3 makes some 25 statements for a job alone, and deletes a line that the next submission makes again.)
CREATE OR REPLACE FUNCTION aiohttp_jobs.claim_4(
    me uuid, claim uuid, free jsonb, my_offers text[], per_user int, overall int,
    starvation double precision, stall double precision, known_rights bigint,
    OUT taken_id uuid, OUT taken_fence bigint, OUT taken_submission json, OUT taken_lock text,
    OUT next_due double precision, OUT keys_number bigint, OUT rights_mark bigint, OUT new_rights json
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    the_time timestamptz := clock_timestamp();
    how_many int;
    next_id uuid;
    taken aiohttp_jobs.jobs;
BEGIN
    IF EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.state = 'pending' AND j.run_at <= the_time) THEN
        RETURN QUERY SELECT * FROM aiohttp_jobs.claim_3(
            me, claim, free, my_offers, per_user, overall, starvation, stall, known_rights);
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM aiohttp_jobs.jobs j WHERE j.state = 'queued') THEN
        PERFORM pg_advisory_xact_lock(7305, 1);
        -- Under the lock, so that nothing that was queued before is passed over, whatever was waited for.
        SELECT count(*), (array_agg(two.job_id))[1] INTO how_many, next_id
        FROM (SELECT j.job_id FROM aiohttp_jobs.jobs j WHERE j.state = 'queued' LIMIT 2) AS two;
        IF how_many > 1 OR (SELECT count(*) > 16 FROM (SELECT FROM aiohttp_jobs.lines LIMIT 17) AS many) THEN
            RETURN QUERY SELECT * FROM aiohttp_jobs.claim_3(
                me, claim, free, my_offers, per_user, overall, starvation, stall, known_rights);
            RETURN;
        END IF;
        SELECT j.job_id INTO next_id FROM aiohttp_jobs.jobs j
        WHERE j.job_id = next_id AND j.state = 'queued' AND j.needs <@ my_offers
            AND aiohttp_jobs.may_start_2(j, me, free, per_user, stall)
            AND NOT coalesce((SELECT i.is_paused FROM aiohttp_jobs.installation i), false)
            AND NOT coalesce((SELECT p.is_draining FROM aiohttp_jobs.processes p WHERE p.process_id = me), false)
            AND (overall IS NULL
                OR overall > (SELECT count(*) FROM aiohttp_jobs.jobs r WHERE r.state = 'running'));
        IF next_id IS NOT NULL THEN
            taken := aiohttp_jobs.take_1(next_id, me, claim);
            IF taken.job_id IS NOT NULL THEN
                taken_id := taken.job_id;
                taken_fence := taken.fence;
                taken_submission := taken.submission;
                taken_lock := taken.lock_name;
                RETURN NEXT;
                taken_id := NULL;
                taken_fence := NULL;
                taken_submission := NULL;
                taken_lock := NULL;
            END IF;
        END IF;
    END IF;
    SELECT extract(epoch FROM (SELECT min(j.run_at) FROM aiohttp_jobs.jobs j WHERE j.state = 'pending') - the_time),
        (SELECT k.number FROM aiohttp_jobs.record_kinds k WHERE k.kind = 'api_key'),
        hashtextextended(i.rights::text, 7305),
        CASE WHEN hashtextextended(i.rights::text, 7305) IS DISTINCT FROM known_rights THEN i.rights END
    INTO next_due, keys_number, rights_mark, new_rights FROM aiohttp_jobs.installation i;
    RETURN NEXT;
END $$;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET jit = off;
ALTER FUNCTION aiohttp_jobs.claim_4 SET plan_cache_mode = force_generic_plan;
