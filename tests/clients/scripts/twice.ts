/** Sends a request a second time with the same key of its own, and prints both answers' ids. */
import { createClient } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
const ids: (string | undefined)[] = [];
const options = {
  idempotencyKey: "asked-twice",
  onResponse: ({ requestId }: { requestId: string | undefined }) => ids.push(requestId),
};
await client.textGeneration("Once", { model: "gpt-4o-mini" }, options);
await client.textGeneration("Once", { model: "gpt-4o-mini" }, options);
console.log(JSON.stringify(ids));
