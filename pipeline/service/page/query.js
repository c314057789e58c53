/* Converts a search to and from the address and the API. */

export const PAGE = 30;
const SIMPLE = ["group", "diverse", "dense", "least", "kind", "alike"];

export function emptyQuery() {
  return { text: "", more: [], less: [], filters: [], group: "", diverse: "", dense: "", least: "", kind: "", alike: "" };
}

/** Whether there is anything to look for. */
export function isBlank(query) {
  const { texts } = parseText(query.text);
  return texts.length === 0 && query.more.length === 0;
}

/** `mug + blue^0.5 -red`: wanted texts with their weights, and those that are not wanted. */
export function parseText(text) {
  const texts = [], not = [];
  for (const part of text.split(/\s+(?=-[^\s-])|\s+\+\s+/)) {
    const minus = /^-(?=[^\s-])/.test(part);
    const weighed = /^(.*)\^(\d+(?:\.\d+)?)$/.exec(part);
    const words = (weighed ? weighed[1] : part).replace(/^-(?=[^\s-])/, "").trim();
    const weight = weighed ? Math.min(Math.max(Number(weighed[2]), 0.01), 100) : 1;
    if (words) (minus ? not : texts).push({ text: words, weight });
  }
  return { texts, not };
}

/** An example as the address has it: `o:ID`, `i:ID[@region]`, `u:ID[@region]`. A region is a box, with `!` as it is, a point, the number of an object, or `m` and a mask: its height, width and run lengths. */
function encodeExample(example) {
  const { mask } = example;
  const region = mask ? [`m${mask.size.join(",")}`, mask.counts] : example.box_xyxy ?? example.point_xy ?? (example.object_index == null ? null : [example.object_index]);
  const where = region ? `@${region.join(",")}${example.exact_box ? "!" : ""}` : "";
  if (example.object_id) return `o:${example.object_id}`;
  return example.image_id ? `i:${example.image_id}${where}` : `u:${example.upload_id}${where}`;
}

/** The example that such a text stands for; null for any other text. */
function decodeExample(text) {
  const match = /^([oiu]):([\w-]+)(?:@(?:([\d.,]+)(!)?|m(\d+),(\d+),(.+)))?$/s.exec(text);
  if (!match) return null;
  const example = { [{ o: "object_id", i: "image_id", u: "upload_id" }[match[1]]]: match[2] };
  const numbers = match[3]?.split(",").map(Number);
  if (match[7]) example.mask = { size: [Number(match[5]), Number(match[6])], counts: match[7] };
  if (numbers?.length === 4) Object.assign(example, { box_xyxy: numbers }, match[4] && { exact_box: true });
  if (numbers?.length === 2) example.point_xy = numbers;
  if (numbers?.length === 1) example.object_index = numbers[0];
  return example;
}

/** What hits of a query are called. */
export function nounOf(query) {
  if (query.kind === "image") return "image";
  const isWhole = (example) => !example.object_id && !example.box_xyxy && !example.point_xy && !example.mask && example.object_index == null;
  return query.more.some(isWhole) ? "hit" : "object";
}

/** What the results of a query are called. */
export function titleOf(query) {
  const wanted = parseText(query.text).texts.map((each) => `“${each.text}”`);
  const like = query.more.length ? [query.more.length === 1 ? "an example" : `${query.more.length} examples`] : [];
  const noun = query.kind === "image" ? "Images" : "Objects";
  return wanted.length + like.length ? `${noun} like ${[...wanted, ...like].join(" and ")}` : "Found objects";
}

export function toAddress(query) {
  const params = new URLSearchParams();
  if (query.text.trim()) params.set("q", query.text.trim());
  for (const example of query.more) params.append("like", encodeExample(example));
  for (const example of query.less) params.append("unlike", encodeExample(example));
  for (const filter of query.filters) params.append("filter", filter);
  for (const name of SIMPLE) if (query[name]) params.set(name, query[name]);
  const text = params.toString();
  return text ? `?${text}` : location.pathname;
}

export function fromAddress(search) {
  const params = new URLSearchParams(search);
  const query = emptyQuery();
  query.text = params.get("q") ?? "";
  query.more = params.getAll("like").map(decodeExample).filter(Boolean);
  query.less = params.getAll("unlike").map(decodeExample).filter(Boolean);
  query.filters = params.getAll("filter");
  for (const name of SIMPLE) query[name] = params.get(name) ?? "";
  return query;
}

/** `labels=dog` as the API has it; null for any other text. */
export function parseCondition(text) {
  const match = /^([a-z_]+)(\^=|<=|>=|!=|=|<|>)(.+)$/s.exec(text);
  if (!match) return null;
  const [, field, op, value] = match;
  const number = op !== "^=" && /^(area|ordinal|width|height|area_frac|predicted_iou|stability_score|center_[xy]_frac|mean_area_frac|motion|duration|video_duration|t_start|t_end|t_key|frames|shot)$/.test(field);
  return { field, op, value: number ? Number(value) : value };
}

export function toRequest(query, cursor) {
  const { texts, not } = parseText(query.text);
  const request = {
    positive: [...texts, ...query.more],
    negative: [...not, ...query.less],
    conditions: query.filters.map(parseCondition).filter(Boolean),
    limit: PAGE,
    hybrid: query.dense !== "1",
    collapse: query.alike !== "1",
  };
  if (query.kind === "image") request.kind = "image";
  if (query.group === "1") request.group_size = 1;
  if (Number(query.diverse) > 0) request.diversity = Math.min(Number(query.diverse), 1);
  if (Number(query.least) > 0) request.min_score = Number(query.least);
  if (cursor) request.cursor = cursor;
  return request;
}
