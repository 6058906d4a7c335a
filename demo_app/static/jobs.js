// The home page's script: submits jobs to the plugin's API and shows the results, once a second.
// Everything that comes from a job is put into the page as text, never as HTML.
"use strict";

const jobs = document.getElementById("jobs");
const api = jobs.dataset.api;
const form = document.getElementById("submit");
const waitingList = document.getElementById("waiting");
const resultList = document.getElementById("results");
const message = document.getElementById("message");
const waiting = new Map();
const finished = new Map();

function say(text, isProblem = false) {
  if (message.textContent !== text) message.textContent = text;
  message.classList.toggle("problem", isProblem);
}

async function call(method, path, body) {
  const options = { method, headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(api + path, options);
  } catch {
    throw new Error("The server does not answer. Trying again each second.");
  }
  if (response.status === 401) location.assign("/login");
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The server answered with status ${response.status}.`);
  return answer;
}

function card(template, texts) {
  const item = document.getElementById(template).content.firstElementChild.cloneNode(true);
  for (const [name, text] of Object.entries(texts)) item.querySelector("." + name).textContent = text;
  return item;
}

function addWaiting(jobId, job) {
  if (finished.has(jobId)) return;
  const facts = `${job.executionMode} · ${job.interpreter}`;
  const item = card("waiting-job", { name: job.jobName, facts, command: job.command });
  waiting.set(jobId, item);
  waitingList.prepend(item);
}

function facts(result) {
  const ended = new Date(result.DateCompleted).toLocaleString();
  const code = result.ExitCode === null ? "" : ` · exit code ${result.ExitCode}`;
  const cut = result.OutputTruncated ? " · output shortened" : "";
  return `${result.ExecutionMode} · ${result.Interpreter || "no interpreter"} · ${result.Runtime.toFixed(3)} s${code} · ${ended}${cut}`;
}

function finishedCard(result) {
  const item = card("finished-job", {
    status: result.Status,
    name: result.JobName,
    facts: facts(result),
    command: result.Command,
    output: result.Output,
  });
  item.querySelector(".status").classList.add(result.Success ? "good" : "bad");
  const button = item.querySelector(".delete");
  button.setAttribute("aria-label", `Delete the result of ${result.JobName}`);
  button.addEventListener("click", () => remove(result.JobID, button));
  return item;
}

async function remove(jobId, button) {
  button.disabled = true;
  try {
    const answer = await call("DELETE", `/jobs/results?jobId=${encodeURIComponent(jobId)}`);
    say(`${answer.message}.`);
    await refresh();
  } catch (error) {
    button.disabled = false;
    say(error.message, true);
  }
}

function show(results) {
  const current = new Set(results.map((result) => result.JobID));
  for (const [jobId, item] of finished) {
    if (current.has(jobId)) continue;
    item.remove();
    finished.delete(jobId);
  }
  let place = resultList.firstElementChild;
  for (const result of results) {
    let item = finished.get(result.JobID);
    if (item === undefined) {
      item = finishedCard(result);
      finished.set(result.JobID, item);
      waiting.get(result.JobID)?.remove();
      waiting.delete(result.JobID);
    }
    // Only what is not in its place is moved: a selection or a scroll position stays.
    if (item === place) place = place.nextElementSibling;
    else resultList.insertBefore(item, place);
  }
  document.getElementById("none").hidden = finished.size + waiting.size > 0;
}

let asked = 0;
let shown = 0;
let serverIsGone = false;

async function refresh() {
  const mine = ++asked;
  const answer = await call("GET", "/jobs/results?maxResults=50");
  if (mine < shown) return; // an answer that was overtaken by a later one
  shown = mine;
  show(answer.results);
}

async function keepRefreshing() {
  if (!document.hidden) {
    try {
      await refresh();
      if (serverIsGone) say("");
      serverIsGone = false;
    } catch (error) {
      serverIsGone = true;
      say(error.message, true);
    }
  }
  setTimeout(keepRefreshing, 1000);
}

async function submit(event) {
  event.preventDefault();
  const fields = ["jobName", "executionMode", "interpreter", "command"];
  const job = Object.fromEntries(fields.map((name) => [name, form.elements[name].value]));
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await call("POST", "/jobs/submit", job);
    addWaiting(answer.jobId, job);
    say(`${answer.message}.`);
    await refresh();
  } catch (error) {
    say(error.message, true);
  } finally {
    button.disabled = false;
  }
}

form?.addEventListener("submit", submit);
form?.elements.command.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
keepRefreshing();
