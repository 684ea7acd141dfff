/** Asks for every task with Hugging Face's own client, and prints what it read as JSON. */
import { InferenceClient } from "@huggingface/inference";

const [url, key, model, embedder, painter] = process.argv.slice(2);
const text = "😀 Ada is in London.";

/** The client at a model's address; `task` is there where the inputs do not tell it. */
function at(task = "", name = model, token = key) {
  const address = `${url}/hf/models/${name}`;
  return new InferenceClient(token).endpoint(task ? `${address}/pipeline/${task}` : address);
}

async function collect(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

/** What a caller sees of a failure. */
async function failure(call) {
  try {
    await call();
  } catch (error) {
    return { name: error.name, message: error.message, status: error.httpResponse?.status };
  }
  return null;
}

const shown = async (blob) => ({
  type: blob.type,
  bytes: [...new Uint8Array(await blob.arrayBuffer())],
});
const drawn = { inputs: "A fox" };
const talk = { messages: [{ role: "user", content: "Hello" }], max_tokens: 50 };
const written = { inputs: "Once", parameters: { max_new_tokens: 50 } };
const refused = (client) => ({
  generated: () => client("").textGeneration(written),
  written: () => collect(client("").textGenerationStream(written)),
  talked: () => client("").chatCompletion(talk),
  talkedOn: () => collect(client("").chatCompletionStream(talk)),
  summary: () => client("summarization").summarization({ inputs: text }),
  translated: () => client("translation").translation({ inputs: text }),
  found: () => client("").questionAnswering({ inputs: { question: "Where?", context: text } }),
  kinds: () => client("text-classification").textClassification({ inputs: text }),
  names: () => client("token-classification").tokenClassification({ inputs: text }),
  vector: () => client("feature-extraction").featureExtraction({ inputs: text }),
  picture: () => client("text-to-image").textToImage(drawn),
});

async function failures(client) {
  const seen = {};
  for (const [name, call] of Object.entries(refused(client))) seen[name] = await failure(call);
  return seen;
}

const answers = {
  generated: await at().textGeneration(written),
  written: await collect(at().textGenerationStream(written)),
  talked: await at().chatCompletion(talk),
  talkedOn: await collect(at().chatCompletionStream(talk)),
  summary: await at("summarization").summarization({ inputs: text }),
  translated: await at("translation").translation({
    inputs: text,
    parameters: { src_lang: "en_XX", tgt_lang: "de_DE" },
  }),
  found: await at().questionAnswering({ inputs: { question: "Where is Ada?", context: text } }),
  kinds: await at("text-classification").textClassification({ inputs: text, parameters: { top_k: 2 } }),
  names: await at("token-classification").tokenClassification({ inputs: text }),
  vector: await at("feature-extraction", embedder).featureExtraction({ inputs: "four" }),
  vectors: await at("feature-extraction", embedder).featureExtraction({ inputs: ["one", "four"] }),
  picture: await shown(await at("text-to-image", painter).textToImage(drawn)),
  pictureUrl: await at("text-to-image", painter).textToImage(drawn, { outputType: "dataUrl" }),
  wrongKey: await failures((task) => at(task, model, "sk-gw-nobody")),
  unknownModel: await failures((task) => at(task, "nobody")),
};
console.log(JSON.stringify(answers));
