"""Rows of results: the table for people and the JSON for programs."""
import dataclasses
import json


@dataclasses.dataclass
class Row:
    """One comparison. `ratio` is the median of ours ÷ theirs over the pairs of one run."""
    id: str
    name: str
    peer: str
    unit: str  # of ours and theirs
    ours: float
    theirs: float
    ratio: float
    min: float
    max: float
    target: float = None  # None: printed without one
    then: float = None
    better: str = "lower"
    note: str = ""  # what the peer does not do, processor time and the like

    @property
    def met(self):
        return self._reaches(self.target)

    def _reaches(self, goal):
        if goal is None:
            return None
        return self.ratio >= goal if self.better == "higher" else self.ratio <= goal

    def goal_text(self, goal):
        if goal is None:
            return "–"
        return f"{'≥' if self.better == 'higher' else '≤'} {goal:g}"

    def verdict(self, goal):
        reached = self._reaches(goal)
        return "" if reached is None else "met" if reached else "**missed**"


def number(value):
    if value is None:
        return "–"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def progress_line(row):
    return (f"{row.id:5} {row.name}: {number(row.ours)} / {number(row.theirs)} {row.unit}"
            f" = {number(row.ratio)} ({number(row.min)}–{number(row.max)})"
            f" {row.goal_text(row.target)} {row.verdict(row.target)}")


def text(rows, with_then):
    """A Markdown table."""
    head = ["", "metric", "peer", "ours", "theirs", "ratio", "min–max", "target", ""]
    head += ["then", ""] if with_then else []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row.id, row.name, row.peer, f"{number(row.ours)} {row.unit}".strip(),
                 f"{number(row.theirs)} {row.unit}".strip(), number(row.ratio),
                 f"{number(row.min)}–{number(row.max)}", row.goal_text(row.target),
                 row.verdict(row.target)]
        cells += [row.goal_text(row.then), row.verdict(row.then)] if with_then else []
        lines.append("| " + " | ".join(cells) + " |")
    notes = [f"* {row.id}: {row.note}" for row in rows if row.note]
    return "\n".join(lines + [""] + notes)


def write_json(rows, path):
    fields = ("id", "name", "peer", "unit", "ours", "theirs", "ratio", "min", "max", "target", "then",
              "better", "met", "note")
    with open(path, "w") as f:
        json.dump([{k: getattr(row, k) for k in fields} for row in rows], f, indent=1,
                  ensure_ascii=False)
        f.write("\n")
