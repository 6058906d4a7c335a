-- A claim among a thousand users looks at those whose turn it is, and no longer at all of them.

-- The users with queued jobs of a priority, in the order of their turns; and some of whom none waits any more, until a
-- claim comes upon them. `turn` is that of `user_turns`; of those without one, who has waited longest comes first.
CREATE TABLE aiohttp_jobs.lines (
    priority smallint NOT NULL,
    user_id text NOT NULL,
    turn bigint NOT NULL,
    head bigint NOT NULL,
    PRIMARY KEY (priority, user_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX lines_in_turn ON aiohttp_jobs.lines (priority, turn, head);

-- Whoever queues a job holds its line until the commit, so that nobody takes the line for empty meanwhile.
CREATE FUNCTION aiohttp_jobs.line_up_1() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOOP
        PERFORM FROM aiohttp_jobs.lines l
        WHERE l.priority = NEW.priority AND l.user_id = NEW.user_id FOR KEY SHARE;
        EXIT WHEN FOUND;
        INSERT INTO aiohttp_jobs.lines (priority, user_id, turn, head)
        VALUES (NEW.priority, NEW.user_id, coalesce((
            SELECT t.turn FROM aiohttp_jobs.user_turns t
            WHERE t.priority = NEW.priority AND t.user_id = NEW.user_id), 0), NEW.place)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    RETURN NULL;
END $$;
ALTER FUNCTION aiohttp_jobs.line_up_1 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.line_up_1 SET plan_cache_mode = force_generic_plan;
CREATE TRIGGER line_up AFTER INSERT OR UPDATE OF state ON aiohttp_jobs.jobs
FOR EACH ROW WHEN (NEW.state = 'queued') EXECUTE FUNCTION aiohttp_jobs.line_up_1();

INSERT INTO aiohttp_jobs.lines (priority, user_id, turn, head)
SELECT j.priority, j.user_id, coalesce(max(t.turn), 0), min(j.place)
FROM aiohttp_jobs.jobs j
LEFT JOIN aiohttp_jobs.user_turns t ON t.priority = j.priority AND t.user_id = j.user_id
WHERE j.state = 'queued' GROUP BY j.priority, j.user_id;

-- As before, and whose turn it was goes to the end of the lines too.
CREATE OR REPLACE FUNCTION aiohttp_jobs.take_1(the_id uuid, me uuid, claim uuid) RETURNS aiohttp_jobs.jobs
LANGUAGE plpgsql AS $$
DECLARE
    taken aiohttp_jobs.jobs;
    this_turn bigint;
BEGIN
    UPDATE aiohttp_jobs.jobs j
    SET state = 'running', process_id = me, claim_id = claim, fence = j.fence + 1, started_at = clock_timestamp(),
        pid = NULL, output_size = 0, progress = NULL
    WHERE j.job_id = the_id AND j.state = 'queued' RETURNING j.* INTO taken;
    IF FOUND THEN
        this_turn := nextval('aiohttp_jobs.turns');
        INSERT INTO aiohttp_jobs.user_turns (priority, user_id, turn)
        VALUES (taken.priority, taken.user_id, this_turn)
        ON CONFLICT (priority, user_id) DO UPDATE SET turn = excluded.turn;
        UPDATE aiohttp_jobs.lines l SET turn = this_turn
        WHERE l.priority = taken.priority AND l.user_id = taken.user_id;
    END IF;
    RETURN taken;
END $$;

-- As before, with the lines in place of a look at each user who waits.
CREATE OR REPLACE FUNCTION aiohttp_jobs.claim_3(
    me uuid, claim uuid, free jsonb, my_offers text[], per_user int, overall int,
    starvation double precision, stall double precision, known_rights bigint,
    OUT taken_id uuid, OUT taken_fence bigint, OUT taken_submission json, OUT taken_lock text,
    OUT next_due double precision, OUT keys_number bigint, OUT rights_mark bigint, OUT new_rights json
) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    places bigint;
    the_time timestamptz;
    level int;
    one_user text;
    left_lines text[] := '{}';
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
        LOOP
            has_taken := false;
            -- Read as far as there are places to fill.
            FOR one_user IN
                SELECT l.user_id FROM aiohttp_jobs.lines l WHERE l.priority = level ORDER BY l.turn, l.head
            LOOP
                EXIT WHEN places <= 0;
                SELECT first_ones.job_id INTO next_id FROM (
                    SELECT j AS job, j.job_id, j.place FROM aiohttp_jobs.jobs j
                    WHERE j.state = 'queued' AND j.priority = level AND j.user_id = one_user
                        AND j.needs <@ my_offers
                    ORDER BY j.place LIMIT 64
                ) AS first_ones
                WHERE aiohttp_jobs.may_start_2(first_ones.job, me, free, per_user, stall)
                ORDER BY first_ones.place LIMIT 1;
                IF next_id IS NULL THEN
                    left_lines := left_lines || one_user;
                    CONTINUE;
                END IF;
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
        -- Lines in which nobody is, unless somebody is about to be: what is seen is from after the line was locked.
        FOR one_user IN
            SELECT l.user_id FROM aiohttp_jobs.lines l
            WHERE l.priority = level AND l.user_id = ANY(left_lines) AND NOT EXISTS (
                SELECT FROM aiohttp_jobs.jobs j
                WHERE j.state = 'queued' AND j.priority = level AND j.user_id = l.user_id)
            FOR UPDATE SKIP LOCKED
        LOOP
            DELETE FROM aiohttp_jobs.lines l
            WHERE l.priority = level AND l.user_id = one_user AND NOT EXISTS (
                SELECT FROM aiohttp_jobs.jobs j
                WHERE j.state = 'queued' AND j.priority = level AND j.user_id = one_user);
        END LOOP;
        left_lines := '{}';
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

ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_bitmapscan = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET enable_sort = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET jit = off;
ALTER FUNCTION aiohttp_jobs.claim_3 SET plan_cache_mode = force_generic_plan;
