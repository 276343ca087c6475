// The search reads pages to show what stands around the words it found; of a book that is opened as
// files a browser lets it read none.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
