/** Prints how requests fail as JSON: class, status, type, and whether there is an id. */
import { ApiError, createClient } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);

async function failure(asking: Promise<unknown>) {
  const error: unknown = await asking.then(() => undefined, (thrown: unknown) => thrown);
  if (!(error instanceof ApiError)) return String(error);
  return [error.name, error.status, error.errorType, error.requestId !== undefined];
}

const answers = {
  key: await failure(createClient("sk-gw-nobodys-0123456789", url).getUsage()),
  model: await failure(client.textGeneration("Once", { model: "no-such-model" })),
  empty: await failure(client.summarization("", { model: "gpt-4o-mini" })),
  offset: await failure(client.getUsage(100, -1)),
  stream: await failure(client.textGeneration("", { model: "gpt-4o-mini", stream: true }).next()),
  mapping: await failure(
    client.mapModel({ provider_model_id: "gpt-4o-mini", hub_model_id: "a/b", task_type: "text-generation" }),
  ),
};
console.log(JSON.stringify(answers));
