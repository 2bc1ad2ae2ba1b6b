// Times: of the day, that are left, and how far the gateway's clock is from this one.

import { h } from "./elements.js";
import { plain } from "./texts.js";

export const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const calendar = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });

/** When that was: the time, with the date unless it is today's. */
export function when(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return h("time", {}, plain(text));
  const isToday = date.toDateString() === new Date().toDateString();
  return h("time", { dateTime: text, title: text }, (isToday ? clock : calendar).format(date));
}

export function span(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

// How far the gateway's clock is ahead of this one. Its answers say so to the second, so small differences are none.
let aheadMs = 0;

export function learnClock(response) {
  const difference = Date.parse(response.headers.get("date") ?? "") - Date.now();
  if (Math.abs(difference - aheadMs) > 2000) aheadMs = difference;
}

/** The time until then, which ticks. */
export function countdown(until, words, after) {
  const element = h("time", { className: "countdown", dateTime: until });
  Object.assign(element.dataset, { words, after });
  tick(element);
  return element;
}

function tick(element) {
  const seconds = Math.ceil((Date.parse(element.dateTime) - Date.now() - aheadMs) / 1000);
  element.textContent = seconds > 0 ? `${span(seconds)} ${element.dataset.words}` : element.dataset.after;
  element.classList.toggle("soon", seconds <= 60);
}

setInterval(() => document.querySelectorAll(".countdown").forEach(tick), 1000);
