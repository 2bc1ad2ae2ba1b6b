// JSON text as a tree that knows where everything stands, so that a rule can be shown and changed where it is written.

const TOKEN = /\s*("(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+)/y;

/**
 * The tree of `text`, or `undefined` where that is no JSON. A node has `start` and `end`, and either `members` (of name
 * and node, with `start` where the name begins), `elements`, or a `value`.
 */
export function read(text) {
  try {
    JSON.parse(text);
    return new Reader(text).node();
  } catch {
    return undefined;
  }
}

/** Only for what is known to be JSON. */
class Reader {
  at = 0;

  constructor(text) {
    this.text = text;
  }

  /** The next token, and where it stands. */
  next() {
    TOKEN.lastIndex = this.at;
    const [whole, token] = TOKEN.exec(this.text);
    const end = this.at + whole.length;
    this.at = end;
    return { token, start: end - token.length, end };
  }

  node({ token, start, end } = this.next()) {
    if (token === "{") return { start, members: this.members(), end: this.at };
    if (token === "[") return { start, elements: this.elements(), end: this.at };
    return { start, end, value: JSON.parse(token) };
  }

  members() {
    const members = [];
    for (let next = this.next(); next.token !== "}"; next = this.next()) {
      const { token, start } = next.token === "," ? this.next() : next;
      this.next();
      members.push({ name: JSON.parse(token), start, node: this.node() });
    }
    return members;
  }

  elements() {
    const elements = [];
    for (let next = this.next(); next.token !== "]"; next = this.next()) {
      elements.push(this.node(next.token === "," ? this.next() : next));
    }
    return elements;
  }
}

/** The node of the member `name`, if `node` is an object that has it. */
export const member = (node, name) => node?.members?.find((one) => one.name === name)?.node;

/** What a node stands for. */
export function valueOf(node) {
  if (node.members) return Object.fromEntries(node.members.map((one) => [one.name, valueOf(one.node)]));
  return node.elements ? node.elements.map(valueOf) : node.value;
}

const partsOf = (pointer) =>
  pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));

/** The last name of a pointer. */
export const named = (pointer) => partsOf(pointer).at(-1);

/** The pointer to a member of what another pointer leads to. */
export const within = (pointer, name) => `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;

/**
 * Where a rule stands that a decision names, as `{start, end}`: a pointer whose parts name rules by what a record calls
 * them. Of what is not found, the place that would hold it.
 */
export function find(root, rule) {
  let [node, start] = [root, root.start];
  for (const part of partsOf(rule)) {
    const inner = node.members?.find((one) => one.name === part);
    const found = inner?.node ?? node.elements?.find((one) => isNamed(one, part));
    if (!found) break;
    node = found;
    start = inner?.start ?? node.start;
  }
  return { start, end: node.end };
}

/** Whether a record calls this element of a list so: a pattern, a limit, a rate or a rule. */
function isNamed(node, name) {
  const value = valueOf(node);
  if (typeof value === "string") return value === name || name.endsWith(`:rate:${value.split("/")[1]}`);
  if (value === null || typeof value !== "object") return false;
  const { id, counter, conditions, window } = value;
  if (id !== undefined) return id === name;
  if (counter !== undefined) return counter === name;
  if (window !== undefined) return name.endsWith(`:rate:${window}`);
  return (conditions?.map(nameOf).join("+") || (conditions ? "always" : nameOf(value))) === name;
}

const nameOf = (condition) =>
  ["not", "all", "any"].find((name) => name in condition) ?? `${condition.path}-${condition.op}`;

/** Whether the pattern of a policy fits a name; at worst as many steps as the product of their lengths. */
export function fits(pattern, name) {
  const [wanted, found] = [[...pattern], [...name]];
  let [at, star, from] = [0, -1, 0];
  for (let place = 0; place < found.length; ) {
    if (wanted[at] === "*") {
      // At first it stands for nothing.
      [star, from] = [at++, place];
    } else if (wanted[at] === "?" || wanted[at] === found[place]) {
      [at, place] = [at + 1, place + 1];
    } else if (star >= 0) {
      // The last one stands for one character more.
      [at, place] = [star + 1, ++from];
    } else {
      return false;
    }
  }
  return wanted.slice(at).every((character) => character === "*");
}
