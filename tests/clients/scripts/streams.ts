/** Streams every text task, as events and as lines, and prints what came as JSON. */
import { createClient, type TokenEvent, type TokenStream } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
const parameters = { model: "gpt-4o-mini", stream: true } as const;
const lines = { headers: { accept: "application/x-ndjson" } };

async function all(stream: TokenStream) {
  const pieces: string[] = [];
  let last: TokenEvent | undefined;
  for await (const event of stream) {
    pieces.push(event.token.text);
    last = event;
  }
  return { pieces, last };
}

const answers = {
  generated: await all(client.textGeneration("Once", parameters)),
  lines: await all(client.textGeneration("Once", parameters, lines)),
  talkedOn: await all(client.conversational("Hello", undefined, parameters)),
  summary: await all(client.summarization("Long", parameters)),
  translated: await all(client.translation("Good", "German", parameters)),
  ranOn: await all(client.run({ task: "text-generation", inputs: "Once", ...parameters })),
};
console.log(JSON.stringify(answers));
