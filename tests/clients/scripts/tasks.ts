/** Asks everything once, plain, and prints the answers as JSON. */
import { createClient, type ResponseHead } from "dragoman-client";

const [url = "", key = ""] = process.argv.slice(2);
const client = createClient(key, url);
const parameters = { model: "gpt-4o-mini" };
const text = "😀 Ada is in London.";
const heads: ResponseHead[] = [];
const options = { onResponse: (head: ResponseHead) => heads.push(head) };

const generated = await client.textGeneration("Once", { ...parameters, max_tokens: 50 }, options);
const first = await client.conversational("Hello", undefined, parameters);
const answers = {
  generated,
  talked: await client.conversational("And then?", first.conversation, parameters),
  summary: await client.summarization(text, parameters),
  translated: await client.translation(text, "German", parameters),
  found: await client.questionAnswering("Where is Ada?", text, parameters),
  kinds: await client.textClassification(text, {
    ...parameters,
    candidate_labels: ["good", "bad"],
  }),
  names: await client.tokenClassification(text, parameters),
  vectors: await client.embedding(["one", "two"], { model: "text-embedding-3-small" }),
  ran: await client.run({ task: "question-answering", ...parameters, inputs: { question: "Where?", context: text } }),
  requestIds: heads.map(({ requestId }) => requestId),
};
console.log(JSON.stringify(answers));
