// The API over HTTP: JSON requests; event streams are left to `follow`.
// Who is asking is told by the host's session cookie or, where one was entered, by an API key.
import { csrfHeaders } from "./csrf.js";

const BASE = new URL("api/v1/", location.href);
const KEY_NAME = `aiohttp-jobs:${location.pathname}:api-key`;

/** What went wrong, as a sentence; `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(status, message, code = "", details = []) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
  }
}

export const apiKey = {
  get: () => sessionStorage.getItem(KEY_NAME),
  set: (secret) => sessionStorage.setItem(KEY_NAME, secret),
  clear: () => sessionStorage.removeItem(KEY_NAME),
};

/** The whole address of `path` below the API; parameters that are empty are left out. */
export function apiUrl(path, query = {}) {
  const url = new URL(path.replace(/^\//, ""), BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{query?: object, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 */
async function send(method, path, { query, body, headers = {}, signal } = {}) {
  const all = { ...headers };
  // No form can send this header.
  if (method !== "GET") Object.assign(all, csrfHeaders(), { "X-Requested-With": "aiohttp-jobs" });
  const secret = apiKey.get();
  if (secret) all.Authorization = `Bearer ${secret}`;
  if (body !== undefined) all["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(apiUrl(path, query), {
      method, signal, headers: all, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server cannot be reached. Check your connection, then try again.");
  }
  if (!response.ok) throw await failure(response);
  return response;
}

async function failure(response) {
  if (response.status === 401) document.dispatchEvent(new Event("aiohttp-jobs:signed-out"));
  try {
    const { error, code, details } = await response.json();
    return new ApiError(response.status, error, code, details ?? []);
  } catch {
    return new ApiError(response.status, `The server answered with status ${response.status}.`);
  }
}

/** JSON from the API. Raises `ApiError`. */
export async function request(method, path, options) {
  return (await send(method, path, options)).json();
}

export const get = (path, query, signal) => request("GET", path, { query, signal });
export const post = (path, body = {}) => request("POST", path, { body });

/** A piece of output: `{text, offset, next, complete}`, offsets in bytes. */
export async function getOutput(jobId, offset, limit, signal) {
  const response = await send("GET", `jobs/${jobId}/output`, { query: { offset, limit }, signal });
  return {
    text: await response.text(),
    offset: Number(response.headers.get("X-Output-Offset")),
    next: Number(response.headers.get("X-Output-Next")),
    complete: response.headers.get("X-Output-Complete") === "true",
  };
}

/** A whole answer as a file to be saved; with an API key a plain link would not do. */
export async function download(path, name) {
  const blob = await (await send("GET", path)).blob();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
