// The event streams of all tabs of a browser: tabs ask for them through ports, and few are connected at once. A
// browser has only six HTTP/1.1 connections to a host, and the host's own pages need some. No DOM here: it runs in
// the worker that the tabs share, or in a tab where there is none.
import { Refusal, readEvents } from "./event-stream.js";

const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15000;
const LOOK_MS = 200; // how often it is looked whose turn it is, while somebody waits
const QUIET_MS = 250; // an output without news for so long has told all there is
const OUTPUT_TURN_MS = 2000;
const FEED_TURN_MS = 5000; // after each of them the tabs load the list anew
const REST_MS = 1000;
const GONE_MS = 60000; // a visible tab says every 5 s that it is there
const MOST_UNREAD = 64;

/** One stream and who follows it. It keeps its connection, unless others wait: then it gives way and goes on later. */
class Channel {
  followers = new Set();
  closed = new AbortController();
  connection = null;
  isLive = false;
  wasLive = false;
  gaveWay = false;
  isShort = false;
  hello = null;
  delay = FIRST_RETRY_MS;
  since = 0;
  news = 0;
  restsUntil = 0;
  unread = 0;
  onRead = null;
  key = "";

  constructor(pool, { url, secret, userId, lastId, shared }) {
    this.pool = pool;
    this.url = url;
    this.secret = secret;
    this.userId = userId;
    this.lastId = lastId;
    this.shared = shared;
  }

  close() {
    this.closed.abort();
    this.connection?.abort();
  }

  tell(message) {
    for (const { port, id } of this.followers) port.postMessage({ ...message, id });
  }

  /** What somebody who comes later has missed of the beginning. */
  greet({ port, id }) {
    if (!this.isLive) return;
    port.postMessage({ type: "state", state: "live", id });
    if (this.hello) port.postMessage({ ...this.hello, id });
  }

  async run() {
    while (!this.closed.signal.aborted) {
      await this.pool.turn(this);
      try {
        await this.#connect();
      } catch (error) {
        const isFinal = error instanceof Refusal && error.status < 500;
        if (isFinal && !this.closed.signal.aborted) this.#giveUp(error);
      } finally {
        this.#disconnected();
      }
      if (this.gaveWay) continue;
      this.tell({ type: "state", state: "reconnecting" });
      await pause(this.delay, this.closed.signal);
      this.delay = Math.min(LAST_RETRY_MS, this.delay * 1.7);
    }
  }

  #connect() {
    if (this.closed.signal.aborted) return undefined;
    this.connection = new AbortController();
    const { secret, lastId, connection: { signal } } = this;
    const heard = { onOpen: () => this.#opened(), onEvent: (event) => this.#event(event) };
    // While others wait, the server ends what would be ended soon anyhow: browsers keep a connection that they ended
    // themselves for five seconds, and have none left when that happens often.
    this.isShort = !this.shared && this.pool.isCrowded;
    const url = new URL(this.url);
    if (this.isShort) url.searchParams.set("follow", "0");
    const reading = readEvents(url, { secret, lastId, signal, ...heard });
    return this.isShort ? reading.then(() => { this.gaveWay = true; }) : reading;
  }

  #disconnected() {
    // Only one that was live has given way: whoever waited for it to connect was not kept waiting by it.
    this.gaveWay &&= this.isLive;
    Object.assign(this, { isLive: false, hello: null, connection: null, restsUntil: performance.now() + REST_MS });
    this.pool.leave(this);
  }

  #opened() {
    this.tell({ type: "state", state: "live", again: this.wasLive && !this.gaveWay });
    Object.assign(this, { isLive: true, wasLive: true, gaveWay: false, delay: FIRST_RETRY_MS });
    this.since = this.news = performance.now();
  }

  async #event({ id, event, data }) {
    const told = { type: "event", name: event, data: data ? JSON.parse(data) : null, lastId: id };
    if (event === "hello") {
      // Somebody else may have signed in since it was asked for: it is their stream then.
      if ((told.data?.userId ?? this.userId) !== this.userId) return this.#end({ type: "stranger" });
      this.hello = told;
    }
    if (id) this.lastId = id;
    this.news = performance.now();
    this.tell(told);
    return this.shared || !id ? undefined : this.#read();
  }

  /** A tab that is slower than its job would otherwise have all of the output waiting in memory. */
  #read() {
    this.unread += 1;
    if (this.unread < MOST_UNREAD) return undefined;
    return new Promise((resolve) => {
      this.onRead = resolve;
      this.connection.signal.addEventListener("abort", resolve, { once: true });
    });
  }

  wasRead() {
    this.unread -= 1;
    if (this.unread < MOST_UNREAD) this.onRead?.();
  }

  #giveUp({ status, message, code, details }) {
    this.#end({ type: "refused", error: { status, message, code, details } });
  }

  #end(message) {
    this.tell(message);
    this.pool.end(this);
  }

  /** Whether it has had its turn. */
  mayGiveWay(now) {
    if (!this.isLive || this.isShort) return false;
    if (this.shared) return now - this.since > FEED_TURN_MS;
    return now - this.news > QUIET_MS || now - this.since > OUTPUT_TURN_MS;
  }

  giveWay() {
    this.gaveWay = true;
    this.connection.abort();
  }
}

export class StreamPool {
  ports = new Map();
  channels = new Map();
  connected = new Set();
  waiting = [];
  looking = null;
  numbers = 0;
  userId = null;

  /** `most` connections at once. */
  constructor(most) {
    this.most = most;
    setInterval(() => this.#forgetWhoIsGone(), GONE_MS / 4);
  }

  /** Serve a tab: what it asks for through `port`. */
  serve(port) {
    this.ports.set(port, { heard: performance.now(), followers: new Map() });
    port.onmessage = ({ data }) => {
      const tab = this.ports.get(port);
      if (!tab) return;
      tab.heard = performance.now();
      this[`on_${data.type}`](port, tab, data);
    };
    port.start();
  }

  on_follow(port, tab, asked) {
    this.on_close(port, tab, asked);
    // An output is followed from where its reader is; a list is the same for all.
    const key = JSON.stringify([asked.url, asked.userId, asked.secret, asked.shared || ++this.numbers]);
    const known = this.channels.get(key);
    const channel = known ?? new Channel(this, asked);
    const follower = { port, id: asked.id, channel };
    tab.followers.set(asked.id, follower);
    channel.followers.add(follower);
    if (known) return channel.greet(follower);
    channel.key = key;
    this.channels.set(key, channel);
    return channel.run();
  }

  on_close(_port, tab, { id }) {
    const follower = tab.followers.get(id);
    if (!follower) return;
    tab.followers.delete(id);
    follower.channel.followers.delete(follower);
    if (!follower.channel.followers.size) this.end(follower.channel);
  }

  on_read(_port, tab, { id }) {
    tab.followers.get(id)?.channel.wasRead();
  }

  /** A tab is there, and wonders whether its streams are. */
  on_here(port, tab, { ids }) {
    port.postMessage({ type: "here", missing: ids.filter((id) => !tab.followers.has(id)) });
  }

  /** Who is signed in with the browser's cookie; tabs that show somebody else's data are told at once. */
  on_who(port, _tab, { userId }) {
    const isNew = this.userId !== null && this.userId !== userId;
    this.userId = userId;
    if (isNew) for (const other of this.ports.keys()) if (other !== port) other.postMessage({ type: "who" });
  }

  on_bye(port, tab) {
    for (const id of [...tab.followers.keys()]) this.on_close(port, tab, { id });
    this.ports.delete(port);
    port.close();
  }

  end(channel) {
    this.channels.delete(channel.key);
    for (const { port, id } of channel.followers) this.ports.get(port)?.followers.delete(id);
    channel.followers.clear();
    channel.close();
    this.#grant();
  }

  get isCrowded() {
    return this.waiting.length > 0;
  }

  /** Wait for one of the connections. */
  turn(channel) {
    return new Promise((resolve) => {
      this.waiting.push({ channel, resolve });
      this.#grant();
    });
  }

  leave(channel) {
    this.connected.delete(channel);
    this.#grant();
  }

  #next() {
    const now = performance.now();
    const due = this.waiting.filter(({ channel }) => channel.restsUntil <= now);
    return due.find(({ channel }) => channel.shared) ?? due[0];
  }

  #grant() {
    const ended = this.waiting.filter(({ channel }) => channel.closed.signal.aborted);
    this.waiting = this.waiting.filter((one) => !ended.includes(one));
    for (const { resolve } of ended) resolve();
    for (let next = this.#next(); next && this.connected.size < this.most; next = this.#next()) {
      this.waiting.splice(this.waiting.indexOf(next), 1);
      this.connected.add(next.channel);
      next.resolve();
    }
    if (this.waiting.length) this.looking ??= setInterval(() => this.#look(), LOOK_MS);
    else { clearInterval(this.looking); this.looking = null; }
  }

  /** Let one that has had its turn give way to one that waits; a list, which most tabs follow, only to another list. */
  #look() {
    this.#grant();
    if (!this.#next()) return;
    const now = performance.now();
    const able = [...this.connected].filter((channel) => channel.mayGiveWay(now));
    able.sort((one, other) => Number(one.shared) - Number(other.shared) || one.since - other.since);
    able[0]?.giveWay();
  }

  #forgetWhoIsGone() {
    const now = performance.now();
    for (const [port, tab] of this.ports) {
      if (now - tab.heard > GONE_MS) for (const id of [...tab.followers.keys()]) this.on_close(port, tab, { id });
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const now = () => { clearTimeout(timer); resolve(); };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true, signal });
  });
}
