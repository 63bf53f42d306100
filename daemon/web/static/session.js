// Who looks: {role: "owner" | "viewer", has_password, version}, {role: null, login: "password" | "link"}, or null
// while that is not known yet.

import { Box, useBox } from "./box.js";

export const session = new Box(null);

// Returns whether this browser may change something.
export function useIsOwner() {
  return useBox(session)?.role === "owner";
}
