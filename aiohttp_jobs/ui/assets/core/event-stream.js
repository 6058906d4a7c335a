// One connection to a stream of Server-Sent Events. No DOM here: it is read in pages and in workers.
import { createParser } from "../vendor/eventsource-parser.mjs";

const SILENCE_MS = 60000; // the server sends a comment every 15 s

/** The server answered something else than a stream: its `status` and its envelope's `error`, `code`, `details`. */
export class Refusal extends Error {
  constructor(status, { error, code, details }) {
    super(error);
    this.status = status;
    this.code = code ?? "";
    this.details = details ?? [];
  }
}

/**
 * Read the stream at `url` until it ends. `onOpen()` is called once it is there, then `onEvent({id, event, data})`
 * for each event, which is awaited. Raises `Refusal`, or another error when the connection fails, is silent for too
 * long or is ended by `signal`.
 */
export async function readEvents(url, { secret, lastId, signal, onOpen, onEvent }) {
  const silence = new AbortController();
  const headers = { Accept: "text/event-stream" };
  if (lastId) headers["Last-Event-ID"] = lastId;
  if (secret) headers.Authorization = `Bearer ${secret}`;
  let timer;
  const listen = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), SILENCE_MS); };
  listen();
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.any([signal, silence.signal]) });
    if (!response.ok) throw await refusal(response);
    onOpen();
    const events = [];
    const parser = createParser({ onEvent: (event) => events.push(event) });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      listen();
      parser.feed(piece.value);
      for (const event of events.splice(0)) {
        await onEvent(event);
        signal.throwIfAborted();
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function refusal(response) {
  const told = await response.json().catch(() => ({ error: `The server answered with status ${response.status}.` }));
  return new Refusal(response.status, told);
}
