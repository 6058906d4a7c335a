// How far a job is, as it is shown. Pure.

/** What a job's stream tells, as the job's record has it. */
export const progressOf = ({ share, text }) => (share === undefined ? undefined : { Share: share, Text: text ?? "" });

/** A record with what is newer: a progress that it does not have is shown no longer. */
export function withNews(known, news) {
  const { Progress: _, ...rest } = known ?? {};
  return { ...rest, ...news };
}

/** Whole percents, which are 100 only at the end; null where the share is not known. */
export const percentOf = ({ Share }) => (Share === null ? null : Math.floor(Share * 100 + 1e-6));

/** "42 % · 420 rows" */
export function progressWords(progress) {
  const percent = percentOf(progress);
  return [percent === null ? "" : `${percent} %`, progress.Text].filter(Boolean).join(" · ");
}

/** What is to be shown of a job that runs, or null; `printed` was read out of its output, which may be older ways. */
export function shownProgress(job, printed = null) {
  if (job.Status !== "Running") return null;
  if (job.Progress) return job.Progress;
  return printed && { Share: printed.percent / 100, Text: printed.message };
}
