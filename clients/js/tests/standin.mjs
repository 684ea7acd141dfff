/** A server that answers what a test tells it to, and notes what it was asked. */
import { createServer } from "node:http";

/**
 * @typedef {object} Asked
 * @property {string} method
 * @property {string} path With its query.
 * @property {import("node:http").IncomingHttpHeaders} headers
 * @property {any} body
 * @property {Promise<void>} left Settled when the client has closed the connection early.
 */

/** @typedef {(response: import("node:http").ServerResponse, asked: Asked) => void} Answer */

/**
 * The answers are given in turn, the last one again and again.
 *
 * @param {import("node:test").TestContext} context
 * @param {...Answer} answers
 */
export async function standIn(context, ...answers) {
  /** @type {Asked[]} */
  const asked = [];
  const server = createServer(async (request, response) => {
    /** @type {Promise<void>} */
    const left = new Promise((resolve) => {
      response.on("close", () => response.writableFinished || resolve());
    });
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const text = Buffer.concat(pieces).toString();
    const one = {
      method: request.method ?? "",
      path: request.url ?? "",
      headers: request.headers,
      body: text === "" ? undefined : JSON.parse(text),
      left,
    };
    asked.push(one);
    const answer = answers[Math.min(asked.length, answers.length) - 1];
    answer?.(response, one);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { url: `http://127.0.0.1:${address.port}`, asked };
}

/** @param {unknown} body @param {number} status @param {Record<string, string>} headers @returns {Answer} */
export function json(body, status = 200, headers = {}) {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

/** @param {number} status @param {string} type @param {Record<string, string>} headers */
export function refusal(status, type, headers = {}) {
  const body = { error: `said ${type}`, error_type: type, message: "field: inputs" };
  return json(body, status, { "x-request-id": "r-1", ...headers });
}

/** @param {string[]} events @param {boolean} end @returns {Answer} */
export function stream(events, end = true) {
  return (response) => {
    response.writeHead(200, { "content-type": "text/event-stream", "x-request-id": "r-2" });
    for (const event of events) response.write(`data: ${event}\n\n`);
    if (end) response.end();
  };
}

/** @param {string[]} texts */
export function tokens(texts) {
  return texts.map((text, index) => {
    const last = index === texts.length - 1;
    const token = { id: index, text, logprob: null, special: false };
    return JSON.stringify({ index, token, generated_text: last ? texts.join("") : null, details: null });
  });
}
