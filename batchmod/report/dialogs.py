"""The page's two dialogs: what the keys do, and the marks as a file."""

from typing import Final

_KEYS: Final = (
    ("j, ↓", "next clip"),
    ("J, ↑", "previous clip"),
    ("1 … 9", "select an output of the clip; again: its earlier version"),
    ("k", "keep the selected output"),
    ("r", "redo: ask for one new version"),
    ("h", "hold: leave the row out of runs"),
    ("u", "take the mark away"),
    ("n", "write a note"),
    ("space", "play or pause, all in step"),
    (", and .", "one frame back or on"),
    ("[ and ]", "slower or faster"),
    ("w", "wipe: after over before; then ← and → move the edge"),
    ("d", "difference of after and before"),
    ("l", "loop on or off"),
    ("m", "sound of the selected output on or off"),
    ("/", "search"),
    ("e", "export the marks"),
    ("?", "this list"),
)

_ROWS: Final = "".join(f"<div><dt><kbd>{keys}</kbd></dt><dd>{what}</dd></div>" for keys, what in _KEYS)

DIALOGS: Final = f"""<dialog id="keys" aria-labelledby="keysh"><h2 id="keysh">Keys</h2><dl>{_ROWS}</dl>
<p><button type="button" class="strong" data-close>Close</button></p></dialog>
<dialog id="marks" aria-labelledby="marksh"><h2 id="marksh">Your marks</h2>
<p class="quiet" id="marksay"></p>
<textarea id="markstext" readonly rows="10" spellcheck="false" aria-label="The marks as a file"></textarea>
<p class="acts"><button type="button" class="strong" id="save">Save marks.csv</button>
<button type="button" id="copy">Copy</button> <button type="button" id="forget">Forget my marks here</button></p>
<p><button type="button" data-close>Close</button></p></dialog>
<p id="said" role="status" aria-live="polite"></p>
"""
