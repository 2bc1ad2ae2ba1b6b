// The gateway's own engine, as WebAssembly. It is given JSON text and gives JSON text, see src/playground.

const [encoder, decoder] = [new TextEncoder(), new TextDecoder()];

let compiled;
let instance;

/** Loads it, once; what fails may be tried again. */
export async function load() {
  compiled ??= fetch("playground.wasm", { credentials: "omit", redirect: "error" }).then((response) => {
    if (!response.ok) throw new Error(`The gateway answers with status ${response.status}.`);
    return response.arrayBuffer().then((bytes) => WebAssembly.compile(bytes));
  });
  try {
    instance ??= await WebAssembly.instantiate(await compiled, {});
  } catch (error) {
    compiled = undefined;
    throw error;
  }
}

/** What it answers. */
export function ask(request) {
  const bytes = encoder.encode(JSON.stringify(request));
  const { memory, playground_buffer: buffer, playground_answer: answer } = instance.exports;
  const start = buffer(bytes.length);
  new Uint8Array(memory.buffer, start, bytes.length).set(bytes);
  const place = BigInt.asUintN(64, answer(start, bytes.length));
  const [from, length] = [Number(place >> 32n), Number(place & 0xffffffffn)];
  const result = JSON.parse(decoder.decode(new Uint8Array(memory.buffer, from, length)));
  if (result.problem !== undefined) throw new Error(result.problem);
  return result;
}

/** After it failed in the middle of an answer: anew, with empty memory. */
export async function restart() {
  instance = undefined;
  await load();
}
