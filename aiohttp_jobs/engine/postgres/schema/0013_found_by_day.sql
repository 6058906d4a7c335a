-- Results are found by words within some days, and by status and mode: each as quickly among ten million as among few.
-- The index is made anew, which holds up verdicts and deletions meanwhile: most of a minute for a million results.

CREATE INDEX results_found ON aiohttp_jobs.results
USING gin (words, (ARRAY[id / 88473600000000]), (ARRAY[status]), (ARRAY[mode]))
-- New entries wait in a list, of so many kilobytes at most because every search reads it to its end.
WITH (gin_pending_list_limit = 512);
DROP INDEX aiohttp_jobs.results_words;
