/** Streams every text task, as events and as lines, and prints what came as JSON. */
import { createClient, type TokenStream } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
const parameters = { model: "gpt-4o-mini", stream: true } as const;
const lines = { headers: { accept: "application/x-ndjson" } };

async function all(stream: TokenStream) {
  const pieces: string[] = [];
  let whole: string | null = null;
  for await (const event of stream) {
    pieces.push(event.token.text);
    whole = event.generated_text;
  }
  return { pieces, whole };
}

const answers = {
  generated: await all(client.textGeneration("Once", parameters)),
  lines: await all(client.textGeneration("Once", parameters, lines)),
  talked: await all(client.conversational("Hello", undefined, parameters)),
  summary: await all(client.summarization("Long", parameters)),
  translated: await all(client.translation("Good", "German", parameters)),
  ran: await all(client.run({ task: "text-generation", inputs: "Once", ...parameters })),
};
console.log(JSON.stringify(answers));
