// A value that views can watch.

import { useEffect, useState } from "../vendor/standalone.module.js";

export class Box {
  constructor(value) {
    this.value = value;
    this.watchers = new Set();
  }

  set(value) {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const watcher of [...this.watchers]) watcher(value);
  }

  watch(watcher) {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  }
}

// Returns the value of a box, and draws the component again when it changes.
export function useBox(box) {
  const [, draw] = useState(0);
  const shown = box.value;
  useEffect(() => {
    const again = () => draw((count) => count + 1);
    const unwatch = box.watch(again);
    if (box.value !== shown) again(); // it changed after the drawing, when nobody watched yet
    return unwatch;
  }, [box]);
  return shown;
}
