"""Reads which annotation style each label map was drawn in."""

import csv
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from segan_tf import files
from segan_tf import styles as styles_lib
from segan_tf.config import SOURCE_FIELDS, Config, UserError
from segan_tf.datasets import content, pairs, splits

FILE_NAME = "styles.csv"
# The archive's list of annotation tools (IMA++, arXiv:2512.21472).
ARCHIVE_FILE_NAME = "annotation_tools.csv"
_STYLE_COLUMNS = ("style", "tools")


def load(
    config: Config, divided: splits.Splits, *, say: Callable[[str], None]
) -> styles_lib.AssignedStyles:
    """Loads the styles of a new run: those that its training pairs have.

    Args:
      config: its ``styles`` is a file, "none", or empty for a styles.csv in
        ``data_dir``.
      divided: the pairs.
      say: is called with what was found.

    Returns:
      The styles, and that of every pair; none if there is no file.

    Raises:
      UserError: the file cannot be used, or no training pair has a style that
        a pair for validation or testing has.
    """
    path = find_file(config, say=say)
    if not path:
        return styles_lib.UNASSIGNED
    of = read_styles(path, divided, say=say)
    names = _names_in(divided.train, of)
    styles_lib.check_names(names, f"--styles ({path})")
    _check_trained(divided, of, names=names, path=path)
    known = [of[_key(p)] for p in divided.train if _key(p) in of]
    plain = styles_lib.Styles(names)
    mean = np.mean([plain.mixture(text) for text in known], axis=0)
    say(
        f"{len(names)} annotation styles ({', '.join(names)}) of {path}: "
        f"{len(known)} of the {len(divided.train)} training pairs have one"
    )
    return styles_lib.AssignedStyles(
        styles_lib.Styles(names, tuple(float(weight) for weight in mean)), of
    )


def load_for_model(
    config: Config,
    divided: splits.Splits,
    *,
    styles: styles_lib.Styles,
    say: Callable[[str], None],
) -> Mapping[str, str]:
    """Loads the style of each pair to evaluate a model with.

    They come from ``styles`` if it is given, else from the record of the run if
    the pairs are its own, else from a styles.csv in ``data_dir``.

    Args:
      config: of the evaluation.
      divided: the pairs.
      styles: that the model can draw in.
      say: is called with what was found.

    Returns:
      From the normalized id of a pair to its style, where it is known.

    Raises:
      UserError: the file cannot be used, or lists a style that the model does
        not know.
    """
    of: Mapping[str, str] = {}
    if "styles" not in config.given:
        source, of = _read_recorded(config, divided)
    if not of:
        path = find_file(config, say=say)
        if not path:
            return {}
        source, of = f"--styles ({path})", read_styles(path, divided, say=say)
    for name in _names_in(divided.all_pairs(), of):
        if name not in styles.names:
            raise UserError(
                f"{source} has the style {name}, and the model knows "
                f"{', '.join(styles.names)}; give a list of these with "
                "--styles, or --styles=none."
            )
    return of


def check_not_given(config: Config) -> None:
    """Checks that no styles are given, for a model that has none.

    Raises:
      UserError: a file of styles is given.
    """
    if "styles" in config.given and config.styles not in ("", styles_lib.NONE):
        raise UserError(
            f"--styles ({config.styles}) has no effect on a model that was "
            "trained without styles; leave it out."
        )


def _read_recorded(
    config: Config, divided: splits.Splits
) -> tuple[str, Mapping[str, str]]:
    """Reads the styles that the run recorded, if the pairs are its own.

    Returns:
      The file, and the styles by normalized id; none if there are none.
    """
    for folder in filter(None, (config.model, config.model_dir)):
        path = os.path.join(folder, styles_lib.FILE_NAME)
        if not os.path.isfile(path):
            continue
        record = content.read_record(folder)
        own = config.given.isdisjoint(SOURCE_FIELDS) or (
            record is not None
            and content.has_recorded_image(record.pairs, divided.all_pairs())
        )
        return path, styles_lib.read(folder).of if own else {}
    return "", {}


def find_file(config: Config, *, say: Callable[[str], None]) -> str:
    """Finds the file of styles; "" if there is none or it is not wanted."""
    if config.styles == styles_lib.NONE:
        return ""
    if config.styles or not config.data_dir:
        return config.styles
    found = os.path.join(config.data_dir, FILE_NAME)
    if os.path.exists(found):
        return found
    listed = os.path.join(config.data_dir, ARCHIVE_FILE_NAME)
    if os.path.exists(listed):
        say(
            f"note: {listed} tells how label maps were drawn, and is not used; "
            f"give it with --styles={listed}"
        )
    return ""


def read_styles(
    path: str, divided: splits.Splits, *, say: Callable[[str], None]
) -> dict[str, str]:
    """Reads the style of every pair that a CSV file lists.

    Args:
      path: of the file, with the columns id and style (or tools). Several
        styles are joined by "+". Pairs without a row have no known style.
      divided: the pairs.
      say: is called with a note on ids that are no pair.

    Returns:
      From the normalized id of a pair to its style.

    Raises:
      UserError: the file cannot be read, names an id twice, leaves a cell
        empty, or lists none of the pairs.
    """
    rows = _read_rows(path)
    known = {_key(pair) for pair in divided.all_pairs()}
    of: dict[str, str] = {}
    others: list[str] = []
    seen: set[str] = set()
    for name, style in rows:
        if name in seen:
            raise UserError(
                f"--styles ({path}) lists {name} twice; keep one row, and join "
                f"several styles of an image by {styles_lib.JOIN}."
            )
        seen.add(name)
        if name in known:
            of[name] = styles_lib.JOIN.join(
                sorted(styles_lib.split_names(style))
            )
        else:
            others.append(name)
    if not of:
        raise UserError(
            f"--styles ({path}) lists none of the {len(known)} pairs, but "
            f"{', '.join(others[:3]) or 'nothing'}; an id is an image's file "
            "name without folder and ending."
        )
    if others:
        say(
            f"note: --styles ({path}) lists {len(others)} ids that are no "
            f"pairs here, such as {others[0]}"
        )
    return of


def _read_rows(path: str) -> list[tuple[str, str]]:
    """Reads (normalized id, style) of every row."""
    try:
        with files.open_regular(
            path, encoding="utf-8-sig", newline=""
        ) as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
            columns = reader.fieldnames or ()
    except OSError as error:
        raise UserError(
            f"--styles ({path}) cannot be read ({error.strerror}); check the "
            "path."
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--styles ({path}) is not a CSV file in UTF-8; give the columns "
            "id and style."
        ) from error
    column = next((name for name in _STYLE_COLUMNS if name in columns), "")
    if "id" not in columns or not column:
        raise UserError(
            f"--styles ({path}) has the columns {', '.join(columns) or 'none'};"
            " it needs id and style."
        )
    found = []
    for number, row in enumerate(rows, start=2):
        name, style = (row["id"] or "").strip(), (row[column] or "").strip()
        if not name or not all(styles_lib.split_names(style)):
            raise UserError(
                f"--styles ({path}), line {number}: id {name!r} with the style "
                f"{style!r}; fill in both, or remove the row."
            )
        found.append((pairs.normalized(name), style))
    return found


def _key(pair: pairs.Pair) -> str:
    return pairs.normalized(pair.id)


def _names_in(
    chosen: Sequence[pairs.Pair], of: Mapping[str, str]
) -> tuple[str, ...]:
    """Lists the names of the styles of some pairs, sorted."""
    return tuple(
        sorted(
            {
                name
                for pair in chosen
                for name in styles_lib.split_names(of.get(_key(pair), ""))
                if name
            }
        )
    )


def _check_trained(
    divided: splits.Splits,
    of: Mapping[str, str],
    *,
    names: Sequence[str],
    path: str,
) -> None:
    """Checks that every style of a measured pair is one that is trained.

    Raises:
      UserError: one is not; names it and a pair.
    """
    for split, chosen in (
        ("validation", divided.validation),
        ("test", divided.test),
    ):
        for name in _names_in(chosen, of):
            if name not in names:
                having = [
                    p.id
                    for p in chosen
                    if name in styles_lib.split_names(of.get(_key(p), ""))
                ]
                raise UserError(
                    f"--styles ({path}): {len(having)} pairs of the {split} "
                    f"split, such as {having[0]}, have the style {name}, and "
                    "no training pair has; give it another style there, "
                    "remove their rows, or split in another way."
                )
    if not names:
        raise UserError(
            f"--styles ({path}) lists no training pair; list some, or leave "
            "it out."
        )
