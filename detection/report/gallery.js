/*
The gallery: pictures with boxes over them, filters, and a large view.

  const shown = gallery(place, {pictures, layers, verdicts, names, score});

place      an empty element
pictures   [{file_name, width, height,   pixels of the file, in which the boxes are
             jpeg,                       a copy of any size, base64
             choice, note,               why it is here (a filter); a line under its name; optional
             facts: [text],              lines of the large view, optional
             LAYER: [{name,              the class
                      box,               [x1, y1, x2, y2]
                      score,             null or left out: the slider leaves it alone
                      verdict,           a key of verdicts, or left out
                      other,             of a confused one the other class, or left out
                      flags: [text],     words behind its name, optional
                      note,              what else it is, optional
                      dashed}]}]         whether its line is, optional
layers     [{key: LAYER, title, dashed}]: what can be shown and hidden
verdicts   {VERDICT: {title, colour, mistake, means}}, in the order of the buttons.  colour: one of
           base.css, "red" say; without a verdict a box has its class's.  means: (box) -> what it
           says of one, optional
names      classes in the order of the list; left out: by the alphabet
score      where the slider begins; left out: no slider
filters    [{title, all, options: [{title, box, picture}]}]: further lists to choose from.  all: the
           entry that leaves all; box: (box) -> whether it is shown, or picture: the same of one
sorts      [{title, by}]: orders of the pictures; by: (picture) -> number, the least first
choiceTitle    what choice is called; left out: "Chosen for"

Answers {select({name, other, verdict}), open(picture)}.  select sets the filters from elsewhere and
scrolls there; with name and other it is objects of class name that were taken for other.
*/
"use strict";

const BRIGHT = {
  // On a photo, with a dark halo, whatever the page's own colours.
  blue: "#6cb0ff", green: "#4be08a", red: "#ff6b62", orange: "#ffae42",
  purple: "#cf9cff", pink: "#ff8fcf", teal: "#3fe0e8", grey: "#d5dae0",
}; // prettier-ignore
const OF_CLASSES = ["blue", "orange", "green", "purple", "red", "teal", "pink"];
const LETTERS = 24;
const ALL = "";
const MISTAKES = "any mistake";

function gallery(
  place,
  {
    pictures,
    layers,
    verdicts = {},
    names = null,
    score = null,
    filters = [],
    sorts = [],
    choiceTitle = null,
  },
) {
  const boxesOf = (picture) => layers.flatMap(({ key }) => picture[key] ?? []);
  const everyBox = pictures.flatMap(boxesOf);
  const classes = names ?? [...new Set(everyBox.map((box) => box.name))].sort();
  const scores = everyBox.map((box) => box.score).filter((one) => one !== null && one !== undefined);
  const choices = [...new Set(pictures.map((picture) => picture.choice).filter(Boolean))];
  const chosenBy = (number) => `filter ${number}`;
  const first = { name: ALL, other: ALL, verdict: ALL, choice: ALL, score };
  filters.forEach((_, number) => (first[chosenBy(number)] = ALL));
  const state = { ...first, hidden: new Set(), sort: 0 };
  const cards = new Map();
  let ordered = pictures;
  let shown = pictures;

  // What is to be seen.

  function colourOf(box) {
    if (verdicts[box.verdict]) return verdicts[box.verdict].colour;
    return OF_CLASSES[Math.max(0, classes.indexOf(box.name)) % OF_CLASSES.length];
  }

  function isOfClass(box) {
    if (state.other === ALL) return state.name === ALL || box.name === state.name;
    const isObject = box.score === null || box.score === undefined;
    const [object, taken] = isObject ? [box.name, box.other] : [box.other, box.name];
    return box.verdict === "confused" && object === state.name && taken === state.other;
  }

  function isSure(box) {
    return state.score === null || (box.score ?? Infinity) >= state.score;
  }

  function isOfVerdict(box, verdict) {
    if (verdict === ALL) return true;
    return verdict === MISTAKES ? Boolean(verdicts[box.verdict]?.mistake) : box.verdict === verdict;
  }

  const options = () =>
    filters.flatMap((one, number) => (state[chosenBy(number)] === ALL ? [] : [one.options[state[chosenBy(number)]]]));
  const passes = (box) => options().every((option) => !option.box || option.box(box));
  const matches = (box) => isSure(box) && isOfClass(box) && isOfVerdict(box, state.verdict) && passes(box);
  const filtersBoxes = () =>
    [state.name, state.other, state.verdict].some((one) => one !== ALL) || options().some((option) => option.box);

  function isShown(picture) {
    if (state.choice !== ALL && picture.choice !== state.choice) return false;
    if (!options().every((option) => !option.picture || option.picture(picture))) return false;
    return !filtersBoxes() || boxesOf(picture).some(matches);
  }

  // A picture and its boxes.

  function overlay(picture) {
    const drawing = drawn("svg", { "aria-hidden": "true" });
    const groups = new Map();
    for (const layer of layers) {
      for (const box of picture[layer.key] ?? []) {
        const group = boxGroup(picture, layer, box);
        groups.set(box, { group, layer });
        drawing.append(group);
      }
    }
    const update = () => {
      for (const [box, { group, layer }] of groups) {
        const isSeen = matches(box) && !state.hidden.has(layer.key);
        group.style.display = isSeen ? "" : "none";
      }
    };
    update();
    return { drawing, groups, update };
  }

  /** Of words that would lie on each other the first are shown: detections, then the truth. */
  function spreadWords(groups) {
    const all = [...groups.values()].filter(({ group }) => group.style.display !== "none");
    all.sort((one, other) => Boolean(one.layer.dashed) - Boolean(other.layer.dashed));
    const words = all.map(({ group }) => group.querySelector("text"));
    const frames = words.map((one) => one.getBBox());
    const placed = [];
    words.forEach((one, i) => {
      const a = frames[i];
      const isCovered = placed.some(
        (b) => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height,
      );
      one.style.visibility = isCovered ? "hidden" : "";
      if (!isCovered) placed.push(a);
    });
  }

  function boxGroup(picture, layer, box) {
    const share = (value, all) => `${(100 * value) / all}%`;
    const [x1, y1, x2, y2] = box.box;
    const frame = {
      x: share(x1, picture.width),
      y: share(y1, picture.height),
      width: share(Math.max(0, x2 - x1), picture.width),
      height: share(Math.max(0, y2 - y1), picture.height),
      rx: 2,
    };
    // Words of detections stand above their boxes, those of the truth below, where there is room.
    const toTheLeft = x1 > 0.62 * picture.width;
    const below = Boolean(layer.dashed);
    const edge = below ? y2 : y1;
    const outside = below ? y2 < 0.93 * picture.height : y1 > 0.07 * picture.height;
    const words = drawn(
      "text",
      {
        x: share(toTheLeft ? x2 : x1, picture.width),
        y: share(edge, picture.height),
        dx: toTheLeft ? -3 : 3,
        dy: below === outside ? 12 : -4,
        "text-anchor": toTheLeft ? "end" : "start",
      },
      isolated(shortened(box.name, LETTERS)) + (isScored(box) ? ` ${box.score.toFixed(2)}` : "") + flagsOf(box),
    );
    return drawn(
      "g",
      {
        class: layer.dashed || box.dashed ? "box dashed" : "box",
        style: `--bright: ${BRIGHT[colourOf(box)]}`,
        "data-layer": layer.key,
        "data-verdict": box.verdict,
        "data-name": box.name,
      },
      drawn("title", {}, describe(box)),
      drawn("rect", { class: "halo", ...frame }),
      drawn("rect", { class: "edge", ...frame }),
      words,
    );
  }

  const isScored = (box) => box.score !== null && box.score !== undefined;

  const flagsOf = (box) => (box.flags?.length ? ` (${box.flags.join(", ")})` : "");

  function verdictWords(box) {
    const verdict = verdicts[box.verdict];
    const words = verdict ? (verdict.means ? verdict.means(box) : verdict.title.toLowerCase()) : "";
    // A flag that the verdict says already is left out.
    const flags = (box.flags ?? []).filter((flag) => flag !== words);
    return [words, ...flags, box.note].filter(Boolean).join(", ");
  }

  function describe(box) {
    const words = verdictWords(box);
    const sure = isScored(box) ? ` ${box.score.toFixed(2)}` : "";
    return isolated(box.name) + sure + (words && `: ${words}`);
  }

  function pictureElement(picture, drawing, attributes = {}) {
    const ratio = picture.width / picture.height;
    return element(
      "span",
      {
        class: "picture",
        style: `aspect-ratio: ${picture.width} / ${picture.height}; --ratio: ${ratio}`,
      },
      element("img", { src: `data:image/jpeg;base64,${picture.jpeg}`, alt: "", ...attributes }),
      drawing,
    );
  }

  // Cards are filled when they come near the window: a thousand pictures open as fast as ten.

  function cardOf(picture) {
    const frame = element("span", { class: "frame" });
    const card = element(
      "button",
      { type: "button", class: "card", onclick: () => view.open(picture) },
      frame,
      element(
        "span",
        { class: "caption" },
        nameElement(picture.file_name, { dir: "ltr" }),
        element("span", { class: "muted" }, picture.note ?? ""),
      ),
    );
    const entry = { place: element("li", {}, card), card, update: () => {} };
    entry.fill = () => {
      entry.fill = () => {};
      const { drawing, groups, update } = overlay(picture);
      frame.append(pictureElement(picture, drawing, { decoding: "async" }));
      entry.update = () => {
        update();
        if (!list.classList.contains("without-labels") && !entry.place.hidden) spreadWords(groups);
      };
      entry.update();
    };
    return entry;
  }

  const near = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        byPlace.get(target).fill();
      }
    },
    { rootMargin: "800px" },
  );
  const byPlace = new Map();
  window.addEventListener("beforeprint", () => cards.forEach((card) => card.fill()));

  // Controls.

  const labelled = (text, ...controls) =>
    element("label", { class: "group" }, element("span", { class: "label" }, text), ...controls);

  function chooser(key, options, title) {
    const select = element("select", {
      "aria-label": title,
      onchange: () => {
        state[key] = select.value;
        if (key === "name") state.other = ALL;
        update();
      },
    });
    for (const [value, text] of options) select.append(element("option", { value }, text));
    return select;
  }

  const layerButtons = [];

  function toggles() {
    const buttons = layers.map((layer) =>
      element(
        "button",
        {
          type: "button",
          class: "button",
          "data-toggle": layer.key,
          onclick: () => toggleLayer(layer.key),
        },
        element("span", { class: layer.dashed ? "line-sample dashed" : "line-sample" }),
        layer.title,
      ),
    );
    layerButtons.push(...buttons);
    return buttons;
  }

  function toggleLayer(key) {
    if (!state.hidden.delete(key)) state.hidden.add(key);
    update();
  }

  const labelsToggle = (target) => {
    const button = element(
      "button",
      {
        type: "button",
        class: "button",
        "data-toggle": "labels",
        onclick: () => {
          const isOff = target().classList.toggle("without-labels");
          button.setAttribute("aria-pressed", String(!isOff));
          update();
        },
      },
      "Labels",
    );
    return button;
  };

  const list = element("ul", { class: "cards without-labels" });
  const nameChoice = chooser(
    "name",
    [[ALL, "All classes"], ...classes.map((name) => [name, shortened(name, 60)])],
    "Class",
  );
  const choiceChoice = chooser(
    "choice",
    [[ALL, "All pictures"], ...choices.map((choice) => [choice, choice])],
    choiceTitle ?? "Why a picture is here",
  );
  const filterChoices = filters.map(({ title, all, options: given }, number) =>
    chooser(chosenBy(number), [[ALL, all], ...given.map((option, i) => [i, option.title])], title),
  );
  const sortChoice = element(
    "select",
    {
      "aria-label": "Order",
      onchange: () => {
        state.sort = Number(sortChoice.value);
        sort();
        update();
      },
    },
    ...sorts.map(({ title }, number) => element("option", { value: number }, title)),
  );
  const slider = rangeOf(scores);
  const sliderValue = element("output", {});
  const verdictButtons = new Map();
  const counter = element("span", { role: "status" });
  const pair = element("button", {
    type: "button",
    class: "button",
    "aria-pressed": "true",
    onclick: () => {
      state.other = ALL;
      update();
    },
  });
  const reset = element(
    "button",
    {
      type: "button",
      class: "button",
      onclick: () => {
        Object.assign(state, first);
        if (slider) slider.value = score;
        update();
      },
    },
    "Reset filters",
  );
  const nothing = element("p", { class: "muted" }, "None of these pictures has such boxes.");

  function rangeOf(values) {
    if (score === null || !values.length) return null;
    const low = Math.min(values.reduce((a, b) => Math.min(a, b)), score);
    const high = Math.max(values.reduce((a, b) => Math.max(a, b)), score, low <= 1 ? 1 : low);
    const step = high <= 1 && low >= 0 ? 0.01 : (high - low) / 100;
    return element("input", {
      type: "range",
      min: Math.floor(low / step) * step,
      max: high,
      step,
      value: score,
      "aria-label": "Least score of detections",
      oninput: (event) => {
        state.score = Number(event.target.value);
        update();
      },
    });
  }

  function verdictRow() {
    const present = Object.keys(verdicts).filter((one) => everyBox.some((box) => box.verdict === one));
    if (!present.length) return null;
    const entries = [[ALL, "All boxes", null]];
    if (present.some((one) => verdicts[one].mistake)) entries.push([MISTAKES, "Any mistake", null]);
    for (const one of present) entries.push([one, verdicts[one].title, verdicts[one].colour]);
    const row = element("div", { class: "group", role: "group", "aria-label": "Verdict" });
    for (const [value, title, colour] of entries) {
      const count = element("span", { class: "count" });
      const button = element(
        "button",
        {
          type: "button",
          class: "button",
          "data-verdict": value,
          onclick: () => {
            state.verdict = value;
            update();
          },
        },
        colour && element("span", { class: "swatch", style: `--colour: var(--${colour})` }),
        title,
        count,
      );
      verdictButtons.set(value, { button, count });
      row.append(button);
    }
    return row;
  }

  const view = largeView();

  function sort() {
    const { by } = sorts[state.sort];
    const keys = new Map(pictures.map((picture) => [picture, by(picture)]));
    ordered = [...pictures].sort((a, b) => keys.get(a) - keys.get(b));
    list.append(...ordered.map((picture) => cards.get(picture).place));
  }

  function update() {
    shown = ordered.filter(isShown);
    const isIn = new Set(shown);
    for (const [picture, card] of cards) {
      card.place.hidden = !isIn.has(picture);
      card.update();
    }
    counter.textContent = `${shown.length} of ${pictures.length} shown`;
    nothing.hidden = shown.length > 0;
    const countable = everyBox.filter((box) => isSure(box) && isOfClass(box) && passes(box));
    for (const [value, { button, count }] of verdictButtons) {
      button.setAttribute("aria-pressed", String(value === state.verdict));
      count.textContent = countable.filter((box) => isOfVerdict(box, value)).length;
    }
    for (const button of layerButtons) {
      button.setAttribute("aria-pressed", String(!state.hidden.has(button.dataset.toggle)));
    }
    nameChoice.value = state.name;
    choiceChoice.value = state.choice;
    pair.hidden = state.other === ALL;
    pair.replaceChildren("taken for ", nameElement(state.other), " ×");
    pair.setAttribute("aria-label", `Taken for ${isolated(state.other)}: remove this filter`);
    filterChoices.forEach((choice, number) => (choice.value = state[chosenBy(number)]));
    reset.hidden = !filtersBoxes() && !options().length && state.choice === ALL && state.score === score;
    if (state.score !== null) sliderValue.textContent = state.score.toFixed(2);
    view.update();
  }

  // The large view: one picture, what is on it, and the ones before and after.

  function largeView() {
    let current = null;
    let drawing = null;
    const button = (text, name, act) =>
      element("button", { type: "button", class: "button", "aria-label": name, onclick: act }, text);
    const back = button("←", "The picture before", () => go(-1));
    const forward = button("→", "The next picture", () => go(1));
    const title = element("div", { class: "title" });
    const canvas = element("div", { class: "canvas" });
    const table = element("div", { class: "list" });
    const labels = labelsToggle(() => canvas);
    labels.setAttribute("aria-pressed", "true");
    const dialog = element(
      "dialog",
      { class: "large-view", "aria-label": "One picture", tabindex: -1, autofocus: true },
      element("header", {}, title, back, forward, button("Close", "Close", () => dialog.close())),
      element("div", { class: "stage" }, canvas, table),
      element(
        "footer",
        {},
        ...toggles(),
        labels,
        element("span", { class: "count keys" }, `← → pictures · ${layers.map((_, i) => i + 1).join(" ")} layers · L labels · Esc closes`),
      ),
    );
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const layer = layers[Number(event.key) - 1];
      if (event.key === "ArrowRight") go(1);
      else if (event.key === "ArrowLeft") go(-1);
      else if (event.key.toLowerCase() === "l") labels.click();
      else if (layer) toggleLayer(layer.key);
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog) dialog.close();
    });
    dialog.addEventListener("close", () => {
      cards.get(current)?.card.focus();
      canvas.replaceChildren();
      drawing = null;
    });
    document.body.append(dialog);
    new ResizeObserver(() => drawing && spreadWords(drawing.groups)).observe(canvas);

    function go(step) {
      const next = shown[shown.indexOf(current) + step];
      if (next) open(next);
    }

    function open(picture) {
      current = picture;
      drawing = overlay(picture);
      canvas.replaceChildren(pictureElement(picture, drawing.drawing));
      canvas.firstChild.firstChild.alt = picture.file_name;
      if (!dialog.open) dialog.showModal();
      update();
    }

    function fill() {
      const number = shown.indexOf(current);
      const note = [`${number + 1} of ${shown.length}`, current.choice, current.note].filter(Boolean);
      title.replaceChildren(
        nameElement(current.file_name, { dir: "ltr" }),
        element("span", { class: "count" }, note.join(" · ")),
      );
      // Not disabled: a button in focus would then swallow the arrow keys.
      back.setAttribute("aria-disabled", String(number <= 0));
      forward.setAttribute("aria-disabled", String(number === shown.length - 1));
      const facts = (current.facts ?? []).map((text) => element("li", {}, element("bdi", {}, text)));
      table.replaceChildren(facts.length ? element("ul", { class: "picture-facts" }, ...facts) : "", boxTable());
    }

    function boxTable() {
      const bodies = [];
      for (const layer of layers.filter(({ key }) => !state.hidden.has(key))) {
        const boxes = (current[layer.key] ?? []).filter(matches);
        if (!boxes.length) continue;
        const title = element("th", { colspan: scores.length ? 3 : 2, scope: "rowgroup" }, layer.title);
        bodies.push(element("tbody", {}, element("tr", {}, title), ...boxes.map(boxRow)));
      }
      if (!bodies.length) return element("p", { class: "muted empty" }, "No boxes are shown.");
      return element("table", { class: "wide" }, ...bodies);
    }

    function boxRow(box) {
      const point = (isOn) => () => {
        drawing.drawing.classList.toggle("pointing", isOn);
        drawing.groups.get(box).group.classList.toggle("pointed", isOn);
      };
      const words = verdictWords(box);
      const swatch = element("span", { class: "swatch", style: `--colour: var(--${colourOf(box)})` });
      return element(
        "tr",
        {
          tabindex: 0,
          onmouseenter: point(true),
          onmouseleave: point(false),
          onfocus: point(true),
          onblur: point(false),
        },
        element("td", {}, swatch, nameElement(box.name)),
        scores.length ? element("td", { class: "number" }, isScored(box) ? box.score.toFixed(2) : "–") : null,
        element("td", {}, words),
      );
    }

    return {
      open,
      update: () => {
        if (!drawing) return;
        drawing.update();
        spreadWords(drawing.groups);
        fill();
      },
    };
  }

  for (const picture of pictures) {
    const card = cardOf(picture);
    cards.set(picture, card);
    byPlace.set(card.place, card);
    list.append(card.place);
    near.observe(card.place);
  }
  const cardLabels = labelsToggle(() => list);
  cardLabels.setAttribute("aria-pressed", "false");
  place.append(
    element(
      "div",
      { class: "gallery-controls panel" },
      element(
        "div",
        { class: "row" },
        element("div", { class: "group", role: "group", "aria-label": "Shown" }, ...toggles(), cardLabels),
        slider && labelled("Score from", slider, sliderValue),
        labelled("Class", nameChoice),
        choices.length > 1 ? labelled(choiceTitle ?? "Chosen for", choiceChoice) : null,
        ...filters.map(({ title }, number) => labelled(title, filterChoices[number])),
        sorts.length ? labelled("Order", sortChoice) : null,
      ),
      verdictRow(),
    ),
    element("div", { class: "gallery-state" }, counter, pair, reset),
    nothing,
    list,
  );
  if (sorts.length) sort();
  update();

  return {
    open: view.open,
    select(chosen) {
      Object.assign(state, first, chosen);
      if (slider) slider.value = score;
      update();
      (place.closest("section") ?? place).scrollIntoView();
    },
  };
}
