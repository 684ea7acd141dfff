/** Leaves an endless story after three pieces. */
import { createClient } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
let pieces = 0;
for await (const _ of client.textGeneration("Once", { model: "gpt-4o-mini", stream: true })) {
  if (++pieces === 3) break;
}
console.log(JSON.stringify(pieces));
