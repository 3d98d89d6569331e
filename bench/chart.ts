/** Curves over the number of points, both axes logarithmic, as one SVG that reads on light and on dark pages. */
import { formatNumber } from "./report.ts";

export interface Curve {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly curves: readonly Curve[];
}

const width = 420;
const height = 280;
const margin = { left: 62, right: 96, top: 38, bottom: 34 };
const colours = ["#2a78d6", "#d1622b", "#1f9d67"];

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** 1, 10, 100 and so on; with 2 and 5 between them when the range is short. */
function ticks(low: number, high: number): number[] {
  const steps = Math.log10(high / low) > 2 ? [1] : [1, 2, 5];
  const found: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    for (const step of steps) found.push(step * 10 ** power);
  }
  return found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

function count(value: number): string {
  return value >= 1e6 ? `${value / 1e6} M` : value >= 1e3 ? `${value / 1e3} K` : String(value);
}

function drawPanel(panel: Panel, left: number, top: number): string {
  const all = panel.curves.flatMap(({ points }) => points);
  const xs = all.map(([x]) => x);
  const ys = all.map(([, y]) => y);
  const range = (values: readonly number[], pad: number) =>
    [Math.min(...values) / pad, Math.max(...values) * pad] as const;
  const [xLow, xHigh] = range(xs, 1.15);
  const [yLow, yHigh] = range(ys, 1.4);
  const plotWidth = width - margin.left - margin.right;
  const plotHeight = height - margin.top - margin.bottom;
  const x = (value: number) => left + margin.left + (plotWidth * Math.log(value / xLow)) / Math.log(xHigh / xLow);
  const y = (value: number) => top + margin.top + plotHeight * (1 - Math.log(value / yLow) / Math.log(yHigh / yLow));
  const parts = [`<text class="title" x="${left + 12}" y="${top + 20}">${escapeText(panel.title)}</text>`];
  for (const tick of ticks(yLow, yHigh)) {
    const at = y(tick).toFixed(1);
    parts.push(
      `<line class="grid" x1="${left + margin.left}" x2="${left + margin.left + plotWidth}" y1="${at}" y2="${at}"/>`,
    );
    parts.push(
      `<text class="tick" text-anchor="end" x="${left + margin.left - 6}" y="${at}" dy="4">${formatNumber(tick)}</text>`,
    );
  }
  for (const tick of new Set(xs)) {
    parts.push(
      `<text class="tick" text-anchor="middle" x="${x(tick).toFixed(1)}" y="${top + height - 12}">${count(tick)}</text>`,
    );
  }
  for (const [index, curve] of panel.curves.entries()) {
    const colour = colours[index % colours.length];
    const path = curve.points.map(([px, py]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`).join(" ");
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${path}"/>`);
    for (const [px, py] of curve.points) {
      parts.push(
        `<circle cx="${x(px).toFixed(1)}" cy="${y(py).toFixed(1)}" r="3" fill="${colour}"><title>${count(px)}: ${formatNumber(py)}</title></circle>`,
      );
    }
    const last = curve.points.at(-1);
    if (last !== undefined) {
      parts.push(
        `<text class="name" x="${(x(last[0]) + 8).toFixed(1)}" y="${y(last[1]).toFixed(1)}" dy="4">${escapeText(`${curve.name} ${formatNumber(last[1])}`)}</text>`,
      );
    }
  }
  return parts.join("\n");
}

export function drawChart(title: string, panels: readonly Panel[]): string {
  const rows = Math.ceil(panels.length / 2);
  const drawn = panels.map((panel, index) =>
    drawPanel(panel, (index % 2) * width, 36 + Math.floor(index / 2) * height),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${2 * width} ${36 + rows * height}" font-family="system-ui, sans-serif" role="img" aria-label="Curves of build time, memory, latency and restart over the number of points">
<style>
  text { fill: #1f2328 } .title { font-size: 13px; font-weight: 600 } .head { font-size: 15px; font-weight: 600 }
  .tick, .name { font-size: 11px } .tick { fill: #59636e } .grid { stroke: #d1d9e0; stroke-width: 1 } .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) { text { fill: #f0f6fc } .tick { fill: #9198a1 } .grid { stroke: #3d444d } .page { fill: #0d1117 } }
</style>
<rect class="page" width="100%" height="100%"/>
<text class="head" x="12" y="24">${escapeText(title)}</text>
${drawn.join("\n")}
</svg>
`;
}
