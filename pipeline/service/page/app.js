/* Puts the page together. */

import { complain } from "./complaint.js";
import { onKeyNeeded } from "./api.js";
import { startDrop } from "./drop.js";
import { startGrid } from "./grid.js";
import { watchIngest } from "./ingest.js";
import { askForKey } from "./key.js";
import { addExample, searchAgain, searchWith, startSearch, watchTheEnd } from "./search.js";
import { startShortcuts } from "./shortcuts.js";
import { openImage, startViewer } from "./viewer.js";

startGrid({
  open: (hit) => openImage(hit.payload.image_id, hit.object_id),
  more: (hit) => addExample(hit, "more"),
  less: (hit) => addExample(hit, "less"),
  opened: watchTheEnd,
});
startViewer(searchWith);
onKeyNeeded(askForKey);
startDrop(complain);
startShortcuts();
startSearch();
watchIngest(searchAgain);
