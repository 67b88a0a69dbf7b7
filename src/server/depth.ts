/** As Python's json reads by default; what is deeper could not be written again, for JSON.stringify recurses. */
const most = 1000;

/** Whether arrays and objects nest deeper than that in what is, or is not, JSON. */
export function isTooDeep(text: string): boolean {
  if (text.length <= most) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x22: // a string, to its end
        do at = text.indexOf('"', at + 1);
        while (at >= 0 && isEscaped(text, at));
        if (at < 0) return false; // and so it is no JSON
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > most) return true;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
    }
  }
  return false;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes++;
  return backslashes % 2 === 1;
}
