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
  useEffect(() => {
    const seen = box.value;
    const unwatch = box.watch(() => draw((count) => count + 1));
    if (box.value !== seen) draw((count) => count + 1);
    return unwatch;
  }, [box]);
  return box.value;
}
