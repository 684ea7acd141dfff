/** Lets a Hub model be served by one of the gateway's, lists it, and asks it. */
import { createClient } from "dragoman-client";

const [url = "", key = "", adminKey = ""] = process.argv.slice(2);
const client = createClient(key, url);
const hub_model_id = "sentence-transformers/all-MiniLM-L6-v2";
const mapped = await createClient(adminKey, url).mapModel({
  provider_model_id: "text-embedding-3-small",
  hub_model_id,
  task_type: "embedding",
});
const answers = {
  mapped,
  listed: await client.listModels("embedding"),
  vectors: await client.embedding("one", { model: hub_model_id }),
};
console.log(JSON.stringify(answers));
