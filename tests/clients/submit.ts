// What a program does with the types that openapi-typescript has made.
import createClient from "openapi-fetch";
import type { paths } from "./api.d.ts";

const [address, key] = Deno.args;
const client = createClient<paths>({ baseUrl: address, headers: { Authorization: `Bearer ${key}` } });
const { data, error } = await client.POST("/jobs/submit", {
  params: { query: { wait: 60 } },
  body: { jobName: "generated", command: "echo hello", executionMode: "BackgroundJob" },
});
if (!data?.result) throw new Error(JSON.stringify(error));
console.log(data.result.Output.trim());
