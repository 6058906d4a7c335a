-- Addresses at which other programs run templates.

INSERT INTO aiohttp_jobs.record_kinds (kind) VALUES ('trigger');
