// The elements of the page: what is put there, and what stays there.

export const $ = (id) => document.getElementById(id);

/** An element with these properties and children. Strings become text, and what is falsy is left out. */
export function h(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter(Boolean));
  return element;
}

// What each element of a list stands for.
const keys = new WeakMap();

/**
 * Makes `parent` hold one element for each item, in this order. Those that are there already stay the same elements and
 * are not moved, because that would take the focus from them.
 */
export function sync(parent, items, keyOf, make) {
  const old = new Map([...parent.children].map((element) => [keys.get(element), element]));
  const used = new Set();
  const elements = items.map((item) => {
    let key = keyOf(item);
    // Two decisions can be alike.
    while (used.has(key)) key += "+";
    used.add(key);
    const element = old.get(key) ?? make(item);
    keys.set(element, key);
    old.delete(key);
    return element;
  });
  for (const element of old.values()) element.remove();
  elements.forEach((element, index) => {
    if (parent.children[index] !== element) parent.insertBefore(element, parent.children[index] ?? null);
  });
}

/** Shows a list, or that it is empty. */
export function list(name, items, keyOf, make) {
  sync($(name), items, keyOf, make);
  $(`${name}-empty`).hidden = items.length > 0;
}
