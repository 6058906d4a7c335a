-- Notices are there to be sent when the verdict is that they tell of.

-- Keep the notices of a verdict, within its transaction and as the last thing in it: whoever changes notices is alone
-- with them until the commit. One that is there already stays as it is: it may have been sent.
CREATE FUNCTION aiohttp_jobs.keep_notices_1(whose text, ids uuid[], the_records text[]) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    this_change bigint;
BEGIN
    UPDATE aiohttp_jobs.record_kinds k SET number = k.number + 1 WHERE k.kind = 'notice'
    RETURNING k.number INTO this_change;
    INSERT INTO aiohttp_jobs.records (kind, record_id, user_id, changed_number, record)
    SELECT 'notice', n.id, whose, this_change, n.record::json FROM unnest(ids, the_records) AS n (id, record)
    ON CONFLICT (kind, record_id) DO NOTHING;
    RETURN true;
END $$;
ALTER FUNCTION aiohttp_jobs.keep_notices_1 SET enable_seqscan = off;
ALTER FUNCTION aiohttp_jobs.keep_notices_1 SET plan_cache_mode = force_generic_plan;
