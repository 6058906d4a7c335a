-- A process is dead when it was not heard of for the stall time, of which no time counts in which nobody could be
-- heard: this server was away. So those that kept their jobs meanwhile have as long to be heard again.

CREATE OR REPLACE FUNCTION aiohttp_jobs.is_alive_1(process uuid, stall double precision) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM aiohttp_jobs.processes p
        WHERE p.process_id = process
            AND greatest(p.heard_at, pg_postmaster_start_time()) > clock_timestamp() - stall * interval '1 s')
$$;
