import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { inspect } from "node:util";

import { createClient, TASKS, UnexpectedAnswerError } from "dragoman-client";

import { json, standIn } from "./standin.mjs";

const KEY = "sk-gw-0123456789";
const PNG = Buffer.from("89504e470d0a1a0a", "hex");

test("every method asks its route in the documented shape", async (context) => {
  const { url, asked } = await standIn(context, json({ output: [] }));
  const client = createClient(KEY, `${url}/`);
  const history = { past_user_inputs: ["Hello"], generated_responses: ["Hi there!"] };
  const mapping = /** @type {const} */ ({
    provider_model_id: "m",
    hub_model_id: "org/m",
    task_type: "text-generation",
  });
  const cost = /** @type {const} */ ({
    task: "embedding",
    model: "m",
    input_tokens: 10,
    output_tokens: 0,
  });

  await client.textGeneration("Once", { model: "m", max_tokens: 5, stream: false });
  await client.conversational("What is AI?", history, { model: "m" });
  await client.conversational("Hello");
  await client.summarization("Long");
  await client.translation("Guten Tag");
  await client.translation("Good day", "German", { model: "m" });
  await client.questionAnswering("Who?", "I.", { model: "m" });
  await client.textClassification("Fine", { candidate_labels: ["good", "bad"] });
  await client.tokenClassification("Ada in London");
  await client.embedding(["one", "two"], { model: "e" });
  await client.run({ task: "summarization", model: "m", inputs: "Long", parameters: { seed: 1 } });
  await client.mapModel(mapping);
  await client.calculateCost([cost]);
  await client.listModels();
  await client.listModels("image-generation");
  await client.getUsage();
  await client.getUsage(50, 10);

  assert.deepEqual(
    asked.map(({ method, path, body }) => [method, path.replace("/hf/tasks/", ""), body]),
    [
      ["POST", "text-generation", { inputs: "Once", parameters: { model: "m", max_tokens: 5 } }],
      ["POST", "conversational", { text: "What is AI?", ...history, parameters: { model: "m" } }],
      ["POST", "conversational", { text: "Hello", past_user_inputs: [], generated_responses: [], parameters: {} }],
      ["POST", "summarization", { inputs: "Long", parameters: {} }],
      ["POST", "translation", { inputs: "Guten Tag", target_language: "English", parameters: {} }],
      ["POST", "translation", { inputs: "Good day", target_language: "German", parameters: { model: "m" } }],
      ["POST", "question-answering", { question: "Who?", context: "I.", parameters: { model: "m" } }],
      ["POST", "text-classification", { inputs: "Fine", parameters: { candidate_labels: ["good", "bad"] } }],
      ["POST", "token-classification", { inputs: "Ada in London", parameters: {} }],
      ["POST", "embedding", { inputs: ["one", "two"], parameters: { model: "e" } }],
      ["POST", "run", { task: "summarization", model: "m", inputs: "Long", parameters: { seed: 1 } }],
      ["POST", "models/map", mapping],
      ["POST", "billing/cost", { requests: [cost] }],
      ["GET", "models", undefined],
      ["GET", "models?task_type=image-generation", undefined],
      ["GET", "billing/usage?limit=100&offset=0", undefined],
      ["GET", "billing/usage?limit=50&offset=10", undefined],
    ],
  );
  for (const { method, headers } of asked) {
    assert.equal(headers.authorization, `Bearer ${KEY}`);
    assert.equal(headers["content-type"], method === "POST" ? "application/json" : undefined);
  }
});

test("an image comes as bytes", async (context) => {
  const answer = { image: PNG.toString("base64"), content_type: "image/png" };
  const { url, asked } = await standIn(context, json(answer), json({ image: "%", content_type: "" }));
  const client = createClient(KEY, url);
  const { image, contentType } = await client.imageGeneration("A fox", { width: 64, height: 64 });
  assert.deepEqual(Buffer.from(image), PNG);
  assert.equal(contentType, "image/png");
  assert.deepEqual(asked[0]?.body, { inputs: "A fox", parameters: { width: 64, height: 64 } });
  await assert.rejects(client.imageGeneration("A fox"), UnexpectedAnswerError);
});

test("an answer of something else than a gateway", async (context) => {
  const { url } = await standIn(context, (response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<p>Welcome</p>");
  });
  const client = createClient(KEY, url);
  await assert.rejects(client.listModels(), /baseUrl/);
  const streamed = client.textGeneration("Once", { stream: true });
  await assert.rejects(streamed.next(), UnexpectedAnswerError);
});

test("a base URL may have a path; what is none is refused at once", async (context) => {
  const { url, asked } = await standIn(context, json({}));
  await createClient(KEY, `${url}/gateway//`).getUsage(1);
  assert.equal(asked[0]?.path, "/gateway/hf/tasks/billing/usage?limit=1&offset=0");
  for (const wrong of ["", "localhost:3000", "ftp://host", "http://host/?a=1", "http://host/#a"]) {
    assert.throws(() => createClient(KEY, wrong), TypeError, wrong);
  }
});

test("the key is neither shown nor put into an error", () => {
  const client = createClient(KEY);
  assert.ok(!inspect(client, { depth: 9, showHidden: true }).includes(KEY));
  assert.ok(!JSON.stringify(client).includes(KEY));
  for (const wrong of ["", "two words", "line\nbreak", "schlüssel"]) {
    assert.throws(() => createClient(wrong), { name: "TypeError", message: /^apiKey must be/ });
  }
});

test("the client's own fetch and headers", async () => {
  /** @type {Request[]} */
  const sent = [];
  const client = createClient(KEY, "https://gateway.example", {
    headers: { "x-team": "a", accept: "application/json" },
    fetch: async (input, init) => {
      sent.push(new Request(input, init));
      return Response.json({ models: [] }, { headers: { "x-request-id": "r-9" } });
    },
  });
  /** @type {(string | number | undefined)[]} */
  const heads = [];
  await client.listModels(undefined, {
    headers: { "x-team": "b" },
    onResponse: ({ status, requestId }) => heads.push(status, requestId),
  });
  assert.equal(sent[0]?.headers.get("x-team"), "b");
  assert.equal(sent[0]?.url, "https://gateway.example/hf/tasks/models");
  assert.deepEqual(heads, [200, "r-9"]);
});

test("both builds have the same names", () => {
  const required = createRequire(import.meta.url)("dragoman-client");
  return import("dragoman-client").then((imported) => {
    assert.deepEqual(Object.keys(required).sort(), Object.keys(imported).sort());
    assert.notEqual(required.createClient, imported.createClient); // the two are two builds
    assert.deepEqual(required.TASKS, TASKS);
    assert.ok(required.createClient(KEY) instanceof required.DragomanClient);
  });
});
