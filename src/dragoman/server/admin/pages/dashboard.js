// The dashboard. It shows what the admin API says, asked anew every two seconds while somebody looks.
// Whatever comes from there is set as text, never as HTML: clients choose the names of models.

const API = "/admin/api";
const [EVERY_MS, LONGEST_MS] = [2_000, 30_000];
const $ = (id) => document.getElementById(id);

let token = null; // the session's, for changes; null while nobody is signed in
let [timer, round, failures] = [0, 0, 0];
let changes = 0; // begun and ended: what was asked before one is out of date after it
let [leftAt, interrupted] = [0, false]; // how far the page was scrolled, whether an explanation was open
const channelRows = new Map();

// ---- Asking the gateway ----
async function call(method, path, body, seconds = 10) {
  const headers = { ...(body && { "content-type": "application/json" }), ...(token && { "x-csrf-token": token }) };
  let response, answer;
  let trouble = "The gateway does not answer.";
  try {
    const signal = AbortSignal.timeout(seconds * 1_000);
    response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body), signal });
    const text = await response.text();
    trouble = `Something else than the gateway answered (${response.status}).`;
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new Error(trouble);
  }
  if (response.ok) return answer;
  const wait = Number(response.headers.get("retry-after")) || 0;
  throw Object.assign(new Error(answer.detail || trouble), { status: response.status, type: answer.type, wait });
}

async function change(method, path, body, seconds) {
  changes += 1;
  try {
    return await call(method, path, body, seconds);
  } catch (error) {
    if (!String(error.type).endsWith("#cross-site")) throw error;
    token = (await call("GET", "/session")).csrf_token; // signed in anew in another tab
    return await call(method, path, body, seconds);
  } finally {
    changes += 1;
  }
}

// Does the work of a control, once at a time, and says what went wrong.
async function act(control, work) {
  if (control.ariaBusy === "true") return;
  control.ariaBusy = "true";
  try {
    await work();
  } catch (error) {
    if (error.status === 401) return askToSignIn(error.message);
    $("say").textContent = $("notice-text").textContent = error.message;
    $("notice").hidden = false;
  } finally {
    control.ariaBusy = "false";
  }
}

// ---- Signing in and out ----
function askToSignIn(words) {
  if (!token && !$("door").hidden) return; // another answer said so before
  clearTimeout(timer);
  token = null;
  round += 1;
  leftAt = window.scrollY;
  interrupted = $("story").open;
  $("story").close();
  $("page").hidden = $("who").hidden = true;
  $("door").hidden = false;
  $("refusal").textContent = words;
  pulse("");
  $("key").focus();
}

function enter(session) {
  token = session.csrf_token;
  failures = 0;
  put($("name"), session.name);
  $("key").value = $("refusal").textContent = "";
  $("door").hidden = $("notice").hidden = true;
  $("page").hidden = $("who").hidden = false;
  window.scrollTo(0, leftAt);
  if (interrupted) $("story").showModal();
  else $("page").focus({ preventScroll: true });
  poll();
}

async function signIn() {
  $("refusal").textContent = "";
  try {
    enter(await call("POST", "/session", { key: $("key").value.trim() }));
  } catch (error) {
    $("refusal").textContent = error.message;
    $("key").select();
    lock(error.wait || 0);
  }
}

function lock(seconds) {
  $("enter").disabled = seconds > 0;
  put($("enter"), seconds > 0 ? `Wait ${seconds} s` : "Sign in");
  if (seconds > 0) setTimeout(lock, 1_000, seconds - 1);
}

async function signOut() {
  await change("DELETE", "/session");
  for (const one of channelRows.values()) one.body.remove();
  channelRows.clear();
  for (const id of ["story-text", "request-rows"]) $(id).replaceChildren();
  askToSignIn("");
  [leftAt, interrupted] = [0, false];
}

async function start() {
  try {
    enter(await call("GET", "/session"));
  } catch (error) {
    if ([401, 403].includes(error.status)) askToSignIn("");
    else again(error, start);
  }
}

// ---- Looking again and again ----
async function poll() {
  if (!token) return;
  clearTimeout(timer);
  if (document.hidden) return;
  round += 1;
  const mine = round;
  const before = changes;
  try {
    const status = await call("GET", "/status"); // alone: one that is away is asked once
    const paths = ["/channels", "/settings", `/requests?limit=20`];
    const [channels, settings, log] = await Promise.all(paths.map((path) => call("GET", path)));
    if (mine !== round) return;
    failures = 0;
    showStatus(status);
    if (changes === before) {
      showSettings(settings);
      showChannels(channels.channels);
    }
    showRequests(log.requests, settings.values.request_log_limit);
    pulse(status.draining ? "The gateway is shutting down and takes no changes." : "Live", status.draining);
    timer = setTimeout(poll, EVERY_MS);
  } catch (error) {
    if (mine !== round) return;
    if ([401, 403].includes(error.status)) askToSignIn(error.message);
    else again(error, poll);
  }
}

function again(error, work) {
  failures += 1;
  const delay = Math.min(EVERY_MS * 2 ** failures, LONGEST_MS);
  pulse(`${error.message} Trying again in ${delay / 1_000} s.`, true);
  timer = setTimeout(work, delay);
}

function pulse(words, trouble = false) {
  put($("pulse"), words);
  $("pulse").classList.toggle("trouble", trouble);
  $("page").classList.toggle("stale", failures > 0);
}

// ---- Status and mode ----
function showStatus(status) {
  const { total, enabled, healthy } = status.channels;
  put($("healthy"), `${healthy} of ${enabled}${total > enabled ? `, ${total - enabled} off` : ""}`);
  put($("active"), count(status.active_requests));
  for (const [outcome, number] of Object.entries(status.requests)) put($(outcome), count(number));
  put($("uptime"), span(status.uptime_seconds));
  put($("version"), status.version);
}

function showSettings(settings) {
  const by = { environment: "an environment variable", flag: "a flag" }[settings.sources.high_availability_mode];
  $("ha").ariaChecked = String(settings.values.high_availability_mode);
  $("ha").disabled = Boolean(by);
  put($("ha-reason"), by ? `It is set by ${by} of the gateway and can be changed only there.` : "");
}

const switchMode = async () =>
  showSettings(await change("PATCH", "/settings", { high_availability_mode: !isOn($("ha")) }));

// ---- Channels ----
const HEADS = { name: "", type: "Type", priority: "Priority", state: "", use: "In use", time: "Response", errors: "Errors",
  requests: "Requests" };
const SOURCES = { environment: "from the environment: changed only there", demo: "demonstration: not to be changed" };

function showChannels(channels) {
  const sorted = channels.toSorted((one, other) => one.priority - other.priority || one.id - other.id);
  for (const [id, { body }] of channelRows) {
    if (!sorted.some((one) => one.id === id)) channelRows.delete(id) && body.remove();
  }
  let place = $("channels").tHead;
  for (const channel of sorted) {
    if (!channelRows.has(channel.id)) channelRows.set(channel.id, makeChannel(channel.id));
    const { body } = channelRows.get(channel.id);
    if (place.nextElementSibling !== body) place.after(body);
    place = body;
    showChannel(channel);
  }
  $("no-channels").hidden = sorted.length > 0;
}

function makeChannel(id) {
  const cells = {};
  const places = Object.entries(HEADS).map(([name, label]) => {
    cells[name] = make("span");
    cells[`${name}More`] = make("small");
    return filled("td", [cells[name], cells[`${name}More`]], { class: name, ...(label && { "data-label": label }) });
  });
  const on = make("button", "", { type: "button", role: "switch" });
  const test = make("button", "Test", { type: "button" });
  const reset = make("button", "Reset", { type: "button", class: "again", hidden: "" });
  places.push(filled("td", [on], { class: "on" }), filled("td", [test, " ", reset], { class: "actions" }));
  const turn = async () => showChannel(await change("PATCH", `/channels/${id}`, { enabled: !isOn(on) }));
  on.onclick = () => act(on, turn);
  test.onclick = () => act(test, () => tryChannel(id));
  reset.onclick = () => act(reset, async () => {
    const state = await change("POST", `/channels/${id}/reset`);
    showChannel({ ...channelRows.get(id).channel, state });
    test.focus(); // the button itself goes
  });
  const result = make("td", "", { colspan: "10" });
  const body = filled("tbody", [filled("tr", places), filled("tr", [result], { class: "result", hidden: "" })]);
  return { body, cells, on, test, reset, result, channel: null };
}

function showChannel(channel) {
  const parts = channelRows.get(channel.id);
  if (!parts) return;
  parts.channel = channel;
  const [{ cells, on, test, reset }, { state }] = [parts, channel];
  const [words, tone, ills] = stateOf(channel);
  put(cells.name, channel.name);
  put(cells.type, channel.type);
  put(cells.typeMore, SOURCES[channel.source] || "");
  put(cells.priority, count(channel.priority));
  put(cells.state, words);
  cells.state.className = tone;
  put(cells.stateMore, ills && state.last_error ? `Last error: ${short(state.last_error, 200)}` : "");
  put(cells.use, state ? `${state.in_flight} of ${state.current_limit}` : "–");
  put(cells.useMore, state ? state.mode + (state.waiting ? `, ${count(state.waiting)} waiting` : "") : "");
  put(cells.time, state?.sample_count ? duration(state.avg_response_time * 1_000) : "–");
  put(cells.errors, state?.sample_count ? `${+(state.error_rate * 100).toFixed(1)} %` : "–");
  put(cells.requests, state ? count(state.total_requests) : "–");
  on.ariaChecked = String(channel.enabled);
  on.disabled = !channel.editable;
  on.ariaLabel = `Channel ${channel.name}`;
  test.ariaLabel = `Test ${channel.name}`;
  reset.ariaLabel = `Reset ${channel.name}: end its cooldowns, close its circuits`;
  reset.hidden = !ills;
}

// [words, class, whether a reset would change anything]
function stateOf({ enabled, state }) {
  if (!state) return ["not in use", "", false];
  const whose = (one) => (state.credentials.length > 1 ? `credential ${one.number}: ` : "");
  const ill = state.credentials.map((one) => [whose(one), illsOf(one)]).filter(([, found]) => found.length);
  const ills = ill.map(([who, found]) => who + found.join(", "));
  if (!enabled) return ["switched off", "", ills.length > 0];
  if (!ills.length) return ["ok", "good", false];
  if (state.healthy) return [`ok, but ${ills.join("; ")}`, "", true];
  return [`failing: ${ills.join("; ")}`, "bad", true];
}

function illsOf({ circuit, opens_again: seconds, benches }) {
  const words = (one) => `${one.reason}${one.model && ` for ${short(one.model, 60)}`}, ${span(one.seconds)} more`;
  const ills = benches.slice(0, 3).map(words);
  if (circuit === "open") ills.unshift(`circuit open for ${span(seconds)}`);
  if (circuit === "half_open") ills.unshift("circuit half open, on trial");
  if (benches.length > 3) ills.push(`and ${count(benches.length - 3)} more`);
  return ills;
}

async function tryChannel(id) {
  const parts = channelRows.get(id);
  parts.result.parentElement.hidden = false;
  parts.result.replaceChildren(make("div", "Testing …", { class: "soft" }));
  try {
    const answer = await change("POST", `/channels/${id}/test`, undefined, 120);
    parts.result.replaceChildren(...answer.results.map((one) => {
      const whose = one.credential ? `credential ${one.credential}: ` : "";
      return marked("div", one.ok, `${whose}${one.detail} (${statusOf(one)}, ${duration(one.milliseconds)})`);
    }));
  } catch (error) {
    parts.result.replaceChildren(marked("div", false, error.message));
    if (error.status === 401) throw error;
  }
  $("say").textContent = `Test of ${parts.channel.name}: ${parts.result.innerText}`;
}

// ---- Requests ----
function showRequests(records, limit) {
  const rows = $("request-rows");
  put($("no-requests"), limit ? "No request yet." : "The request log is off (setting request_log_limit).");
  $("no-requests").hidden = records.length > 0;
  if ($("requests").matches(":hover") && matchMedia("(hover: hover)").matches) return;
  for (const row of [...rows.children]) if (!records.some((one) => one.id === row.dataset.id)) row.remove();
  records.forEach((record, index) => {
    const there = rows.children[index] || null;
    if (there?.dataset.id !== record.id) rows.insertBefore(makeRequest(record), there);
  });
}

function makeRequest(record) {
  const when = moment(record.started_at);
  const open = make("button", when, { type: "button", class: "link" });
  const model = short(record.model, 80) || "no model";
  const ending = `${record.status} ${ENDINGS[record.outcome] || record.outcome}`;
  const tone = { ok: "good", left: "" }[record.outcome] ?? "bad";
  const cells = { when: open, key: record.key_name || "–", model, channel: record.channel || "–" };
  open.ariaLabel = `Explain ${when}, ${model}, ${ending}`;
  Object.assign(cells, { ending: make("span", ending, { class: tone }), took: duration(record.duration_ms) });
  const places = Object.entries(cells).map(([name, content]) => filled("td", [content], { class: name }));
  return filled("tr", places, { "data-id": record.id });
}

const ENDINGS = { ok: "answered", error: "refused or failed", broken: "broke off", left: "client left" };

async function explain(row) {
  const record = await call("GET", `/requests/${encodeURIComponent(row.dataset.id)}`);
  put($("story-title"), `${record.status}: ${ENDINGS[record.outcome] || record.outcome}`);
  $("story-text").replaceChildren(...story(record));
  if (token && !$("story").open) $("story").showModal();
  $("story").scrollTop = 0;
}

function story(record) {
  const answered = ["ok", "broken"].includes(record.outcome);
  const told = record.error === null ? [] : [["Client was told", record.error + (record.code ? ` (${record.code})` : "")]];
  const first = record.first_content_ms === null ? "none left" : duration(record.first_content_ms);
  const order = `${record.strategy && `, ordered by ${record.strategy}`}${record.affinity && `, kept to its ${record.affinity}`}`;
  const candidates = [
    ...record.tried.map((one) => marked("li", one.error === null, triedWords(one))),
    ...record.skipped.map((one) => make("li", `– ${one.channel}: ${one.reason}`)),
  ];
  const notes = record.notes.map((one) => make("li", `${one.action} ${one.path}${one.detail && `: ${one.detail}`}`));
  const kept = Object.entries(record.transcript || {}).map(([part, text]) =>
    filled("details", [make("summary", part === "request" ? "Prompt" : "Answer"), make("pre", text || "(empty)")]),
  );
  return [
    facts([
      ["Request", record.id],
      ["Began", moment(record.started_at, true)],
      ["Asked for", `${record.model || "no model"} as ${record.protocol}, ${record.operation}${record.stream ? ", streamed" : ""}`],
      ["Key", record.key_name ? `${record.key_name} (id ${record.key_id})` : "none"],
      [answered ? "Answered by" : "Last tried", record.channel || "nobody"],
      ["Response model", record.response_model || "–"],
      ...told,
    ]),
    make("h3", `Candidates${order}`),
    list(candidates, "None: the request ended before a channel was chosen."),
    make("h3", "Timings"),
    facts([["Waited for a place", duration(record.queued_ms)], ["First content after", first], ["Over all", duration(record.duration_ms)]]),
    make("h3", "Translation"),
    list(notes, "Nothing to note."),
    make("h3", "Usage"),
    facts([["Tokens", tokens(record.usage)], ["Cost", money(record.cost_nano_usd)]]),
    ...kept,
  ];
}

function triedWords(one) {
  const who = one.channel + (one.credential ? `, credential ${one.credential}` : "");
  const what = `${one.model && `: ${one.model}`}${one.protocol && ` as ${one.protocol}`}`;
  const took = `${duration(one.ended_ms - one.began_ms)}, begun after ${duration(one.began_ms)}`;
  const failure = one.error === null ? "" : `: ${one.error}${one.code ? ` (${one.code})` : ""}${one.verdict && ` [${one.verdict}]`}`;
  return `${who}${what}, ${statusOf(one)}, ${took}${failure}`;
}

function tokens(usage) {
  if (!usage) return "not known";
  const held = Object.entries(usage).filter(([name, number]) => number && name !== "estimated");
  const words = held.map(([name, number]) => `${name.replaceAll("_", " ")} ${count(number)}`);
  return (words.join(", ") || "none") + (usage.estimated ? " (estimated)" : "");
}

const money = (nano) =>
  nano === null ? "not priced" : `${Math.trunc(nano / 1e9)}.${String(nano % 1e9).padStart(9, "0")} USD`;

// ---- Words and elements ----
function filled(tag, children, attributes = {}) {
  const element = document.createElement(tag);
  element.append(...children);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const make = (tag, text = "", attributes = {}) => filled(tag, text ? [text] : [], attributes);
const list = (items, empty) => (items.length ? filled("ul", items) : make("p", empty));
const facts = (pairs) => filled("dl", pairs.flatMap(([term, words]) => [make("dt", term), make("dd", words)]));
const marked = (tag, good, words) => make(tag, `${good ? "✓" : "✗"} ${words}`, { class: good ? "good" : "bad" });
const statusOf = ({ status }) => (status === null ? "no status" : `status ${status}`);
const put = (element, text) => element.textContent === text || (element.textContent = text);
const short = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);
const count = (number) => number.toLocaleString("en");
const isOn = (control) => control.ariaChecked === "true";

function duration(ms) {
  if (ms < 10) return `${+ms.toFixed(1)} ms`;
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1_000).toFixed(2)} s` : span(ms / 1_000);
}

// The two greatest units of a time: "2 d 3 h", "4 min 56 s".
function span(seconds) {
  const whole = Math.ceil(seconds);
  const [d, h, min, s] = [whole / 86_400, (whole / 3_600) % 24, (whole / 60) % 60, whole % 60].map(Math.floor);
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${min} min`;
  return min ? `${min} min ${s} s` : `${s} s`;
}

function moment(iso, exact = false) {
  const when = new Date(iso);
  const today = when.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const date = { year: "numeric", month: "short", day: "numeric" };
  const zone = exact ? { timeZoneName: "short", fractionalSecondDigits: 3 } : {};
  return when.toLocaleString("en", { ...time, ...(today && !exact ? {} : date), ...zone });
}

$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  act($("enter"), signIn);
};
$("sign-out").onclick = () => act($("sign-out"), signOut);
$("ha").onclick = () => act($("ha"), switchMode);
$("request-rows").onclick = ({ target }) => act(target.closest("tr"), () => explain(target.closest("tr")));
$("close-story").onclick = () => $("story").close();
$("close-notice").onclick = () => ($("notice").hidden = true);
document.onvisibilitychange = poll;
start();
