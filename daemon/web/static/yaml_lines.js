// Adds a stream to the text of a config, and leaves every other line as it is.

// Returns the lines of a stream that looks at a part of the camera of another one, with two blanks before the first.
export function yamlOfView(name, stream, region) {
  const sides = Object.entries(region).map(([side, part]) => `${side}: ${Math.round(1000 * part) / 1000}`);
  const quoted = (text) => JSON.stringify(text); // a string of JSON is one of YAML
  return `  ${quoted(name)}:\n    camera:\n      device: ${quoted(`stream:${stream}`)}\n      region: {${sides.join(", ")}}\n`;
}

// Returns the text with these lines at the end of `streams:`, or null where that is not a block of its own.
export function withStream(text, lines) {
  const all = text.split("\n");
  const start = all.findIndex((line) => /^streams:\s*(#.*)?$/.test(line));
  if (start < 0) return null;
  const isContent = (line) => line.trim() !== "" && !line.trimStart().startsWith("#");
  let last = start;
  for (let index = start + 1; index < all.length; index += 1) {
    if (isContent(all[index]) && !/^\s/.test(all[index])) break;
    if (isContent(all[index])) last = index;
  }
  if (last === start) return null;
  const indent = all.slice(start + 1).find(isContent).match(/^\s*/)[0];
  const added = lines.trimEnd().split("\n").map((line) => indent + line.slice(2));
  return [...all.slice(0, last + 1), ...added, ...all.slice(last + 1)].join("\n");
}
