// A minute of scores as a plot.

import { html, useEffect, useRef } from "../vendor/standalone.module.js";
import uPlot from "../vendor/uPlot.esm.js";
import { labelName } from "./follow.js";
import { percent, t } from "./language.js";
import { MINUTE_S } from "./minute.js";

const HEIGHT = 132;
// lines differ by their dashes too, for people who do not tell the colours apart
const DASHES = [[], [6, 3], [2, 2], [10, 3, 2, 3], [1, 4]];
const dark = matchMedia("(prefers-color-scheme: dark)");

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(width) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  return {
    width,
    height: HEIGHT,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-MINUTE_S, 0] }, y: { range: [0, 1] } },
    axes: [
      { ...axis, size: 22, splits: () => [-60, -45, -30, -15, 0], values: (_, at) => at.map((each) => `${each} s`) },
      { ...axis, size: 42, splits: () => [0, 0.5, 1], values: (_, at) => at.map(percent) },
    ],
    series: [
      {},
      ...DASHES.map((dash, index) => ({ stroke: colour(`--line-${index}`), width: 2, dash, points: { show: false }, spanGaps: false })),
    ],
  };
}

// Draws the scores of `minute` anew with each message. `latest` is the message, so that the text follows it.
export function ScorePlot({ minute, latest }) {
  const place = useRef(null);
  const plot = useRef(null);
  useEffect(() => {
    const build = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(place.current.clientWidth), minute.columns(), place.current);
    };
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: place.current.clientWidth, height: HEIGHT }));
    build();
    resized.observe(place.current);
    dark.addEventListener("change", build);
    return () => {
      resized.disconnect();
      dark.removeEventListener("change", build);
      plot.current.destroy();
      plot.current = null;
    };
  }, [minute]);
  useEffect(() => plot.current?.setData(minute.columns()), [minute, latest]);
  return html`<div class="plot" role="img" aria-label=${plotText(minute)} ref=${place}></div>`;
}

// Draws a piece of the line of a slot, which stands beside its label.
export function LineOf({ slot }) {
  return html`<svg class="line-of" viewBox="0 0 24 4" aria-hidden="true">
    <line x1="0" y1="2" x2="24" y2="2" class=${`line-${slot}`} stroke-dasharray=${DASHES[slot].join(" ")} /></svg>`;
}

function plotText(minute) {
  const labels = minute.slots.filter((label) => label !== null);
  if (labels.length === 0) return t("plot_empty");
  const parts = labels.map((label) => t("plot_highest", { label: labelName(label), score: percent(minute.highest.get(label) ?? 0) }));
  return t("plot_of", { labels: parts.join(", ") });
}
