// The latest minute of the scores of one stream, and which labels are drawn.

import { Box } from "./box.js";

export const MINUTE_S = 60;
export const DRAWN = 5;
// a label whose score stays below this is not worth a line
const LOWEST_DRAWN = 0.02;

export class Minute {
  constructor() {
    this.latest = new Box(null); // the latest message
    this.moments = []; // {at: seconds of this browser, scores: {label: score}}
    this.slots = new Array(DRAWN).fill(null); // the label of each colour
  }

  add(message) {
    const at = performance.now() / 1000;
    const scores = Object.fromEntries(message.labels.map(({ label, score }) => [label, score]));
    this.moments.push({ at, scores });
    while (this.moments[0].at < at - MINUTE_S) this.moments.shift();
    this.choose();
    this.latest.set(message);
  }

  // Chooses the labels with the highest scores of the minute. One that stays keeps its colour.
  choose() {
    const highest = new Map();
    for (const { scores } of this.moments) {
      for (const [label, score] of Object.entries(scores)) {
        if (score > (highest.get(label) ?? LOWEST_DRAWN)) highest.set(label, score);
      }
    }
    const best = [...highest].sort((one, other) => other[1] - one[1]).slice(0, DRAWN).map(([label]) => label);
    this.slots = this.slots.map((label) => (best.includes(label) ? label : null));
    for (const label of best) {
      if (!this.slots.includes(label)) this.slots[this.slots.indexOf(null)] = label;
    }
    this.highest = highest;
  }

  // Returns the columns of a plot: times in seconds before now, and the scores of each slot. Pauses are gaps.
  columns() {
    const now = performance.now() / 1000;
    const times = [];
    const rows = [];
    let before = null;
    for (const { at, scores } of this.moments) {
      if (before !== null && at - before > 2) {
        times.push(before - now + 0.001);
        rows.push(null);
      }
      times.push(at - now);
      rows.push(scores);
      before = at;
    }
    const columns = this.slots.map((label) => rows.map((scores) => (scores === null ? null : (scores[label] ?? null))));
    return [times, ...columns];
  }
}
