/* Puts the page together. */

import { complain } from "./complaint.js";
import { onKeyNeeded } from "./api.js";
import { startDrop } from "./drop.js";
import { startGrid } from "./grid.js";
import { watchIngest } from "./ingest.js";
import { askForKey } from "./key.js";
import { openImage, openVideo } from "./open_viewer.js";
import { startSavedSearches } from "./saved_searches.js";
import { addExample, countAgain, searchAgain, searchName, searchWith, startSearch, watchTheEnd } from "./search.js";
import { startSelectionBar } from "./selection_bar.js";
import { startShortcuts } from "./shortcuts.js";
import { startTags } from "./tags.js";
import { startViewer } from "./viewer.js";

startGrid({
  open: ({ object_id: id, payload }) => (payload.t_key == null ? openImage(payload.image_id, id) : openVideo(payload.image_id, id, payload.t_key)),
  more: (hit) => addExample(hit, "more"),
  less: (hit) => addExample(hit, "less"),
  opened: watchTheEnd,
});
startViewer(searchWith);
onKeyNeeded(askForKey);
startDrop(complain);
startShortcuts();
startSelectionBar();
startTags(countAgain);
startSavedSearches(searchName);
startSearch();
watchIngest(searchAgain);
