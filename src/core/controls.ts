/** DEL, C1 (ECMA-48 §5.3), the marks that reorder text (UAX #9 §2), and what Unicode calls the end of a line or
 *  paragraph: all that JSON may hold as it is. */
const RAW_IN_JSON = String.raw`\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff`;
const IN_JSON = new RegExp(`[${RAW_IN_JSON}]`, 'g');
/** These, and C0 but tab (ECMA-48 §5.2). */
const IN_TEXT = new RegExp(String.raw`[\u0000-\u0008\u000a-\u001f${RAW_IN_JSON}]`, 'g');

/** The text on one line, with nothing a terminal would obey: such characters show as `\u001b`. Tabs stay. */
export function escapeControls(text: string): string {
  return text.replaceAll(IN_TEXT, escaped);
}

/** JSON that a terminal shows as it is: such characters are escapes in it, which means the same.
 *  @param shown They are written to be read: whoever parses the JSON sees `\u202e`, not the mark. */
export function escapeJson(json: string, shown: boolean): string {
  // Both stand inside a string, and never after a lone backslash.
  return json.replaceAll(IN_JSON, (mark) => (shown ? `\\${escaped(mark)}` : escaped(mark)));
}

function escaped(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
