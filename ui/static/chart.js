/** The chart of one pool: price, predicted price and interruption risk over time, drawn in place by plotly. */

import { shown, zone } from "./format.js";

const MOST_LIVE_POINTS = 2000;

/** @typedef {{actual: {x: string[], y: number[]}, predicted: {x: string[], y: number[]},
 *   risk: {x: string[], y: number[]}}} Series */

/** @type {Promise<any> | undefined} */
let loading;

/** @returns {Promise<any>} plotly, loaded once, from this server */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const source = /** @type {HTMLScriptElement} */ (document.querySelector("script[data-plotly]")).dataset.plotly;
    const script = document.createElement("script");
    script.src = /** @type {string} */ (source);
    script.onload = () => resolve(/** @type {any} */ (window).Plotly);
    script.onerror = () => reject(new Error("plotly could not be loaded"));
    document.head.append(script);
  });
  return loading;
}

export class Chart {
  /** @param {HTMLElement} place */
  constructor(place) {
    this.place = place;
    /** @type {Series} */
    this.series = { actual: { x: [], y: [] }, predicted: { x: [], y: [] }, risk: { x: [], y: [] } };
    this.key = "";
    this.revision = 0;
    // Colours follow the scheme: Gradio sets it as a class of the body.
    new MutationObserver(() => this.draw()).observe(document.body, { attributeFilter: ["class"] });
  }

  /**
   * @param {string} key another key is another view, the same keeps zoom and hidden lines
   * @param {Series} series x in ISO 8601, y in USD per hour (risk: 0 to 1)
   * @param {{from: Date, to: Date}} range
   */
  async set(key, series, range) {
    Object.assign(this, { key, series, range });
    this.history = { predicted: series.predicted.x.length, risk: series.risk.x.length, actual: series.actual.x.length };
    await this.draw();
  }

  /**
   * Append points that have just arrived.
   * @param {Partial<Record<keyof Series, {x: string, y: number}>>} points
   */
  async add(points) {
    for (const [name, { x, y }] of Object.entries(points)) this.#append(/** @type {keyof Series} */ (name), x, y);
    await this.draw();
  }

  /** @param {keyof Series} name @param {string} x @param {number} y */
  #append(name, x, y) {
    const line = this.series[name];
    const last = line.x.length - 1;
    // A price that stays is one longer step, not one more point.
    if (name === "actual" && last > 0 && line.y[last] === y && line.y[last - 1] === y) line.x[last] = x;
    else line.x.push(x), line.y.push(y);
    const kept = this.history?.[name] ?? 0;
    const over = line.x.length - kept - MOST_LIVE_POINTS;
    if (over > 0) line.x.splice(kept, over), line.y.splice(kept, over);
  }

  async draw() {
    // Axes without any point have no place to be drawn at, and a hidden chart has no size.
    if (!this.key || !this.series.actual.x.length || !this.place.offsetParent) return;
    const library = await plotly();
    const { data, layout } = this.#figure();
    await library.react(this.place, data, layout, { displaylogo: false, responsive: true, displayModeBar: false });
  }

  /** Draw it at the size of its place, which has just been shown. */
  async fit() {
    await this.draw();
    if (this.place.classList.contains("js-plotly-plot")) (await plotly()).Plots.resize(this.place);
  }

  #figure() {
    const style = getComputedStyle(document.body);
    const token = (/** @type {string} */ name) => style.getPropertyValue(`--co-${name}`).trim();
    const { actual, predicted, risk } = this.series;
    const time = "%{x|%b %d, %H:%M}";
    const line = (/** @type {string} */ colour, /** @type {object} */ more) =>
      ({ color: token(colour), width: 1.6, ...more });
    const usd = `${time}  $%{y:.4f}`;
    const share = `${time}  %{y:.1%}`;
    const data = [
      { name: "Price", ...actual, line: line("series-actual", { shape: "hv" }), hovertemplate: usd },
      { name: "Predicted price", ...predicted, line: line("series-predicted", { dash: "dot" }), hovertemplate: usd },
      { name: "Interruption risk", ...risk, yaxis: "y2", line: line("series-risk", {}), hovertemplate: share },
    ].filter((trace) => trace.x.length);
    // Plotly knows no zones: it draws the digits it is given, and UTC is what the series hold.
    const at = (/** @type {string[]} */ x) => (zone.isLocal ? x.map(shown) : x);
    return {
      data: data.map((trace) => ({ type: "scatter", mode: "lines", ...trace, x: at(trace.x) })),
      layout: this.#layout(token),
    };
  }

  /** @param {(name: string) => string} token */
  #layout(token) {
    const small = parseFloat(token("text-small"));
    const axis = { gridcolor: token("grid"), linecolor: token("line"), zeroline: false, automargin: true };
    const title = (/** @type {string} */ text) => ({ text, font: { size: small } });
    const now = { x: shown(new Date().toISOString()), xref: "x", yref: "paper" };
    const risky = this.series.risk.x.length > 0;
    return {
      uirevision: this.key,
      datarevision: (this.revision += 1), // the arrays grow in place, which plotly would not notice
      font: { family: token("font"), size: small, color: token("muted") },
      paper_bgcolor: "transparent",
      plot_bgcolor: "transparent",
      margin: { l: 8, r: 8, t: 8, b: 8 },
      hovermode: "x unified",
      hoverlabel: { bgcolor: token("surface"), bordercolor: token("line"), font: { color: token("ink") } },
      showlegend: true,
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
      xaxis: { ...axis, type: "date", range: this.range && [this.range.from, this.range.to].map((at) => shown(at.toISOString())), anchor: risky ? "y2" : "y" },
      yaxis: { ...axis, domain: [risky ? 0.36 : 0, 1], tickprefix: "$", title: title("USD per hour") },
      ...(risky && {
        yaxis2: { ...axis, domain: [0, 0.28], tickformat: ".0%", rangemode: "tozero", title: title("Risk") },
      }),
      shapes: [
        { ...now, type: "line", x0: now.x, x1: now.x, y0: 0, y1: 1, line: { color: token("muted"), dash: "dot", width: 1 } },
      ],
      annotations: [{ ...now, text: "now", y: 1, showarrow: false, yanchor: "bottom", font: { color: token("muted") } }],
    };
  }
}
