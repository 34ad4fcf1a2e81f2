// The one script of the site: sorts, filters and marks a leaderboard, and shows a comparison.
// Whatever comes from records is written as text, never as markup. What is chosen stands behind the # of the address.
"use strict";

const ARROWS = { ascending: "descending", descending: "ascending" };
const NARROW = 700; // pixels

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

function make(name, text, parent) {
  const found = document.createElement(name);
  if (text) found.textContent = text;
  if (parent) parent.append(found);
  return found;
}

function told() {
  return new URLSearchParams(location.hash.slice(1));
}

function tell(state) {
  const words = new URLSearchParams(Object.entries(state).filter(([, value]) => value !== "")).toString();
  history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

function select(id, value) {
  const found = byId(id);
  if (!found) return;
  found.value = value;
  if (found.selectedIndex < 0) found.selectedIndex = 0;
}

// --- A leaderboard ---------------------------------------------------------------------------------------------------

function board(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key);
  const boxes = [...document.querySelectorAll("#columns input")];
  const filters = ["way", "memory", "tuned"];
  const usual = byId("baseline") ? byId("baseline").value : "";
  const narrow = window.innerWidth < NARROW;
  const hiddenAtFirst = narrow ? keys.filter((key) => !data.essential.includes(key)).join(",") : "";
  let sort = "";
  let order = "";

  function value(row, place) {
    const text = row.cells[place].dataset.value;
    return text === "" || text === undefined || Number.isNaN(Number(text)) ? text || null : Number(text);
  }

  function compare(one, other) {
    return typeof one === "string" || typeof other === "string"
      ? String(one).localeCompare(String(other), "en")
      : one - other;
  }

  function sorted() {
    const place = keys.indexOf(sort);
    const sign = order === "ascending" ? 1 : -1;
    const values = original.map((row, number) => [place < 0 ? null : value(row, place), number, row]);
    if (place >= 0)
      values.sort(([a, i], [b, j]) => {
        if (a === null || b === null) return (a === null) - (b === null) || i - j; // what has none stands last
        return sign * compare(a, b) || i - j;
      });
    body.append(...values.map(([, , row]) => row));
    for (const head of heads)
      if (head.dataset.key === sort) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
  }

  function filtered() {
    const wanted = filters.map((name) => [name, byId(name).value]).filter(([, chosen]) => chosen !== "");
    for (const row of original) row.hidden = wanted.some(([name, chosen]) => row.dataset[name] !== chosen);
    const shown = original.filter((row) => !row.hidden).length;
    byId("count").textContent = `${shown} of ${original.length} rows`;
  }

  function hidden() {
    const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
    for (const row of [table.tHead.rows[0], ...original])
      for (const cell of row.cells) cell.hidden = off.has(cell.dataset.key);
    return [...off].join(",");
  }

  function marked() {
    const chosen = byId("baseline");
    if (!chosen) return;
    const marks = data.marks[chosen.value] || {};
    const rsum = keys.indexOf("rsum");
    const place = keys.indexOf("p_mark");
    for (const row of original) {
      const [p, text, arrow] = marks[row.dataset.row] || ["", "–", ""];
      const base = chosen.value !== "" && row.dataset.row === chosen.value;
      row.cells[rsum].querySelector(".mark").textContent = arrow;
      row.cells[place].textContent = base ? "base" : text;
      row.cells[place].dataset.value = p;
      row.classList.toggle("baseline", base);
    }
    byId("note").textContent = data.notes[chosen.value] || "No marks: choose a baseline.";
  }

  function show() {
    marked();
    filtered();
    sorted();
    const off = hidden();
    const state = { sort, order };
    for (const name of filters) state[name] = byId(name).value;
    const chosen = byId("baseline");
    state.baseline = chosen && chosen.value !== usual ? chosen.selectedOptions[0].textContent : "";
    state.hide = off === hiddenAtFirst ? "" : off || "none";
    tell(state);
  }

  function read() {
    const words = told();
    sort = keys.includes(words.get("sort")) ? words.get("sort") : "";
    order = sort ? (words.get("order") in ARROWS ? words.get("order") : "descending") : "";
    for (const name of filters) select(name, words.get(name) || "");
    const rows = byId("baseline") ? [...byId("baseline").options] : [];
    select("baseline", (rows.find((row) => row.textContent === words.get("baseline")) || { value: usual }).value);
    const hide = words.has("hide") ? words.get("hide") : hiddenAtFirst;
    for (const box of boxes) box.checked = !hide.split(",").includes(box.value);
    show();
  }

  for (const head of heads) {
    const button = make("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = ["method", "memory", "p_mark"].includes(head.dataset.key) ? "ascending" : "descending";
      order = sort === head.dataset.key ? ARROWS[order] : first;
      sort = head.dataset.key;
      show();
    });
  }
  for (const control of byId("tools").querySelectorAll("select, input")) control.addEventListener("change", show);
  byId("reset").addEventListener("click", () => {
    history.replaceState(null, "", location.pathname + location.search);
    read();
  });
  window.addEventListener("hashchange", read);
  byId("tools").hidden = false;
  read();
}

// --- A comparison ----------------------------------------------------------------------------------------------------

function comparison(place) {
  function queries(name, found, above) {
    if (!found.length) return;
    make("h2", `Queries that ${name} ranks most above the other`, place);
    const list = make("ul", "", place);
    list.className = "pictures";
    for (const query of found) {
      const item = make("li", "", list);
      if (query.picture) {
        const picture = make("img", "", item);
        picture.src = `../pictures/${query.picture}`;
        picture.alt = query.text;
      }
      make("span", query.text, item);
      make("small", `${query.kind}: ${query.id}`, item);
      make("small", `rank in A ${query.a}, in B ${query.b}; means over seeds`, item);
    }
  }

  function metrics(pair) {
    const around = make("div", "", place);
    around.className = "scroll";
    around.tabIndex = 0;
    const table = make("table", "", around);
    make("caption", `A = ${pair.a}, B = ${pair.b}`, table);
    const head = make("tr", "", make("thead", "", table));
    for (const name of data.headers) make("th", name, head).scope = "col";
    head.firstChild.className = "left";
    const body = make("tbody", "", table);
    pair.lines.forEach((line, number) => {
      const row = make("tr", "", body);
      line.forEach((text, column) => {
        const cell = make(column ? "td" : "th", "", row);
        if (!column) {
          cell.scope = "row";
          cell.className = "left";
        }
        make(pair.bold[number] ? "b" : "span", text, cell);
      });
    });
  }

  function show() {
    const [one, other] = [byId("one").value, byId("other").value];
    const fits = (pair) => (pair.a === one && pair.b === other) || (pair.a === other && pair.b === one);
    const pair = data.pairs.find(fits);
    place.replaceChildren();
    tell({ a: one, b: other });
    if (!pair) {
      make("p", "These two are not compared here: no finished seed in common, or the same row twice.", place);
      return;
    }
    for (const sentence of pair.said) make("p", sentence, place);
    metrics(pair);
    make("p", pair.seeds, place);
    if (pair.collapsed) make("p", `Collapsed, and counted in: ${pair.collapsed}.`, place).className = "warn";
    queries(`A, ${pair.a},`, pair.won);
    queries(`B, ${pair.b},`, pair.lost);
  }

  function read() {
    const words = told();
    const known = (name, otherwise) => (data.rows.includes(words.get(name)) ? words.get(name) : otherwise);
    select("one", known("a", data.rows[0]));
    select("other", known("b", data.rows[1]));
    show();
  }

  for (const id of ["one", "other"]) byId(id).addEventListener("change", show);
  window.addEventListener("hashchange", read);
  byId("tools").hidden = false;
  read();
}

if (byId("board")) board(byId("board"));
if (byId("compared")) comparison(byId("compared"));
