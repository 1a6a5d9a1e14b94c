'use strict';
const $ = (sel) => document.querySelectorAll(sel);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const keep = 600; // seconds of history, as on the server
const points = JSON.parse(document.getElementById('history').textContent);
const live = document.getElementById('live');
const switches = $('[data-switch]');
const isOn = (b) => document.querySelector(`[data-s="switch-${b.dataset.switch}"] .pill`).textContent !== 'well';

// text changes a node only when needed, so that selections and readers stay put.
function text(node, s) { if (node.textContent !== s) node.textContent = s; }

function rows(body, data) {
  data.forEach((row, i) => {
    const tr = body.rows[i] || body.insertRow();
    tr.className = row.c || '';
    row.d.forEach((cell, j) => text(tr.cells[j] || tr.insertCell(), cell));
  });
  while (body.rows.length > data.length) body.deleteRow(-1);
}

function draw(canvas) {
  const all = points[canvas.dataset.chart] || [];
  const labels = canvas.dataset.labels.split(',');
  const dpr = window.devicePixelRatio || 1, h = +canvas.getAttribute('height') || 90;
  const height = canvas.h = canvas.h || h, width = canvas.clientWidth;
  canvas.width = width * dpr; canvas.height = height * dpr; canvas.style.height = height + 'px';
  const g = canvas.getContext('2d');
  g.scale(dpr, dpr);
  g.font = '11px system-ui,sans-serif';
  const t1 = all.length ? all[all.length - 1][0] : 0, t0 = t1 - 120;
  const seen = all.filter((p) => p[0] >= t0);
  const top = Math.max(1e-9, ...seen.flatMap((p) => p.slice(1))) * 1.1, bottom = height - 16;
  g.strokeStyle = css('--line'); g.fillStyle = css('--mut');
  g.beginPath(); g.moveTo(0, bottom); g.lineTo(width, bottom); g.stroke();
  g.fillText('2 min ago', 0, height - 4);
  const max = (top / 1.1).toPrecision(3) * 1 + '';
  g.fillText('max ' + max, width - g.measureText('max ' + max).width, height - 4);
  let x = 70;
  labels.forEach((label, i) => {
    g.strokeStyle = g.fillStyle = css('--l' + i);
    g.lineWidth = 1.6;
    g.beginPath();
    seen.forEach((p) => g.lineTo((p[0] - t0) / 120 * width, bottom - p[i + 1] / top * (bottom - 4)));
    g.stroke();
    g.fillText(label, x, height - 4);
    x += g.measureText(label).width + 12;
  });
}

function show(view) {
  for (const [id, s] of Object.entries(view.v)) $(`[data-v="${id}"]`).forEach((n) => text(n, s));
  for (const [id, s] of Object.entries(view.s)) $(`[data-s="${id}"] .pill`).forEach((n) => { n.className = 'pill ' + s.c; text(n, s.x); });
  switches.forEach((b) => b.setAttribute('aria-pressed', isOn(b)));
  for (const [id, data] of Object.entries(view.r)) $(`[data-t="${id}"]`).forEach((n) => rows(n, data));
  for (const [id, p] of Object.entries(view.p)) {
    const all = points[id] = points[id] || [];
    if (all.length && all[all.length - 1][0] >= view.t) continue; // replayed after a reconnect
    all.push([view.t, ...p]);
    if (all.length > keep) all.shift();
  }
  if (!document.hidden) $('canvas').forEach(draw);
  document.body.dataset.events = +(document.body.dataset.events || 0) + 1;
}

const events = new EventSource('/debug/performance/events');
events.onopen = () => text(live, 'live, once a second');
events.onerror = () => text(live, 'connection lost, trying again');
events.onmessage = (m) => show(JSON.parse(m.data));
addEventListener('resize', () => $('canvas').forEach(draw));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => $('canvas').forEach(draw));
$('canvas').forEach(draw);

const reset = document.getElementById('reset');
reset.hidden = false;
reset.onclick = async () => {
  const res = await fetch('/debug/performance', { method: 'DELETE' });
  text(live, res.ok ? 'counters are at zero' : 'not allowed from here (' + res.status + ')');
  if (res.ok) Object.keys(points).forEach((id) => { points[id].length = 0; });
};

switches.forEach((b) => {
  b.disabled = false;
  b.onclick = async () => {
    const res = await fetch(`/debug/performance/switches/${b.dataset.switch}?on=${!isOn(b)}`, { method: 'POST' });
    text(live, res.ok ? 'switched; the figures follow within a second' : 'not allowed from here (' + res.status + ')');
  };
});
