// The latest minute of the scores of one stream, and which labels are drawn.

import { Box } from "./box.js";

export const MINUTE_S = 60;
export const DRAWN = 5;
// a label whose score stays below this is not worth a line
const LOWEST_DRAWN = 0.02;
// what is older counts less, so that the label of now has a line
const FADES_S = 20;

export class Minute {
  constructor() {
    this.latest = new Box(null); // the latest message
    this.moments = []; // {at: seconds of this browser, scores: {label: score}}
    this.slots = new Array(DRAWN).fill(null); // the label of each colour
    this.highest = new Map(); // of the minute, by label
  }

  add(message) {
    const at = performance.now() / 1000;
    const scores = Object.fromEntries(message.labels.map(({ label, score }) => [label, score]));
    this.moments.push({ at, scores });
    while (this.moments[0].at < at - MINUTE_S) this.moments.shift();
    this.choose(at);
    this.latest.set(message);
  }

  // Chooses the labels with the highest scores of late. One that stays keeps its place and its colour.
  choose(now) {
    const weights = new Map();
    this.highest = new Map();
    for (const { at, scores } of this.moments) {
      for (const [label, score] of Object.entries(scores)) {
        if (score < LOWEST_DRAWN) continue;
        this.highest.set(label, Math.max(score, this.highest.get(label) ?? 0));
        weights.set(label, Math.max(score * Math.exp((at - now) / FADES_S), weights.get(label) ?? 0));
      }
    }
    const best = [...weights].sort((one, other) => other[1] - one[1]).slice(0, DRAWN).map(([label]) => label);
    this.slots = this.slots.map((label) => (best.includes(label) ? label : null));
    for (const label of best) {
      if (!this.slots.includes(label)) this.slots[this.slots.indexOf(null)] = label;
    }
  }

  // Returns the rows to show: the label of each place with its latest score and shares, or null.
  rows() {
    const latest = this.latest.value?.labels ?? [];
    return this.slots.map((label) => label && { label, score: 0, shares: {}, ...latest.find((each) => each.label === label) });
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
    // only the best labels of a moment are told; the others are near 0
    const columns = this.slots.map((label) => rows.map((scores) => (label === null || scores === null ? null : (scores[label] ?? 0))));
    return [times, ...columns];
  }
}
