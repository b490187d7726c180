"use strict";
// Texts of others become text nodes here, and nothing else; what differs between two of them is marked.

const $ = (id) => document.getElementById(id);

// Characters that hide or reorder text are spelled out, as Python does, in elements of their own.
const HIDDEN = /(?![\t\n\r])[\p{C}\p{Zl}\p{Zp}]/gu;

function spelled(character) {
  const code = character.codePointAt(0);
  const [letter, digits] = code < 0x100 ? ["x", 2] : code < 0x10000 ? ["u", 4] : ["U", 8];
  return `\\${letter}${code.toString(16).padStart(digits, "0")}`;
}

/** Put a text into an element; it is never read as markup. */
function put(element, text) {
  let end = 0;
  for (const found of text.matchAll(HIDDEN)) {
    element.append(text.slice(end, found.index), make("span", "hidden", spelled(found[0])));
    end = found.index + found[0].length;
  }
  element.append(text.slice(end));
  return element;
}

function make(tag, name, text, attributes = {}) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined && text !== null) put(element, String(text));
  return element;
}

// ---- what differs between two texts

const MOST_WORDS = 1500;
const words = (text) => text.match(/[\p{L}\p{N}]+|\s+|[^\p{L}\p{N}\s]/gu) ?? [];

/** Say of each word of both texts whether the other lacks it there (longest common subsequence). */
function differing(one, other) {
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start += 1;
  let [end, otherEnd] = [one.length, other.length];
  while (end > start && otherEnd > start && one[end - 1] === other[otherEnd - 1]) [end, otherEnd] = [end - 1, otherEnd - 1];
  const lacks = (all, to) => all.map((_, place) => place >= start && place < to);
  const found = [lacks(one, end), lacks(other, otherEnd)];
  const [rows, columns] = [end - start, otherEnd - start];
  if (!rows || !columns || rows > MOST_WORDS || columns > MOST_WORDS) return found;
  const wide = columns + 1;
  const common = new Uint16Array((rows + 1) * wide);
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      common[i * wide + j] = one[start + i] === other[start + j]
        ? common[(i + 1) * wide + j + 1] + 1
        : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (one[start + i] === other[start + j]) {
      found[0][start + i] = found[1][start + j] = false;
      [i, j] = [i + 1, j + 1];
    } else if (common[(i + 1) * wide + j] >= common[i * wide + j + 1]) i += 1;
    else j += 1;
  }
  return found;
}

/** Make a paragraph of a text in which the words that another text lacks are marked. */
function compared(text, other) {
  const paragraph = make("p", "text", null, { dir: "auto" });
  if (other === null || text === other) return put(paragraph, text);
  const pieces = words(text);
  const [lacking] = differing(pieces, words(other));
  for (let from = 0; from < pieces.length; ) {
    let to = from + 1;
    while (to < pieces.length && lacking[to] === lacking[from]) to += 1;
    const piece = pieces.slice(from, to).join("");
    if (lacking[from]) paragraph.append(make("mark", "", piece));
    else put(paragraph, piece);
    from = to;
  }
  return paragraph;
}
