// The language of the page: its words, and how it writes times and numbers.

import { Box } from "./box.js";
import { WORDS } from "./words.js";

export const LANGUAGES = { en: "English", de: "Deutsch" };
const ORDER = Object.keys(LANGUAGES);
const STORED = "perceptd-language";

export const language = new Box(first());
document.documentElement.lang = language.value;

// Returns the language that was chosen here, or else the first of the browser's that the page speaks.
function first() {
  const wanted = [stored(), ...navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase())];
  return wanted.find((each) => ORDER.includes(each)) ?? ORDER[0];
}

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

export function choose(tag) {
  try {
    localStorage.setItem(STORED, tag);
  } catch {
    // then the choice lasts until the page is closed
  }
  document.documentElement.lang = tag;
  language.set(tag);
}

// Returns the words for a key, with {names} replaced by values.
export function t(key, values = {}) {
  const words = WORDS[key]?.[ORDER.indexOf(language.value)] ?? key;
  return words.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

// Returns the words for one of a set of values such as states, or the value itself where there are none.
export function word(prefix, value) {
  const key = `${prefix}_${value}`;
  return key in WORDS ? t(key) : String(value);
}

// Returns the browser's variety of the language, such as en-GB, which writes times in its own way.
function variety() {
  return navigator.languages.find((tag) => tag.slice(0, 2).toLowerCase() === language.value) ?? language.value;
}

export function percent(fraction) {
  return number(fraction, { style: "percent" });
}

export function number(value, options = {}) {
  return new Intl.NumberFormat(variety(), options).format(value);
}

export function megabytes(bytes) {
  return `${number(bytes / 1e6, { maximumFractionDigits: bytes < 1e7 ? 1 : 0 })} MB`;
}

export function seconds(value) {
  return `${number(value, { maximumFractionDigits: value < 10 ? 1 : 0 })} s`;
}

function formatted(time, options) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : new Intl.DateTimeFormat(variety(), options).format(date);
}

export function clock(time) {
  return formatted(time, { timeStyle: "medium" });
}

export function when(time) {
  return formatted(time, { dateStyle: "medium", timeStyle: "medium" });
}

// Returns a day such as 2026-01-31 in words. A day has no time zone, so noon of it is taken.
export function dayText(day) {
  return formatted(`${day}T12:00:00`, { weekday: "short", day: "numeric", month: "short" });
}
