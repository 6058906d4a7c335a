-- A search by words, status and mode looks at one period after the other within one call. What it cost among many
-- results was a statement for each period, and to plan it for all months, which a function does once in a session.

-- What has the marks, of one stretch of ids after the other, until there are `most`. When it takes longer than
-- `seconds`, it ends with a row that has no record but the last id up to which it has looked. Stretches are taken
-- together where they will hardly have what is missing: of those from `began` on, of which the caller knows `seen`.
-- There is a function for each choice of marks, whose plan, the same for all values, goes by the index of these alone:
-- it takes ids for dear, and a third of all for what is on one side of a number. So their range leaves out months, and
-- no plan reads the ids of one to find few results.
DO $make$
DECLARE
    kind record;
    found text;
BEGIN
    FOR kind IN
        SELECT concat_ws('_', words.name, status.name, mode.name) AS name,
            concat_ws(' AND ', words.has, status.has, mode.has) AS has
        FROM (VALUES ('words', 'r.words @@ the_words'), (NULL, NULL)) AS words (name, has),
            (VALUES ('status', 'ARRAY[r.status] && some_statuses'), (NULL, NULL)) AS status (name, has),
            (VALUES ('mode', 'ARRAY[r.mode] && some_modes'), (NULL, NULL)) AS mode (name, has)
        WHERE coalesce(words.name, status.name, mode.name) IS NOT NULL
    LOOP
        -- Of those found, few are told of: only their records become text.
        found := format($found$
                SELECT f.id, f.record::text, CASE WHEN with_long_fields THEN f.long_fields::text ELSE '{}' END FROM (
                    SELECT r.id, r.record, r.long_fields FROM aiohttp_jobs.results r
                    WHERE %s AND r.id >= low AND r.id <= ANY(ARRAY[high])
                        AND (whose IS NULL OR r.user_id = whose)
                        AND (the_name IS NULL
                            OR CASE WHEN is_beginning THEN starts_with(r.name, the_name) ELSE r.name = the_name END)
                        AND (is_success IS NULL OR r.success = is_success)
                        AND (first_job IS NULL OR r.job_id BETWEEN first_job AND last_job)
                    ORDER BY CASE WHEN is_down THEN -r.id ELSE r.id END LIMIT most - got
                ) f;
            $found$, kind.has);
        EXECUTE format($function$
            CREATE FUNCTION aiohttp_jobs.%I(
                the_words tsquery, some_statuses text[], some_modes text[], whose text, the_name text,
                is_beginning boolean, is_success boolean, first_job uuid, last_job uuid, with_long_fields boolean,
                lowest bigint[], highest bigint[], is_down boolean, began bigint, seen int,
                most int, seconds double precision
            ) RETURNS TABLE (found_id bigint, found_record text, found_long_fields text)
            LANGUAGE plpgsql STABLE AS $body$
            DECLARE
                day CONSTANT bigint := 88473600000000;
                the_end timestamptz := clock_timestamp() + make_interval(secs => seconds);
                the_edge bigint := CASE WHEN is_down THEN highest[1] ELSE lowest[1] END;
                n int := 1;
                low bigint;
                high bigint;
                days bigint[];
                got int := 0;
                more int;
            BEGIN
                WHILE n <= cardinality(lowest) LOOP
                    low := lowest[n];
                    high := highest[n];
                    WHILE n < cardinality(lowest) AND (seen + got + 1) * CASE WHEN is_down
                        THEN the_edge - lowest[n + 1] ELSE highest[n + 1] - the_edge END::double precision
                        <= (most - got) * abs(began - the_edge)::double precision
                    LOOP
                        n := n + 1;
                        low := least(low, lowest[n]);
                        high := greatest(high, highest[n]);
                    END LOOP;
                    -- The index tells days apart; longer stretches are of all its entries.
                    IF high / day - low / day < 40 THEN
                        days := ARRAY(SELECT generate_series(low / day, high / day));
                        RETURN QUERY %s
                    ELSE
                        RETURN QUERY %s
                    END IF;
                    GET DIAGNOSTICS more = ROW_COUNT;
                    got := got + more;
                    IF got = most THEN
                        RETURN;
                    END IF;
                    the_edge := CASE WHEN is_down THEN low ELSE high END;
                    IF clock_timestamp() > the_end THEN
                        found_id := the_edge;
                        RETURN NEXT;
                        RETURN;
                    END IF;
                    n := n + 1;
                END LOOP;
            END $body$
            SET enable_seqscan = off SET enable_indexscan = off SET jit = off SET cpu_index_tuple_cost = 1000
            SET max_parallel_workers_per_gather = 0 SET plan_cache_mode = force_generic_plan
        $function$, 'found_by_' || kind.name || '_1',
            replace(found, 'WHERE ', 'WHERE ARRAY[r.id / 88473600000000] && days AND '), found);
    END LOOP;
END $make$;
