const QUOTE = 34;
const BACKSLASH = 92;
const OPEN_LIST = 91;
const CLOSE_LIST = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
/** Most strings end within so many bytes; the end of a longer one is found faster by searching for it. */
const SHORT_STRING_BYTES = 64;

/** Whether JSON nests deeper than `depthMax` lists and objects: `[]` is 1 deep. It looks at brackets outside of strings
 *  alone, which costs a fraction of parsing; what nests a hundred thousand deep costs a parser a hundred times more than
 *  flat JSON of that size. In text that is no JSON a parser gets no deeper either before it meets the fault. */
export function nestsDeeper(json: Buffer, depthMax: number): boolean {
  // Fewer bytes than that cannot nest so deep.
  if (json.length <= depthMax) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at += 1) {
    switch (json[at]) {
      case QUOTE:
        at = endOfString(json, at + 1);
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        depth += 1;
        if (depth > depthMax) return true;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
    }
  }
  return false;
}

/** @returns Where the quote is that ends a string which began before `from`, or the end of all */
function endOfString(json: Buffer, from: number): number {
  for (let at = from; at < json.length; ) {
    const near = Math.min(json.length, at + SHORT_STRING_BYTES);
    for (; at < near; at += 1) {
      const byte = json[at];
      if (byte === QUOTE) return at;
      if (byte === BACKSLASH) at += 1;
    }
    const quote = json.indexOf(QUOTE, at);
    if (quote < 0) break;
    if (!isEscaped(json, quote, at)) return quote;
    at = quote + 1;
  }
  return json.length;
}

/** @param from Where the byte is no escaped one */
function isEscaped(json: Buffer, quote: number, from: number): boolean {
  let backslashes = 0;
  while (quote - backslashes > from && json[quote - backslashes - 1] === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
