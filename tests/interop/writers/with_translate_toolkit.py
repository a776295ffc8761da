"""Write pairs of texts as TMX: `with_translate_toolkit.py FORM FOLDER`."""

import sys
from pathlib import Path

from scene import COUNT
from translate.storage.tmx import tmxfile

folder = Path(sys.argv[2])
folder.mkdir()
document = tmxfile(sourcelanguage="en", targetlanguage="de")
for number in range(COUNT):
    document.addtranslation(f"Sentence {number} & <more>", "en", f"Satz {number} & <mehr>", "de")
document.savefile(str(folder / "memory.tmx"))
