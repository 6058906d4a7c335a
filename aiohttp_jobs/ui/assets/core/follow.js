// Event streams as a tab follows them: through a worker that all tabs of the browser share, so that together they
// take few connections. A hidden tab follows nothing; it catches up when it is shown.
import { ApiError, apiKey, apiUrl } from "./api.js";

const HIDDEN_MS = 5000; // going from tab to tab and back costs nothing
const HERE_MS = 5000;
const SILENCE_MS = 12000;
const STRANGER_MS = 3000;
const WORKER = new URL("../stream-worker.js", import.meta.url);
const tell = (event) => document.dispatchEvent(new Event(`aiohttp-jobs:${event}`));

class Streams {
  followed = new Map();
  numbers = 0;
  userId = "";
  resting = document.hidden;
  timer = null;
  port = null;
  heard = 0;
  answered = false;
  ownPool = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.#seen());
    document.addEventListener("freeze", () => this.#rest());
    addEventListener("pagehide", () => { this.#rest(); this.#hangUp(); });
    setInterval(() => this.#check(), HERE_MS);
  }

  follow(path, { query, shared = false, onEvent, onState }) {
    const one = { id: ++this.numbers, url: apiUrl(path, query).href, shared, onEvent, onState, lastId: null };
    this.followed.set(one.id, one);
    if (!this.resting) this.#ask(one);
    return { close: () => this.#close(one) };
  }

  /** `userId` is signed in with the browser's cookie, or nobody. */
  signedIn(userId) {
    this.userId = userId;
    if (!apiKey.get()) this.#send({ type: "who", userId });
  }

  #ask({ id, url, shared, lastId }) {
    this.#send({ type: "follow", id, url, shared, lastId, secret: apiKey.get(), userId: this.userId });
  }

  #close(one) {
    if (this.followed.delete(one.id) && !this.resting) this.#send({ type: "close", id: one.id });
  }

  #send(message) {
    if (!this.port) this.#connect();
    this.port.postMessage(message);
  }

  #connect() {
    this.port = this.#toWorker() ?? this.#toOwnPool();
    this.port.onmessage = ({ data }) => this.#message(data);
    const { port } = this;
    port.addEventListener("close", () => { if (port === this.port && !this.resting) this.#again(); });
    this.heard = performance.now();
  }

  #toWorker() {
    if (this.ownPool || !("SharedWorker" in window)) return null;
    try {
      const worker = new SharedWorker(WORKER, { type: "module" });
      worker.addEventListener("error", () => { if (!this.answered) this.#alone(); });
      return worker.port;
    } catch {
      return null;
    }
  }

  /** Where no worker can be shared, as in some browsers of phones, the tab has one connection of its own. */
  #toOwnPool() {
    this.ownPool ??= import("./stream-pool.js").then(({ StreamPool }) => new StreamPool(1));
    const { port1, port2 } = new MessageChannel();
    this.ownPool.then((pool) => pool.serve(port2));
    return port1;
  }

  #hangUp() {
    this.port?.postMessage({ type: "bye" });
    this.port?.close();
    this.port = null;
  }

  #again() {
    this.#hangUp();
    for (const one of this.followed.values()) this.#ask(one);
  }

  #alone() {
    this.#hangUp();
    this.#toOwnPool();
    this.#again();
  }

  /** The worker ends with the process that it is in, and nobody says so in every browser. */
  #check() {
    if (this.resting || !this.followed.size) return;
    const isSilent = this.port && performance.now() - this.heard > SILENCE_MS;
    if (!isSilent) this.#send({ type: "here", ids: [...this.followed.keys()] });
    else if (this.answered) this.#again();
    else this.#alone();
  }

  #seen() {
    clearTimeout(this.timer);
    if (document.hidden) this.timer = setTimeout(() => this.#rest(), HIDDEN_MS);
    else if (this.resting) this.#resume();
  }

  #rest() {
    if (!this.resting) for (const id of this.followed.keys()) this.#send({ type: "close", id });
    this.resting = true;
  }

  #resume() {
    this.resting = false;
    this.#again();
  }

  #message(message) {
    this.heard = performance.now();
    this.answered = true;
    const one = this.followed.get(message.id);
    if (message.type === "who") tell("connected-again");
    else if (message.type === "here") message.missing.forEach((id) => this.#askAgain(id));
    else if (one && !this.resting) this[`on_${message.type}`](one, message);
  }

  #askAgain(id) {
    if (this.followed.has(id) && !this.resting) this.#ask(this.followed.get(id));
  }

  on_event(one, { name, data, lastId }) {
    if (lastId) {
      one.lastId = lastId;
      this.#send({ type: "read", id: one.id });
    }
    if (one.onEvent(name, data, lastId) === "stop") this.#close(one);
  }

  on_state(one, { state, again }) {
    if (again) tell("connected-again");
    one.onState(state);
  }

  on_refused(one, { error: { status, message, code, details } }) {
    this.followed.delete(one.id);
    if (status === 401) tell("signed-out");
    one.onState(new ApiError(status, message, code, details));
  }

  /** The stream would be somebody else's, and so would the page. */
  on_stranger(one) {
    tell("connected-again");
    setTimeout(() => this.#askAgain(one.id), STRANGER_MS);
  }
}

const streams = new Streams();

/** Tell the other tabs who is signed in, as they may show somebody else's data; and follow streams as them. */
export const signedIn = (userId) => streams.signedIn(userId);

/**
 * Follow an event stream until `close()` of what it returns is called. `onEvent(name, data, id)` gets what comes;
 * returning "stop" ends it. `onState` hears "live", "reconnecting", or an `ApiError` after which it gives up.
 */
export const follow = (path, options) => streams.follow(path, options);

/** Follow the changes of the list of jobs; after each `hello` and `resync` the list is to be loaded anew. */
export const followList = (scope, options) => follow("jobs/feed", { ...options, query: { scope }, shared: true });
