/** Prints costs, usage and models as JSON. */
import { createClient } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);

await client.textGeneration("One", { model: "gpt-4o-mini" });
await client.summarization("Two", { model: "gpt-4o-mini" });
const answers = {
  cost: await client.calculateCost([
    { task: "text-generation", model: "gpt-4o-mini", input_tokens: 10, output_tokens: 20 },
  ]),
  usage: await client.getUsage(),
  second: await client.getUsage(1, 1),
  models: await client.listModels(),
  some: await client.listModels("summarization"),
};
console.log(JSON.stringify(answers));
