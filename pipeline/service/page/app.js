/* Puts the page together. */

import { complain } from "./complaint.js";
import { onKeyNeeded } from "./api.js";
import { startDrop } from "./drop.js";
import { foundHits, startGrid } from "./grid.js";
import { watchIngest } from "./ingest.js";
import { askForKey } from "./key.js";
import { closeMap, startMap } from "./map.js";
import { openHit, reopen } from "./open_viewer.js";
import { startSavedSearches } from "./saved_searches.js";
import { addExample, countAgain, filtersOf, hasMore, narrowTo, openAddress, searchAgain, searchName, searchWith, showMore, showVisit, startSearch, takeVisit, watchTheEnd } from "./search.js";
import { startSelectionBar } from "./selection_bar.js";
import { startShortcuts } from "./shortcuts.js";
import { startTags } from "./tags.js";
import { closeViewer, startViewer } from "./viewer.js";
import { startVisits } from "./visits.js";
import { addNewest } from "./wall.js";

startGrid({
  open: openHit,
  more: (hit) => addExample(hit, "more"),
  less: (hit) => addExample(hit, "less"),
  opened: watchTheEnd,
});
startViewer({
  searchWith: (example) => {
    closeMap();
    searchWith(example);
  },
  open: openHit,
  more: showMore,
  hasMore,
});
onKeyNeeded(askForKey);
startDrop(complain);
startShortcuts();
startMap({ narrow: narrowTo, filters: filtersOf });
startSelectionBar();
startTags({ changed: countAgain, found: foundHits });
startSavedSearches({ nameOf: searchName, openAddress });
const showVisitAlone = (kept) => {
  closeMap();
  showVisit(kept);
};
const opened = startVisits({ take: takeVisit, show: showVisitAlone, openViewer: reopen, closeViewer });
startSearch();
if (opened) reopen(opened);
watchIngest(searchAgain, addNewest);
