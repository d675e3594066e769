import { escapeControls } from '../core/controls.js';
import type { OutputStream } from '../supervisor/status.js';

const WORDS: Record<OutputStream, string> = { stdout: 'out', stderr: 'err' };

/** One line of a worker as its log file has it, without a line end:
 *
 *  ```
 *  2026-11-24T07:51:22.123Z out text
 *  2026-11-24T07:51:22.123Z err:cam1~2 text        of a pool: which of its workers
 *  2026-11-24T07:51:22.123Z log 12 lines lost      the node's own
 *  ```
 *
 *  Two words, each followed by one blank, then the text as it came. What a worker writes can begin no line and obeys no
 *  terminal: control characters but tab show as `\u001b`. */
export function logLine(tsMs: number, stream: OutputStream, workerId: string | undefined, text: string): string {
  const who = workerId === undefined ? '' : `:${workerId}`;
  return `${new Date(tsMs).toISOString()} ${WORDS[stream]}${who} ${escapeControls(text)}`;
}
