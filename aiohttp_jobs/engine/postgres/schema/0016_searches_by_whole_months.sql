-- A search for what is rare reads its entries of whole months in the index, and does not tell days apart beside them:
-- the entries of each day are of all results, and were most of what was read. Words that are met often are looked for
-- in the results that the others find, as the index would read their long lists. The functions of the release before
-- stay for its processes.

-- As in 0015, but for `other_words`, which results have too, and the bound of days.
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
                        AND (other_words IS NULL OR r.words @@ other_words)
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
                the_words tsquery, other_words tsquery, some_statuses text[], some_modes text[], whose text, the_name text,
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
                    -- The index tells days apart, which takes the longer the more they are. A longer stretch is taken where
                    -- little is found: its entries of whole months are few.
                    IF high / day - low / day < 5 THEN
                        days := ARRAY(SELECT generate_series(low / day, high / day));
                        RETURN QUERY %s
                    ELSE
                        WHILE n < cardinality(lowest) AND aiohttp_jobs.month_of(CASE WHEN is_down
                            THEN lowest[n + 1] ELSE highest[n + 1] END)
                            = aiohttp_jobs.month_of(CASE WHEN is_down THEN low ELSE high END)
                        LOOP
                            n := n + 1;
                            low := least(low, lowest[n]);
                            high := greatest(high, highest[n]);
                        END LOOP;
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
        $function$, 'found_by_' || kind.name || '_2',
            replace(found, 'WHERE ', 'WHERE ARRAY[r.id / 88473600000000] && days AND '), found);
    END LOOP;
END $make$;
