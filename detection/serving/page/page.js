// Pictures go to /detect with the lowest threshold; slider, classes and labels act on what is here.
"use strict";

const byId = (id) => document.getElementById(id);
const AT_ONCE = 2; // requests under way
const MOST_PICTURES = 200;

let model = null;
const colours = new Map(); // class -> #rrggbb
const hidden = new Set(); // names of classes
let pictures = [];
let made = 0;

function shownOf(picture) {
  const threshold = Number(byId("threshold").value);
  const found = picture.answers[byId("steps").value];
  if (!found) return [];
  return found.detections.filter((d) => d.score >= threshold && !hidden.has(d.class));
}

// ---- drawing: one routine for what is shown and for what is saved

function draw(context, scale, detections, focused) {
  const line = Math.max(1.5, Math.min(4, context.canvas.width / 300));
  context.lineJoin = "round";
  // Best last, so that it lies above.
  for (const one of [...detections].reverse()) {
    const [x1, y1, x2, y2] = one.box.map((edge) => edge * scale);
    context.lineWidth = line + 2;
    context.strokeStyle = "rgba(0, 0, 0, 0.6)";
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.lineWidth = one === focused ? 2 * line : line;
    context.strokeStyle = colours.get(one.class);
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  }
  if (!byId("labels").checked) return;
  const size = Math.max(11, Math.min(28, context.canvas.width / 45));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const tags = [];
  for (const one of detections) {
    const text = `${one.class} ${one.score.toFixed(2)}`;
    const width = context.measureText(text).width + 0.6 * size;
    const place = freePlace(one.box.map((edge) => edge * scale), width, 1.35 * size, context, tags);
    tags.push({ ...place, width, height: 1.35 * size, text, colour: colours.get(one.class) });
  }
  for (const tag of tags.reverse()) {
    context.fillStyle = tag.colour;
    context.fillRect(tag.left, tag.top, tag.width, tag.height);
    context.fillStyle = "#000";
    context.fillText(tag.text, tag.left + 0.3 * size, tag.top + tag.height / 2);
  }
}

// Where a tag hides no other: above its box, below it, or inside it, where there is no room.
function freePlace([x1, y1, x2, y2], width, height, context, tags) {
  const clamp = (left) => Math.max(0, Math.min(left, context.canvas.width - width));
  const places = [
    { left: clamp(x1), top: y1 - height },
    { left: clamp(x2 - width), top: y1 - height },
    { left: clamp(x1), top: y2 },
    { left: clamp(x2 - width), top: y2 },
    { left: clamp(x1), top: y1 },
  ];
  const isInside = ({ top }) => top >= 0 && top + height <= context.canvas.height;
  const isFree = ({ left, top }) =>
    !tags.some(
      (tag) =>
        left < tag.left + tag.width &&
        tag.left < left + width &&
        top < tag.top + tag.height &&
        tag.top < top + height,
    );
  const possible = places.filter(isInside);
  return possible.find(isFree) ?? possible[0] ?? places[4];
}

function paint(picture) {
  const canvas = picture.card.querySelector("canvas");
  const size = picture.size;
  const width = canvas.clientWidth;
  if (!size || !width) return;
  const dense = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round((width * dense * size.height) / size.width);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  draw(context, canvas.width / size.width, shownOf(picture), picture.focused);
}

// ---- what the controls change

function show(picture) {
  const { card } = picture;
  const answer = picture.answers[byId("steps").value];
  const shown = shownOf(picture);
  card.dataset.shown = answer ? shown.length : "";
  card.querySelector(".count").textContent = answer
    ? `${shown.length} of ${answer.detections.length} objects, ${answer.seconds.toFixed(2)} s`
    : "";
  card.querySelector(".save").disabled = !answer;
  card.querySelector(".save").hidden = picture.unseen;
  card.querySelector(".frame").hidden = picture.unseen && !answer && !picture.busy;
  const error = card.querySelector(".error");
  error.hidden = !picture.error;
  error.textContent = picture.error;
  card.querySelector(".again").hidden = !picture.error || picture.isFinal;
  const busy = card.querySelector(".busy");
  busy.hidden = !picture.busy;
  busy.textContent = picture.busy;
  card.querySelector("details").hidden = !shown.length;
  fillTable(picture, shown);
  paint(picture);
}

function fillTable(picture, shown) {
  const rows = shown.map((one) => {
    const row = document.createElement("tr");
    row.tabIndex = 0;
    const cells = [one.class, one.score.toFixed(3), ...one.box.map((edge) => edge.toFixed(1))];
    cells.forEach((text, place) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (place) cell.className = "number";
    });
    const focus = (on) => () => {
      picture.focused = on ? one : null;
      paint(picture);
    };
    row.addEventListener("mouseenter", focus(true));
    row.addEventListener("mouseleave", focus(false));
    row.addEventListener("focus", focus(true));
    row.addEventListener("blur", focus(false));
    return row;
  });
  picture.card.querySelector("tbody").replaceChildren(...rows);
}

function showAll() {
  byId("shown-threshold").textContent = Number(byId("threshold").value).toFixed(2);
  pictures.forEach(show);
  showClasses();
  const done = pictures.some((picture) => picture.answers[byId("steps").value]);
  byId("save-json").disabled = byId("save-coco").disabled = !done;
  byId("clear").disabled = !pictures.length;
  const waiting = pictures.filter((picture) => picture.busy).length;
  byId("status").textContent = waiting ? `${waiting} of ${pictures.length} pictures to do` : "";
}

function showClasses() {
  const threshold = Number(byId("threshold").value);
  const counts = new Map();
  for (const picture of pictures) {
    for (const one of picture.answers[byId("steps").value]?.detections ?? []) {
      const more = one.score >= threshold ? 1 : 0;
      counts.set(one.class, (counts.get(one.class) ?? 0) + more);
    }
  }
  const names = model.classes.map((each) => each.name).filter((name) => counts.has(name));
  const box = byId("classes");
  box.hidden = !names.length;
  const buttons = new Map([...box.children].map((button) => [button.dataset.name, button]));
  for (const [name, button] of buttons) if (!counts.has(name)) button.remove();
  names.forEach((name, place) => {
    const button = buttons.get(name) ?? classButton(name);
    button.setAttribute("aria-pressed", String(!hidden.has(name)));
    button.querySelector("span").textContent = `${name} ${counts.get(name)}`;
    // Only where it is not there yet: what is moved loses the keyboard's focus.
    if (box.children[place] !== button) box.insertBefore(button, box.children[place] ?? null);
  });
}

function classButton(name) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.name = name;
  const colour = document.createElement("i");
  colour.style.background = colours.get(name);
  button.append(colour, document.createElement("span"));
  button.addEventListener("click", () => {
    if (!hidden.delete(name)) hidden.add(name);
    showAll();
  });
  return button;
}

// ---- requests

function add(files) {
  for (const file of files) {
    if (pictures.length >= MOST_PICTURES) {
      byId("status").textContent = `At most ${MOST_PICTURES} pictures at a time; clear some first.`;
      return;
    }
    const card = byId("card").content.firstElementChild.cloneNode(true);
    const name = file.name || `pasted-${made + 1}.png`;
    const picture = { file, name, card, answers: {}, error: "", busy: "", unseen: false, isFinal: false };
    made += 1;
    picture.address = URL.createObjectURL(file);
    card.querySelector("h2").textContent = name;
    const image = card.querySelector("img");
    image.alt = name;
    image.addEventListener("load", () => {
      // As it is shown: upright.
      picture.size = { width: image.naturalWidth, height: image.naturalHeight };
      paint(picture);
    });
    image.addEventListener("error", () => {
      picture.unseen = true; // a TIFF, which browsers do not know: boxes alone
      image.hidden = true;
      card.querySelector(".frame").classList.add("unseen");
      show(picture);
    });
    image.src = picture.address;
    card.querySelector(".remove").addEventListener("click", () => remove(picture));
    card.querySelector(".save").addEventListener("click", () => savePicture(picture));
    card.querySelector(".again").addEventListener("click", () => {
      picture.error = "";
      ask(picture);
    });
    byId("pictures").append(card);
    resized.observe(card.querySelector(".frame"));
    pictures.push(picture);
    ask(picture);
  }
}

const resized = new ResizeObserver((changes) => {
  for (const { target } of changes) {
    const picture = pictures.find((each) => each.card.contains(target));
    if (picture) paint(picture);
  }
});

const queue = [];
let underWay = 0;

function ask(picture) {
  const steps = byId("steps").value;
  if (!picture.answers[steps] && !queue.some((each) => each.picture === picture && each.steps === steps)) {
    picture.busy = "waiting";
    queue.push({ picture, steps });
  }
  showAll();
  next();
}

function next() {
  while (underWay < AT_ONCE && queue.length) {
    const { picture, steps } = queue.shift();
    // Other steps were chosen meanwhile, or the picture is gone.
    if (!pictures.includes(picture) || steps !== byId("steps").value) continue;
    underWay += 1;
    detect(picture, steps).finally(() => {
      underWay -= 1;
      if (steps === byId("steps").value) picture.busy = "";
      showAll();
      next();
    });
  }
}

async function detect(picture, steps) {
  picture.stop = new AbortController();
  picture.busy = "detecting";
  picture.error = "";
  show(picture);
  try {
    const answer = await untilTaken(picture, steps);
    const said = await answer.json();
    if (answer.ok) {
      picture.answers[steps] = said;
      if (picture.unseen) blank(picture, said.image);
    } else {
      picture.error = said.error;
      picture.isFinal = answer.status < 500; // the picture itself is refused
    }
  } catch (error) {
    if (error.name !== "AbortError") picture.error = "The server does not answer.";
  }
}

// A server that has much to do says when to come again.
async function untilTaken(picture, steps) {
  const query = new URLSearchParams({ steps });
  for (let attempt = 0; ; attempt += 1) {
    const answer = await fetch(`detect?${query}`, {
      method: "POST",
      body: picture.file,
      headers: { "Content-Type": "application/octet-stream" },
      signal: picture.stop.signal,
    });
    const wait = Number(answer.headers.get("Retry-After"));
    if (!wait || attempt >= 20 || ![408, 429, 503].includes(answer.status)) return answer;
    picture.busy = "the server has much to do; waiting";
    show(picture);
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
    if (picture.stop.signal.aborted) throw new DOMException("", "AbortError");
  }
}

function blank(picture, size) {
  picture.size = size;
  picture.card.querySelector(".frame").style.aspectRatio = `${size.width} / ${size.height}`;
}

function remove(picture) {
  picture.stop?.abort();
  URL.revokeObjectURL(picture.address);
  const following = picture.card.nextElementSibling ?? picture.card.previousElementSibling;
  picture.card.remove();
  pictures = pictures.filter((each) => each !== picture);
  (following?.querySelector(".remove") ?? byId("files")).focus();
  showAll();
}

// ---- files to save

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const saveJSON = (name, content) =>
  save(name, new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));

const answered = () => pictures.filter((picture) => picture.answers[byId("steps").value]);

function plain() {
  return answered().map((picture) => ({
    file_name: picture.name,
    image: picture.answers[byId("steps").value].image,
    steps: byId("steps").value,
    threshold: Number(byId("threshold").value),
    detections: shownOf(picture),
  }));
}

function coco() {
  const rounded = (value) => Math.round(1000 * value) / 1000;
  return answered().flatMap((picture, place) =>
    shownOf(picture).map((one) => {
      const [x1, y1, x2, y2] = one.box;
      return {
        image_id: place + 1,
        category_id: one.category_id,
        bbox: [x1, y1, x2 - x1, y2 - y1].map(rounded),
        score: one.score,
        file_name: picture.name,
        class_name: one.class,
      };
    }),
  );
}

function savePicture(picture) {
  const canvas = document.createElement("canvas");
  const { width, height } = picture.size;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.drawImage(picture.card.querySelector("img"), 0, 0, width, height);
  draw(context, 1, shownOf(picture), null);
  const stem = picture.name.replace(/\.[^.]*$/, "");
  canvas.toBlob((blob) => {
    if (blob) return save(`${stem}-detected.png`, blob);
    picture.error = "This browser cannot save so large a picture.";
    show(picture);
  }, "image/png");
}

// ---- events

// Files that came before the server has said what its model is.
const early = [];

function take(files) {
  if (model) add(files);
  else early.push(...files);
}

function listenForFiles() {
  const drop = byId("drop");
  const isFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    if (!isFiles(event)) return;
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  byId("files").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = ""; // the same file may be chosen again
  });
}

function listen() {
  byId("threshold").addEventListener("input", showAll);
  byId("labels").addEventListener("change", showAll);
  byId("steps").addEventListener("change", () => {
    setRange();
    pictures.forEach((picture) => {
      picture.busy = "";
      if (!picture.error) ask(picture);
    });
    showAll();
  });
  byId("save-json").addEventListener("click", () => saveJSON("detections.json", plain()));
  byId("save-coco").addEventListener("click", () => saveJSON("detections-coco.json", coco()));
  byId("clear").addEventListener("click", () => {
    [...pictures].forEach(remove);
    byId("files").focus();
  });
}

function setRange() {
  const steps = model.steps.find((each) => each.name === byId("steps").value);
  const slider = byId("threshold");
  slider.min = Math.floor(100 * steps.lowest_score) / 100;
  if (Number(slider.value) < slider.min) slider.value = slider.min;
}

async function start() {
  listenForFiles();
  model = await (await fetch("model")).json();
  for (const { name, colour } of model.classes) colours.set(name, colour);
  byId("about").textContent =
    `${model.classes.length} classes, on ${model.device} in ${model.precision}`;
  for (const { name } of model.steps) byId("steps").add(new Option(name, name));
  byId("steps").value = model.default;
  setRange();
  listen();
  showAll();
  add(early.splice(0));
}

start().catch(() => {
  byId("status").textContent = "The server does not answer; load this page again.";
});
