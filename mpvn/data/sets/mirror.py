"""Find the mirror image of each class by its name, only where that is sure.

A wrong mirror image trains a network on a wrong label, and a missing one only makes augmentation a
little weaker. So there are three kinds of names:

1. Names that say a side in English: words with `left` or `right`, `clockwise`, `counterclockwise`
   or `anticlockwise`. The mirror image is the class whose name has all sides swapped. Spelling does
   not matter: `SwipeLeft`, `swipe_right`, `swipe-left`, `counter clockwise`. If exactly one class
   has that name, it is the mirror image. If none has, the mirror image belongs to no class.
2. Names that may say a side in a way that cannot be known. They have no mirror image:
   - names without a word, such as `7`, `c12` or `B`;
   - abbreviations and other words of up to two letters that are not English (`turn_l`, `LH`);
   - letters that are not English, such as 左;
   - words for sides of other languages in Latin letters (`links`, `gauche`, `hidari`), of ships
     and of compasses;
   - names of several classes that are equal but for numbers (`wave 1`, `wave 2`), or for an l and
     an r at an end of a word (`lhand`, `rhand`).
3. All other names say no side: the class is its own mirror image.

Limitations: a side in a language of Latin letters that the list lacks is taken for kind 3. Then,
and wherever a name says nothing about sides although the class has one, pass `mirror="never"`.
"""

import collections
import re
from collections.abc import Sequence

from mpvn.data.sets.layout import check_choice
from mpvn.data.video_set import NO_MIRROR

MIRRORS = ("names", "same", "never")
"""How to choose the mirror image of a class: by its name, the class itself, or unknown."""

_OPPOSITES = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
_SIDE = re.compile("counterclockwise|clockwise|left|right")
_WITHOUT_SIDE = re.compile(  # Words that contain `left` or `right` by chance.
    "bright(er|ness|en)?|fright.*|upright|outright|forthright|copyright|(play|ship)?wright|cleft"
)
_SHORT_ENGLISH = """
    a ad am an as at be by cd dj do eh go ha he hi ho id if in is it me my no of oh ok on or ox pc
    pi so to tv up us vs we
"""
_SHORT_WORDS = frozenset(_SHORT_ENGLISH.split())
_FOREIGN = """
    links linke rechts rechte gauche droite droit. izq derech esquer dreta sinistr destra. destro.
    direit stanga dreapta vanster hoger. venstre hoyre hojre vasen vasemm oike lewo. lewa. lewy.
    prawo. prawa. prawy. levo. leva. levy. vlevo pravo. prava. pravy. vpravo vlavo doleva doprava
    lijev desno. desna. nalev naprav sleva. sprava. kiri. kanan kaliwa hidari migi. zuo. oenjjok
    wenjjok oreun yasar. yamin. shimal. smol. bayan. dayan. baayen daayen baye. daye. kushoto kulia.
    aristera dexia. starboard larboard portside babord tribord backbord steuerbord sinister dexter
    nearside offside east west acw. ccw. der. drt. esq. gch. lft. lhs. lht. rgt. rhs. rht.
"""
_FOREIGN_SIDES = tuple(_FOREIGN.split())
"""Beginnings of words; a dot is the end of a word. Others with them lose their mirror images."""

_FOREIGN_PAIRS = (("you", "zuo"), ("sol", "sag"), ("bal", "jobb"), ("port", "starboard"))
"""English words that say a side only if another class has the second word."""


def check_mirror(mirror: str) -> None:
    """Raise ValueError if `mirror` is not one of `MIRRORS`."""
    check_choice("mirror", mirror, MIRRORS)


def mirrored_labels(classes: Sequence[str], mirror: str = "names") -> tuple[int, ...] | None:
    """Find the mirror image of each class.

    Args:
        classes: Names of the classes.
        mirror: One of `MIRRORS`.

    Returns:
        For each class, the label of its mirror image, or `NO_MIRROR` if no class is known to be.
        None if all classes are their own mirror images.
    """
    if mirror == "same":
        return None
    if mirror == "never":
        return (NO_MIRROR,) * len(classes)
    words = [_words(name) for name in classes]
    labels = collections.defaultdict(list)
    for label, each in enumerate(words):
        labels["".join(each)].append(label)
    hints = collections.Counter(_without_hints(each) for each in words)
    everything = set().union(*words)
    mirrored = []
    for label, each in enumerate(words):
        own, swapped = labels["".join(each)], labels.get("".join(map(_swapped, each)), [])
        if swapped != own and len(swapped) == len(own) == 1:
            mirrored.append(swapped[0])
        elif hints[_without_hints(each)] == 1 and not _may_say_side(classes[label], everything):
            mirrored.append(label)
        else:
            mirrored.append(NO_MIRROR)
    return None if mirrored == list(range(len(classes))) else tuple(mirrored)


def _words(name: str) -> tuple[str, ...]:
    """Split a name into words and numbers: `SwipeLeft_2` into swipe, left and 2."""
    name = re.sub(r"(?<=\w)['\u2019](?=\w)", "", name)  # don't
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_]+", name)
    text = " ".join(part.lower() for part in parts)
    return tuple(re.sub(r"\b(counter|anti) ?clockwise", "counterclockwise", text).split())


def _swapped(word: str) -> str:
    """Return a word with all sides swapped."""
    return _SIDE.sub(lambda side: _OPPOSITES[side[0]], word)


def _without_hints(words: Sequence[str]) -> tuple[str, ...]:
    """Return the words without numbers, and without an l or an r at their ends."""
    return tuple(re.sub("^[lr]|[lr]$", "?", word) for word in words if not word.isdecimal())


def _may_say_side(name: str, words_of_set: set[str]) -> bool:
    """Return whether a name may say a side."""
    words = [word for word in _words(name) if not word.isdecimal()]
    return (
        not any(len(word) > 1 for word in words)
        or any(letter.isalpha() and not letter.isascii() for letter in name)
        or any(len(word) <= 2 and word not in _SHORT_WORDS for word in words)
        or any(_SIDE.search(word) and not _WITHOUT_SIDE.fullmatch(word) for word in words)
        or any(f"{word}.".startswith(_FOREIGN_SIDES) for word in words)
        or any(word in words and other in words_of_set for word, other in _FOREIGN_PAIRS)
    )
