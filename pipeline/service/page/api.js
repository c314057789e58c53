/* Calls the service's API, with a key where it needs one. */

const KEY = "objseek-key";
let key = sessionStorage.getItem(KEY);
let askForKey = async () => null;

export class ProblemError extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** `ask` is called when the service wants a key: it resolves to one, or null. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** Whether requests need more than their address. */
export const hasKey = () => Boolean(key);

async function send(path, options = {}) {
  const headers = new Headers(options.headers);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ProblemError(0, "The service does not answer.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new ProblemError(answer.status, problem.detail ?? `The service answered ${answer.status}.`);
}

async function call(path, options) {
  try {
    return await send(path, options);
  } catch (error) {
    const isUnknown = error.status === 401;
    // Of a key that may only read, or of none where reading needs none, more is wanted.
    if (!isUnknown && error.status !== 403) throw error;
    const fresh = await askForKey(isUnknown && !key ? "" : error.message);
    if (fresh || isUnknown) keepKey(fresh);
    if (!fresh) throw error;
    return call(path, options);
  }
}

function keepKey(fresh) {
  key = fresh;
  if (fresh) sessionStorage.setItem(KEY, fresh);
  else sessionStorage.removeItem(KEY);
}

export async function get(path, signal) {
  return (await call(path, { signal })).json();
}

/** A file of the service. */
export async function blob(path, signal) {
  return (await call(path, { signal })).blob();
}

export async function post(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  return (await call(path, { method: "POST", headers, body: JSON.stringify(body), signal })).json();
}

/** A file that the service makes of a request, with its name, and how many objects are not in it. */
export async function download(path, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await call(path, { method: "POST", headers, body: JSON.stringify(body) });
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "");
  return { file: await answer.blob(), name: name?.[1] ?? "export", leftOut: Number(answer.headers.get("Objseek-Left-Out") ?? 0) };
}

export async function upload(blob) {
  const headers = { "Content-Type": blob.type || "application/octet-stream" };
  return (await call("/v1/uploads", { method: "POST", headers, body: blob })).json();
}

/** Load a picture from the service into an image element; resolves once it is shown. */
export async function picture(image, path) {
  let address = path;
  if (key) {
    address = URL.createObjectURL(await (await call(path)).blob());
  }
  try {
    image.src = address;
    await image.decode();
  } catch {
    // An image element gives no reason: ask again for the error.
    await call(path);
    throw new ProblemError(0, "The picture cannot be shown.");
  } finally {
    if (address !== path) URL.revokeObjectURL(address);
  }
}

/** Yields each event of a stream of server-sent events, parsed. */
export async function* events(path, signal) {
  const answer = await call(path, { signal });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
    }
  }
}
