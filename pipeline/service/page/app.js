/* Puts the page together. */

import { complain } from "./complaint.js";
import { onKeyNeeded } from "./api.js";
import { startDrop } from "./drop.js";
import { startGrid } from "./grid.js";
import { watchIngest } from "./ingest.js";
import { askForKey } from "./key.js";
import { closeMap, startMap } from "./map.js";
import { openImage, openVideo } from "./open_viewer.js";
import { addExample, searchAgain, searchWith, startSearch, watchTheEnd } from "./search.js";
import { startShortcuts } from "./shortcuts.js";
import { startViewer } from "./viewer.js";

startGrid({
  open: ({ object_id: id, payload }) => (payload.t_key == null ? openImage(payload.image_id, id) : openVideo(payload.image_id, id, payload.t_key)),
  more: (hit) => addExample(hit, "more"),
  less: (hit) => addExample(hit, "less"),
  opened: watchTheEnd,
});
startViewer((example) => {
  closeMap();
  searchWith(example);
});
onKeyNeeded(askForKey);
startDrop(complain);
startShortcuts();
startMap();
startSearch();
watchIngest(searchAgain);
