// The worker that all tabs of a browser share: it has their event streams.
import { StreamPool } from "./core/stream-pool.js";

const MOST_CONNECTIONS = 3; // of the six that a browser has to a host by HTTP/1.1
const pool = new StreamPool(MOST_CONNECTIONS);
addEventListener("connect", ({ ports: [port] }) => pool.serve(port));
