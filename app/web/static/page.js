"use strict";

const find = (id) => document.getElementById(id);
const slots = [...document.querySelectorAll(".slot")];
const files = [null, null];
const models = new Map();
let running = null;
let retry;

/* ---- images ---- */

function put(index, file) {
  const slot = slots[index];
  const preview = slot.querySelector(".preview");
  if (preview.src) URL.revokeObjectURL(preview.src);
  files[index] = file;
  slot.classList.toggle("filled", file !== null);
  slot.querySelector(".prompt").hidden = file !== null;
  slot.querySelector(".remove").hidden = file === null;
  slot.querySelector(".blind").hidden = true;
  slot.querySelector(".name").replaceChildren(...(file ? titled(file) : ["No image yet"]));
  preview.hidden = file === null;
  if (file) {
    preview.src = URL.createObjectURL(file);
    preview.alt = `Preview of ${file.name}`;
  } else {
    preview.removeAttribute("src");
  }
  hold(index);
}

/* A name that is written from right to left must not take the size along. */
function titled(file) {
  const name = document.createElement("bdi");
  name.textContent = file.name;
  return [name, ` · ${size(file.size)}`];
}

/* What the input holds is told by screen readers, and where the mouse rests. It is no more than a name:
   choosing the very file again, since it was edited or another was dropped, would be no change. */
function hold(index) {
  const held = new DataTransfer();
  if (files[index]) held.items.add(new File([], files[index].name));
  slots[index].querySelector("input").files = held.files;
}

function changed() {
  update();
  compare();
}

/* One image goes where it was dropped; of several, the second goes to the other side. */
function take(list, index) {
  const chosen = [...list].slice(0, 2);
  chosen.forEach((file, offset) => put((index + offset) % 2, file));
  changed();
}

function drop(transfer, index) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
  const folder = entries.find((entry) => entry?.isDirectory);
  if (folder) {
    fail("This is a folder", `Drop the images in “${folder.name}” themselves.`);
  } else if (!transfer.files.length) {
    fail("This is no file", "Of an image on another page, a browser hands over the address alone. " +
      "Copy the image and paste it here, or save it and drop the file.");
  } else {
    take(transfer.files, index);
  }
}

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

slots.forEach((slot, index) => {
  const input = slot.querySelector("input");
  const preview = slot.querySelector(".preview");
  input.addEventListener("change", () => {
    if (input.files.length) take(input.files, index);
    else hold(index);
  });
  preview.addEventListener("error", () => {
    preview.hidden = true;
    slot.querySelector(".blind").hidden = files[index] === null;
  });
  slot.querySelector(".remove").addEventListener("click", () => {
    put(index, null);
    changed();
    input.focus();
  });
  slot.addEventListener("dragover", (event) => { event.preventDefault(); slot.classList.add("over"); });
  slot.addEventListener("dragleave", (event) => {
    if (!slot.contains(event.relatedTarget)) slot.classList.remove("over");
  });
  slot.addEventListener("drop", (event) => {
    event.preventDefault();
    slot.classList.remove("over");
    drop(event.dataTransfer, index);
  });
});

/* After going back, browsers fill the inputs as they were, and nothing else of the page. */
window.addEventListener("pageshow", () => { slots.forEach((_, index) => hold(index)); });

/* A file dropped beside the wells must not make the browser leave the page. */
for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => event.preventDefault());
}

document.addEventListener("paste", (event) => {
  const pasted = event.clipboardData.files;
  if (!pasted.length) return;
  event.preventDefault();
  const focused = slots.findIndex((slot) => slot.contains(document.activeElement));
  const free = files.indexOf(null);
  take(pasted, focused >= 0 ? focused : Math.max(free, 0));
});

/* ---- models ---- */

async function connect() {
  clearTimeout(retry);
  try {
    const answer = await fetch("readyz");
    if (!answer.ok) {
      say("not ready");
      find("about").textContent = parsed(await answer.text())?.detail ?? "";
      retry = setTimeout(connect, 1000);
      return;
    }
    if (!await list()) return;
    const before = find("service").classList.contains("ready");
    say("ready", "ready");
    /* Where it was ready all along, what it has just failed at would be asked again without end. */
    if (!before) compare();
  } catch {
    say("not reachable", "down");
    retry = setTimeout(connect, 3000);
  }
}

function say(state, kind = "") {
  /* Screen readers say whatever is written there, also what was there already. */
  if (find("service").textContent !== state) find("service").textContent = state;
  find("service").className = `service ${kind}`;
}

/* False where the service refuses to tell. */
async function list() {
  const answer = await fetch("models", { headers: headers() });
  const content = await answer.json();
  if (!answer.ok) {
    refused(answer.status, content);
    return false;
  }
  find("key-field").hidden = !key();
  const { models: found, failed } = content;
  const select = find("model");
  const former = select.value;
  select.replaceChildren();
  models.clear();
  for (const model of found) {
    models.set(model.name, model);
    const label = `${model.name}${model.default ? " (default)" : ""}`;
    select.add(new Option(label, model.name, model.default, model.default));
  }
  if (models.has(former)) select.value = former;
  select.disabled = false;
  find("service").title = failed.map((model) => `${model.name} ${model.version}: ${model.error}`).join("\n");
  update();
  return true;
}

/* The model as it was when it answered; none where the page knows another version of it only. */
function author(answer) {
  const model = models.get(answer.model);
  return model?.version === answer.version ? model : undefined;
}

/* Models, and the service, come and go while somebody is elsewhere, at a training say. */
document.addEventListener("visibilitychange", () => { if (!document.hidden) connect(); });

/* ---- the key, where the service asks for one ---- */

/* Kept for this tab only. */
function key() {
  return sessionStorage.getItem("key") ?? "";
}

function headers() {
  return key() ? { "X-API-Key": key() } : {};
}

function refused(status, content) {
  if (status === 401) {
    say("needs a key");
    find("key-field").hidden = false;
  }
  /* Nobody has been asked for a key yet, so that there is no error either. */
  if (status !== 401 || key()) fail(content.title, content.detail, content.request_id);
}

find("key").addEventListener("change", () => {
  const typed = find("key").value.trim();
  /* A header can hold no other signs, and fetch would throw as if there were no service. */
  if (!/^[\x21-\x7e]*$/.test(typed)) {
    fail("This is no API key", "It has signs that no key has, such as a space or “…”: copy all of it, and nothing else.");
    return;
  }
  sessionStorage.setItem("key", typed);
  find("error").hidden = true;
  say("connecting…");
  connect();
});

function update() {
  const model = models.get(find("model").value);
  find("compare").disabled = !model || files.includes(null);
  find("about").textContent = model ? about(model) : "";
}

function about(model) {
  const calibrated = model.calibration
    ? `Calibrated for ${percent(model.calibration.target_far)} false accepts.`
    : "Not calibrated: it gives a score, but no probability and no decision.";
  const order = model.symmetric ? ""
    : "The order counts: the first image is on its left side, the second on its right.";
  return `${model.description} ${calibrated} ${order}`.trim();
}

find("model").addEventListener("change", changed);
find("form").addEventListener("submit", (event) => { event.preventDefault(); compare(); });

/* ---- comparing ---- */

async function compare() {
  running?.abort();
  const control = new AbortController();
  running = control;
  const busy = !files.includes(null) && models.size > 0;
  working(busy);
  if (!busy) {
    find("result").hidden = true;
    if (models.size) find("error").hidden = true;
  }
  /* Sent unread, a file that was changed since would end the request as a missing service does. */
  const read = await Promise.all(files.map((file) => file?.arrayBuffer().catch(() => null)));
  if (control.signal.aborted) return;
  const lost = read.indexOf(null);
  if (lost >= 0) unreadable(lost);
  else if (busy) await ask(read, control.signal);
  if (running === control) {
    running = null;
    working(false);
  }
}

function unreadable(index) {
  fail("An image cannot be read", `${index ? "Second" : "First"} image: “${files[index].name}” cannot be ` +
    "read. If it was changed or moved since it was chosen, choose it again.");
}

async function ask(read, signal) {
  const body = new FormData();
  body.append("image_a", new Blob([read[0]]), files[0].name);
  body.append("image_b", new Blob([read[1]]), files[1].name);
  body.append("model", find("model").value);
  try {
    const answer = await fetch("compare", { method: "POST", body, headers: headers(), signal });
    const content = parsed(await answer.text());
    /* The model was replaced or removed since it was listed. */
    const outdated = answer.status === 404 || (answer.ok && content && !author(content));
    if (outdated) await list().catch(() => false);
    if (signal.aborted) return;
    if (content === null) foreign(answer);
    else if (answer.ok) show(content);
    else refused(answer.status, content);
    /* Without a service, balancers answer 502 or 504. */
    if (answer.status >= 502) connect();
  } catch (error) {
    if (signal.aborted) return;
    fail("The service cannot be reached", `${error.message}. Is it still running?`);
    connect();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/* The service answers in JSON; a balancer before it answers in HTML. */
function foreign(answer) {
  fail(`${answer.status} ${answer.statusText}`.trim(), answer.status === 413
    ? "The images are too large. Choose smaller ones."
    : "This answer is not the service's own, but of what stands before it. Try again in a moment.");
}

function working(busy) {
  find("compare").classList.toggle("busy", busy);
  find("compare").textContent = busy ? "Comparing" : "Compare";
  find("result").setAttribute("aria-busy", String(busy));
}

function fail(title, detail, id) {
  find("result").hidden = true;
  find("error").hidden = false;
  find("error-title").textContent = title ?? "Something went wrong";
  find("error-detail").textContent = (detail ?? "")
    .replace(/^image_a:/, "First image:").replace(/^image_b:/, "Second image:");
  find("error-id").textContent = id ? `Request ${id}` : "";
}

const METRICS = {
  sigmoid_similarity: { name: "similarity", low: 0, high: 1, up: true },
  exponential_similarity: { name: "similarity", low: 0, high: 1, up: true },
  cosine_similarity: { name: "cosine similarity", low: -1, high: 1, up: true },
  euclidean_dissimilarity: { name: "Euclidean distance", low: 0, high: 2, up: false },
};

function show(answer) {
  const metric = METRICS[answer.metric];
  const result = find("result");
  const known = answer.same !== null;
  find("error").hidden = true;
  result.hidden = false;
  result.className = `result ${known ? (answer.same ? "same" : "different") : "open"}`;
  find("badge").textContent = known ? (answer.same ? "=" : "≠") : "?";
  find("decision").textContent = known ? (answer.same ? "Same" : "Different") : "Not decided";
  find("sentence").textContent = sentence(answer, metric);
  unfamiliar(answer);
  gauge(answer, metric);
  figures([
    ["Probability of same", answer.probability === null ? "—" : percent(answer.probability)],
    ["Score", number(answer.score, gap(answer))],
    ["Typicality", typicality(answer)],
    ["Threshold", answer.threshold === null ? "—" : number(answer.threshold, gap(answer))],
    ["Metric", metric.name],
    ["Model", `${answer.model}, version ${answer.version}`],
  ]);
}

function sentence(answer, metric) {
  if (answer.same === null) {
    return "This model is not calibrated, so its score has no threshold to be held against. " +
      "Calibrate it with: python -m training calibrate.";
  }
  const side = answer.score > answer.threshold ? "above" : "below";
  const where = gap(answer) ? `${number(gap(answer))} ${side}` : "at";
  const target = author(answer)?.calibration?.target_far;
  const meaning = target === undefined ? "" : `, which is set for ${percent(target)} false accepts`;
  return `The ${metric.name} is ${where} the threshold${meaning}.`;
}

function gap(answer) {
  return answer.threshold === null ? 0 : Math.abs(answer.score - answer.threshold);
}

/* A score for pictures of a kind that the model does not know means little. */
function unfamiliar(answer) {
  const level = author(answer)?.typicality?.level ?? 0;
  const odd = ["first", "second"].filter((_, index) => {
    const value = [answer.typicality_a, answer.typicality_b][index];
    return value !== null && value < level;
  });
  const note = find("unfamiliar");
  note.hidden = answer.in_distribution !== false;
  /* None where the page could not learn the level of the version that answered. */
  const which = ["At least one of the images does not look", `The ${odd[0]} image does not look`,
    "Neither image looks"][odd.length];
  note.textContent = `${which} like what ${answer.model} was made for, so take this with caution: ` +
    "the score may mean little. Another model may know this kind of image.";
}

function typicality(answer) {
  const values = [answer.typicality_a, answer.typicality_b];
  return values.includes(null) ? "—" : values.map((value) => number(value)).join(" / ");
}

/* "Same" is always on the right, whichever way the metric runs. */
function gauge(answer, metric) {
  const shown = answer.threshold !== null;
  find("gauge").hidden = !shown;
  if (!shown) return;
  let { low, high } = metric;
  if (answer.metric === "cosine_similarity") low = Math.min(0, answer.score, answer.threshold);
  if (answer.metric === "euclidean_dissimilarity") {
    high = Math.max(2 * answer.threshold, answer.score * 1.05);
  }
  const place = (value) => {
    const share = (value - low) / (high - low || 1);
    return 100 * Math.min(1, Math.max(0, metric.up ? share : 1 - share));
  };
  const threshold = place(answer.threshold);
  find("zone").style.left = `${threshold}%`;
  find("tick").style.left = `${threshold}%`;
  find("needle").style.left = `${place(answer.score)}%`;
  const note = find("tick-note");
  note.textContent = `threshold ${number(answer.threshold, gap(answer))}`;
  /* However many digits it has, it begins and ends where the track does at most. */
  note.style.left = `${threshold}%`;
  note.style.transform = `translateX(${-threshold}%)`;
}

function figures(pairs) {
  find("figures").replaceChildren(...pairs.map(([term, value]) => {
    const box = document.createElement("div");
    const name = document.createElement("dt");
    const description = document.createElement("dd");
    name.textContent = term;
    description.textContent = value;
    box.append(name, description);
    return box;
  }));
}

/* Rounds neither to 0 or 1 nor, where there is a gap, to what lies across it. */
function number(value, gap = 0) {
  const size = Math.abs(value);
  if (size > 0 && size < 1e-6 && !gap) return value.toPrecision(2);
  /* An image's likeness to itself misses 1 by what float32 rounds. */
  const rest = Math.abs(1 - size) < 1e-6 ? 0 : Math.abs(1 - size);
  const least = size >= 100 ? 1 : 3;
  const needed = [size, rest, gap].map((small) => decimals(small, least));
  return value.toFixed(Math.min(12, Math.max(least, ...needed)));
}

/* Those that two digits of what so few decimals cannot tell from 0 need. */
function decimals(small, least) {
  return small > 0 && small < 10 ** -least ? 1 - Math.floor(Math.log10(small)) : 0;
}

/* Never rounds to certainty. */
function percent(share) {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value < 100 && value > 99.9) return "> 99.9 %";
  return `${Number(value.toFixed(1))} %`;
}

connect();
