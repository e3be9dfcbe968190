/* Elements of HTML and SVG, made without ever reading text as HTML. */
"use strict";

/** element("p", {class: "muted", onclick: ...}, "text", other) -> a <p>. */
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same, of SVG. */
function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name from the data; its direction of writing leaves the text around it alone. */
function nameElement(name, attributes = {}) {
  return element("bdi", { class: "name", title: name, ...attributes }, name);
}

/** The same for attributes and SVG, which know no <bdi>. */
function isolated(name) {
  return `\u2068${name}\u2069`;
}

/** At most so many letters of it. */
function shortened(name, letters) {
  const all = [...name];
  return all.length > letters ? `${all.slice(0, letters - 1).join("")}…` : name;
}

/** An entry of the JSON that the page carries. */
function pageData() {
  return JSON.parse(document.getElementById("page-data").textContent);
}
