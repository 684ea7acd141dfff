// Fills docs.html from openapi.json. Everything is set as text, never as HTML.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Text with `code` in it.
function prose(tag, text) {
  const element = document.createElement(tag);
  (text || "").split("`").forEach((piece, index) => {
    element.append(index % 2 ? make("code", piece) : piece);
  });
  return element;
}

function table(heads, rows) {
  const element = make("table");
  const head = make("tr");
  for (const name of heads) head.append(make("th", name, { scope: "col" }));
  element.append(head);
  for (const cells of rows) {
    const row = make("tr");
    for (const cell of cells) {
      const place = make("td");
      place.append(cell);
      row.append(place);
    }
    element.append(row);
  }
  return element;
}

function nameOf(reference) {
  return reference.split("/").pop();
}

// A schema's type in words, with a link to every named schema.
function typeOf(schema) {
  const place = make("span");
  const choices = schema.anyOf || schema.oneOf || schema.allOf;
  if (schema.$ref) {
    place.append(make("a", nameOf(schema.$ref), { href: `#schema-${nameOf(schema.$ref)}` }));
  } else if (choices) {
    choices.forEach((choice, index) => {
      if (index) place.append(" or ");
      place.append(typeOf(choice));
    });
  } else if (schema.enum || "const" in schema) {
    const values = schema.enum || [schema.const];
    place.append(values.map((value) => JSON.stringify(value)).join(" or "));
  } else if (schema.type === "array") {
    place.append("list of ", typeOf(schema.items || {}));
  } else if (schema.type === "object" && typeof schema.additionalProperties === "object") {
    place.append("object of ", typeOf(schema.additionalProperties));
  } else {
    place.append(schema.type || "anything");
  }
  return place;
}

const BOUNDS = [
  ["minimum", "≥ "],
  ["exclusiveMinimum", "> "],
  ["maximum", "≤ "],
  ["exclusiveMaximum", "< "],
  ["minLength", "characters ≥ "],
  ["maxLength", "characters ≤ "],
];

// The bounds of a schema or of its alternatives, and its default.
function limitsOf(schema) {
  const all = [schema, ...(schema.anyOf || [])];
  const words = [];
  for (const [name, sign] of BOUNDS) {
    const found = all.find((one) => name in one);
    if (found) words.push(sign + found[name]);
  }
  if ("default" in schema) words.push(`default ${JSON.stringify(schema.default)}`);
  return words.join(", ");
}

function described(schema, required) {
  const cell = prose("span", schema.description);
  if (required) cell.prepend(make("strong", "Required. "));
  for (const example of schema.examples || []) {
    cell.append(" Example: ", make("code", JSON.stringify(example)));
  }
  return cell;
}

function fields(schema) {
  const required = new Set(schema.required || []);
  return table(
    ["field", "type", "bounds", "meaning"],
    Object.entries(schema.properties || {}).map(([name, one]) => [
      make("code", name),
      typeOf(one),
      limitsOf(one),
      described(one, required.has(name)),
    ]),
  );
}

function content(message) {
  const [media, holder] = Object.entries(message.content || {})[0] || [];
  return media ? [media, holder.schema || {}] : null;
}

function operation(method, path, told) {
  const box = make("details", "", { id: told.operationId });
  const summary = make("summary");
  summary.append(make("span", method.toUpperCase(), { class: "method" }));
  summary.append(make("span", path, { class: "path" }), ` — ${told.summary || ""}`);
  const inside = make("div", "", { class: "inside" });
  inside.append(prose("p", told.description));
  if (told.security && !told.security.length) inside.append(make("p", "Needs no key."));
  if (told.parameters) {
    inside.append(
      make("h4", "Parameters"),
      table(
        ["name", "in", "type", "bounds", "meaning"],
        told.parameters.map((one) => [
          make("code", one.name),
          one.in,
          typeOf(one.schema),
          limitsOf(one.schema),
          described({ description: one.description || one.schema.description }, one.required),
        ]),
      ),
    );
  }
  const body = told.requestBody && content(told.requestBody);
  if (body) {
    const words = make("p", "");
    words.append(make("strong", "Body: "), typeOf(body[1]), ` (${body[0]})`);
    inside.append(words);
  }
  for (const [status, response] of Object.entries(told.responses)) {
    const words = make("p", "");
    const answer = content(response);
    words.append(make("strong", status === "default" ? "Else: " : `${status}: `));
    if (answer) words.append(typeOf(answer[1]), ` (${answer[0]})`);
    else words.append("no body");
    inside.append(words);
  }
  box.append(summary, inside);
  return box;
}

function fill(told) {
  const contents = make("ul");
  const main = document.getElementById("operations");
  const heading = (id, text) => {
    const link = make("li");
    link.append(make("a", text, { href: `#${id}` }));
    contents.append(link);
    main.append(make("h2", text, { id }));
  };
  document.getElementById("version").textContent = told.info.version;
  for (const paragraph of told.info.description.split("\n\n")) {
    document.getElementById("description").append(prose("p", paragraph));
  }
  for (const tag of told.tags) {
    heading(`tag-${tag.name}`, tag.name);
    main.append(prose("p", tag.description));
    for (const [path, methods] of Object.entries(told.paths)) {
      for (const method of METHODS) {
        const one = methods[method];
        if (one && one.tags.includes(tag.name)) main.append(operation(method, path, one));
      }
    }
  }
  heading("schemas", "documents");
  for (const [name, schema] of Object.entries(told.components.schemas)) {
    const box = make("details", "", { id: `schema-${name}` });
    const inside = make("div", "", { class: "inside" });
    inside.append(prose("p", schema.description), fields(schema));
    box.append(make("summary", name), inside);
    main.append(box);
  }
  const link = make("li");
  link.append(make("a", "problems", { href: "#problems" }));
  contents.append(link);
  document.getElementById("contents").append(contents);
}

// A link to something folded opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === "DETAILS") target.open = true;
  if (target) target.scrollIntoView();
}

async function start() {
  const main = document.getElementById("main");
  try {
    const response = await fetch("openapi.json");
    if (!response.ok) throw new Error(`openapi.json: HTTP ${response.status}`);
    fill(await response.json());
    window.addEventListener("hashchange", unfold);
    unfold();
  } catch (error) {
    main.prepend(make("p", `The manual cannot be shown: ${error.message}`, { class: "error" }));
  }
  main.setAttribute("aria-busy", "false");
}

start();
