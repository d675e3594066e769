/** C0 but tab, DEL, C1 (ECMA-48 §5.2, §5.3), the marks that reorder text (UAX #9 §2), and what Unicode calls the end of
 *  a line or paragraph. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** The text on one line, with nothing a terminal would obey: such characters show as `\u001b`. Tabs stay. */
export function escapeControls(text: string): string {
  return text.replaceAll(CONTROLS, (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
