// The page of stickd: asks the API once a second, and writes texts as text only.
"use strict";

const $ = (id) => document.getElementById(id);
let token = null;
let last = new Map();
let tables = [];
let shown = null;
let course = [];

async function api(path, options = {}) {
  const headers = { ...(options.headers || {}) };
  if (token) headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error" });
  if (answer.status === 401) {
    $("login").hidden = false;
    throw new Error("a token is needed");
  }
  if (answer.status === 204) return null;
  const json = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(json.message), { code: answer.status });
  return json;
}

const entryPath = (table, key) => `/v1/tables/${encodeURIComponent(table)}/entries/${encodeURIComponent(key)}`;
const grouped = (number) => Number(number).toLocaleString("en").replaceAll(",", "\u202f");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = text;
  if (className) made.className = className;
  return made;
}

// Puts rows into a table and leaves what has not changed alone, so that focus and selection stay.
function fill(table, rows) {
  const body = table.tBodies[0];
  rows.forEach((row, place) => {
    const text = JSON.stringify(row.cells.map((cell) => (cell.plain !== undefined ? cell.plain : cell))) + (row.className || "");
    let line = body.rows[place];
    if (line && line.dataset.shown === text) return;
    const made = element("tr", undefined, row.className);
    made.dataset.shown = text;
    row.cells.forEach((cell) => made.append(cellOf(cell)));
    if (line) line.replaceWith(made);
    else body.append(made);
  });
  while (body.rows.length > rows.length) body.deleteRow(-1);
}

function cellOf(cell) {
  if (typeof cell === "number") return element("td", grouped(cell), "number");
  if (cell === null || typeof cell !== "object") return element("td", cell ?? "");
  const made = element("td", cell.node ? undefined : cell.plain, cell.className);
  if (cell.node) made.append(cell.node());
  return made;
}

function showTables(list) {
  tables = list;
  const now = performance.now();
  fill($("tables"), list.map((table) => {
    const before = last.get(table.name);
    const rate = before && now > before.at ? (table.used - before.used) / ((now - before.at) / 1000) : 0;
    last.set(table.name, { used: table.used, at: now });
    const part = table.size ? table.used / table.size : 0;
    const meter = () => {
      const made = element("meter");
      Object.assign(made, { min: 0, max: 1, high: 0.9, optimum: 0, value: part });
      made.setAttribute("aria-label", `${table.name} is ${(100 * part).toFixed(1)} % full`);
      return made;
    };
    const stores = table.fields.map((field) => field.name).join(", ");
    return { cells: [table.name, table.type, table.used, table.size, { plain: part.toFixed(3), node: meter },
      { plain: rate.toFixed(1), className: "number" }, { plain: stores, className: "wide" }] };
  }));
  options($("table"), list.map((table) => table.name));
  const chosen = list.find((table) => table.name === $("table").value);
  options($("by"), chosen ? chosen.fields.filter((field) => field.name !== "server_key").map((field) => field.name) : []);
}

function options(select, names) {
  if (JSON.stringify([...select.options].map((option) => option.value)) === JSON.stringify(names)) return;
  const value = select.value;
  select.replaceChildren(...names.map((name) => element("option", name)));
  if (names.includes(value)) select.value = value;
}

const course_of = { running: "up", starting: "going", stopped: "down" };

function showPeers(sections) {
  const rows = [];
  for (const section of sections) {
    for (const peer of section.peers) {
      if (peer.local) continue;
      const session = peer.session && peer.session.established ? peer.session : null;
      const behind = peer.tables.reduce((sum, table) => sum + table.behind, 0);
      rows.push({ className: course_of[peer.state], cells: [section.name, peer.name, { plain: peer.state, className: "state" },
        peer.version, behind, session ? session.updates_received : "", session ? session.updates_sent : "", peer.address,
        { plain: peer.last_reason ? `${peer.last_status}: ${peer.last_reason}` : peer.last_status, className: "wide" }] });
    }
  }
  fill($("peers"), rows);
  draw(sections);
}

// The cluster as a small picture: this node in the middle, a line to each peer.
function draw(sections) {
  const peers = sections.flatMap((section) => section.peers.filter((peer) => !peer.local));
  const text = JSON.stringify(peers.map((peer) => [peer.name, peer.state]));
  const place = $("picture");
  if (place.dataset.shown === text) return;
  place.dataset.shown = text;
  place.replaceChildren();
  if (peers.length === 0 || peers.length > 40) return;
  const svg = (name, attributes, content) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (content) made.textContent = content;
    return made;
  };
  const [width, height] = [520, 200];
  const up = peers.filter((peer) => peer.state === "running").length;
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img",
    "aria-label": `${up} of ${peers.length} peers have a session` });
  const dots = [];
  peers.forEach((peer, number) => {
    const angle = (2 * Math.PI * number) / peers.length - Math.PI / 2;
    const [x, y] = [width / 2 + 190 * Math.cos(angle), height / 2 + 72 * Math.sin(angle)];
    const kind = course_of[peer.state];
    picture.append(svg("line", { class: `link ${kind}`, x1: width / 2, y1: height / 2, x2: x, y2: y }));
    dots.push(svg("circle", { class: `dot ${kind}`, cx: x, cy: y, r: 8 }));
    dots.push(svg("text", { x, y: y + (y > height / 2 ? 22 : -12), "text-anchor": "middle" }, peer.name));
  });
  dots.push(svg("circle", { class: "dot up", cx: width / 2, cy: height / 2, r: 12 }));
  dots.push(svg("text", { x: width / 2, y: height / 2 + 28, "text-anchor": "middle" }, $("node").textContent));
  picture.append(...dots);
  place.append(picture);
}

function showHubs(hubs) {
  $("hubs-section").hidden = hubs.length === 0;
  fill($("hubs"), hubs.map((hub) => {
    const state = hub.holding ? "held back" : hub.complete ? "complete" : "incomplete";
    const keys = hub.sums.reduce((sum, one) => sum + one.keys, 0);
    const left = hub.left_out.map((one) => `${one.peer ?? ""} ${one.table ?? ""}: ${one.text}`).join("; ");
    return { className: hub.complete && !hub.holding ? "up" : "going", cells: [hub.name,
      { plain: `${hub.nodes} of ${hub.expected}`, className: "number" }, { plain: state, className: "state" }, keys,
      { plain: left, className: "wide" }] };
  }));
}

function showLimits(limits) {
  const rows = Object.entries(limits).map(([name, usage]) => {
    const text = name.replaceAll("_", " ");
    return typeof usage === "object"
      ? { cells: [text, usage.used, usage.limit, usage.hits] }
      : { cells: [text, "", usage, ""] };
  });
  fill($("limits"), rows);
}

function valueOf(data, name) {
  const value = data[name];
  return Array.isArray(value) ? value.join(" ") : value;
}

async function showKeys() {
  const [table, by, key] = [$("table").value, $("by").value, $("key").value.trim()];
  const chosen = tables.find((one) => one.name === table);
  if (!chosen) return;
  const fields = chosen.fields.map((field) => field.name);
  const head = $("keys").tHead.rows[0];
  const titles = ["Key", ...fields, "Expires in"];
  if (head.dataset.shown !== titles.join()) {
    head.dataset.shown = titles.join();
    head.replaceChildren(...titles.map((title) => Object.assign(element("th", title, title === "Key" ? "" : "number"), { scope: "col" })));
  }
  const base = `/v1/tables/${encodeURIComponent(table)}`;
  let answer;
  if (key) answer = await api(`${base}/entries?key=${encodeURIComponent(key)}`);
  else if (by) answer = await api(`${base}/top?by=${encodeURIComponent(by)}&n=20`);
  else answer = await api(`${base}/entries?limit=20`);
  $("keys-note").textContent = key ? (answer.entries.length ? "" : "the table has no entry of this key")
    : `the ${answer.entries.length} largest of ${grouped(answer.entries_seen ?? answer.entries.length)} entries`;
  fill($("keys"), answer.entries.map((entry) => ({ cells: [
    { plain: entry.key, node: () => Object.assign(element("button", entry.key), { type: "button", onclick: () => choose(table, entry.key) }) },
    ...fields.map((field) => valueOf(entry.data, field) ?? ""), lifetime(entry.expires_ms)] })));
}

const lifetime = (ms) => ({ plain: ms === null ? "never" : `${Math.round(ms / 1000)} s`, className: "number" });

function choose(table, key) {
  shown = { table, key };
  course = [];
  $("entry-section").hidden = false;
  showEntry().catch(report);
  $("entry-section").scrollIntoView({ block: "nearest" });
}

async function showEntry() {
  if (!shown) return;
  const { table, key } = shown;
  $("entry-title").textContent = `Entry ${key} of ${table}`;
  let answer;
  try {
    answer = await api(entryPath(table, key));
  } catch (error) {
    if (error.code !== 404) throw error;
    fill($("entry"), [{ cells: ["the entry is gone"] }]);
    return;
  }
  const fields = Object.keys(answer.entry.data);
  const head = $("entry").tHead.rows[0];
  head.replaceChildren(...["Node", ...fields, "Expires in"].map((title) => Object.assign(element("th", title), { scope: "col" })));
  const row = (name, part) => ({ cells: [name, ...fields.map((field) => valueOf(part.data, field) ?? ""), lifetime(part.expires_ms)] });
  fill($("entry"), [row("here", answer.entry), ...(answer.contributions ?? []).map((part) => row(part.node + (part.former ? " (former)" : ""), part))]);
  options($("field"), fields.filter((field) => typeof answer.entry.data[field] === "number"));
  const by = fields.includes($("by").value) ? $("by").value : fields[0];
  const value = answer.entry.data[by];
  course.push(Number(Array.isArray(value) ? value[0] : value) || 0);
  course = course.slice(-120);
  drawCourse(by);
}

// The last two minutes of the chosen column.
function drawCourse(by) {
  const most = Math.max(1, ...course);
  const points = course.map((value, place) => `${(place * 4).toFixed(0)},${(60 - (56 * value) / most).toFixed(1)}`).join(" ");
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 480 64");
  picture.setAttribute("width", "480");
  picture.setAttribute("height", "64");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `${by}: now ${course.at(-1)}, at most ${most} within ${course.length} s`);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  line.setAttribute("class", "course");
  line.setAttribute("points", points);
  picture.append(line);
  $("course").replaceChildren(picture, element("p", `${by}: now ${grouped(course.at(-1))}, at most ${grouped(most)} in the last ${course.length} s`, "note"));
}

function report(error) {
  $("status").textContent = error.message;
  $("status").className = "down";
}

async function refresh() {
  try {
    const [process, list, peers, hubs, limits] = await Promise.all(
      ["/v1/info", "/v1/tables", "/v1/peers", "/v1/hubs", "/v1/limits"].map((path) => api(path)));
    $("node").textContent = process.node || "stickd";
    document.title = `stickd ${process.node}`;
    $("process").textContent = `stickd ${process.version}, up ${grouped(process.uptime_s)} s, pid ${process.process_id}`;
    showTables(list.tables);
    showPeers(peers.sections);
    showHubs(hubs.hubs);
    showLimits(limits);
    $("login").hidden = true;
    await showKeys().catch((error) => {
      if (error.code !== 403) throw error;
      $("keys-note").textContent = error.message;
    });
    await showEntry();
    $("status").textContent = `as of ${new Date().toLocaleTimeString("en-GB")}`;
    $("status").className = "";
    document.body.dataset.ready = "yes";
  } catch (error) {
    report(error);
  }
}

$("login").onsubmit = (event) => {
  event.preventDefault();
  token = $("token").value;
  refresh();
};
$("order").onsubmit = (event) => {
  event.preventDefault();
  showKeys().catch(report);
};
$("table").onchange = () => { showTables(tables); showKeys().catch(report); };
$("by").onchange = () => { course = []; showKeys().catch(report); };
$("change").onsubmit = (event) => {
  event.preventDefault();
  const body = JSON.stringify({ data: { [$("field").value]: Number($("value").value) } });
  api(entryPath(shown.table, shown.key), { method: "PATCH", body, headers: { "Content-Type": "application/json" } })
    .then(showEntry).catch(report);
};
$("clear").onclick = () => {
  $("question").textContent = `Clear the entry ${shown.key} of the table ${shown.table} on this node?`;
  $("ask").returnValue = "no";
  $("ask").showModal();
};
$("ask").onclose = () => {
  if ($("ask").returnValue !== "yes") return;
  api(entryPath(shown.table, shown.key), { method: "DELETE" }).then(showEntry).catch(report);
};

(async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, 1000);
})();
