"""Results of the benchmark: kept, judged by the goals, reported, drawn and compared."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import picture
from benchmarks.__main__ import main
from benchmarks.compare import changes, table
from benchmarks.figures import summarise
from benchmarks.goals import GOALS, Verdict, judge
from benchmarks.records import CaseResult, Metric, Outcome, Run, WorkloadResult, load, save
from benchmarks.registry import SUBJECTS, WORKLOADS, workload
from benchmarks.report import losses, markdown
from benchmarks.seed import ROWS

MILLISECONDS = Metric(name="milliseconds", unit="ms")


def run_of(
    *,
    plain: list[float] | None = None,
    ours: list[float] | None = None,
    continuum: list[float] | None = None,
    failed: str | None = None,
    skipped: str | None = None,
) -> Run:
    """A run of one workload and one case: the flush of a thousand new objects."""
    samples = {"plain": plain, "ours": ours, "continuum": continuum}
    outcomes = {name: Outcome(samples={"milliseconds": values}) for name, values in samples.items() if values}
    if failed is not None:
        outcomes["continuum"] = Outcome(failed=failed)
    if skipped is not None:
        outcomes["postgresql_audit"] = Outcome(skipped=skipped)
    return Run(
        started_at="2026-01-01T00:00:00+00:00",
        seconds=1.0,
        scale="short",
        machine={"cores": "2"},
        server={"version": "18.0", "fsync": "on"},
        packages={"sqlalchemy": "2.1.0"},
        subjects={"plain": "nothing"},
        workloads=(
            WorkloadResult(
                name="flush_insert",
                title="Flush of new objects",
                about="So many.",
                metrics=(MILLISECONDS,),
                baseline="plain",
                cases=(CaseResult(label="1,000 objects", params={"rows": 1_000}, outcomes=outcomes),),
            ),
        ),
    )


GOOD = run_of(plain=[10, 11, 12], ours=[13, 14.3, 15.6], continuum=[400, 440, 480])


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    save(GOOD, tmp_path / "folder" / "results.json")

    assert load(tmp_path / "folder" / "results.json") == GOOD


def test_a_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text('{"seconds": "many"}')

    with pytest.raises(ValueError, match="not a benchmark's result"):
        load(tmp_path / "results.json")


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    save(GOOD, tmp_path / "results.json")
    changed = json.loads((tmp_path / "results.json").read_text()) | {"format": 99}
    (tmp_path / "results.json").write_text(json.dumps(changed))

    with pytest.raises(ValueError, match="of format 99"):
        load(tmp_path / "results.json")


def test_every_goal_and_every_row_of_the_seed_names_something_that_is_measured() -> None:
    """A case, metric or subject that is renamed must not turn a goal into “not measured” in silence."""
    places = [(goal.workload, goal.case, goal.subject, goal.metric) for goal in GOALS]
    places += [(goal.workload, goal.case, goal.over, goal.metric) for goal in GOALS if goal.over is not None]
    places += [where for row in ROWS for where in (row.p50, row.p99, row.rate) if where is not None]
    places += [where for row in ROWS for _, where in row.limits]
    to_come = {"ours_group_commit"}

    for name, label, subject, metric in places:
        kind = workload(name)
        assert label in {case.label for case in kind.cases}
        assert metric in {known.name for known in kind.metrics}
        assert subject in {*kind.subjects, *to_come}


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_keeps_to_the_shape(name: str) -> None:
    kind = workload(name)

    assert kind.name == name
    assert set(kind.subjects) <= set(SUBJECTS)
    assert kind.baseline is None or kind.baseline in kind.subjects
    labels = [case.label for case in kind.cases]
    assert len(set(labels)) == len(labels)
    assert any(not case.full_only for case in kind.cases)
    assert all(case.rounds >= 5 or case.rounds == 1 for case in kind.cases)
    assert kind.title
    assert kind.about.endswith(".")


def verdict(run: Run) -> Verdict:
    return next(item for item in judge(run) if item.goal.workload == "flush_insert")


def test_a_ratio_within_its_goal_meets_it() -> None:
    assert verdict(GOOD).measured == summarise([1.3, 1.3, 1.3])
    assert verdict(GOOD).met


def test_a_ratio_beyond_its_goal_misses_it_and_is_named_among_the_losses() -> None:
    run = run_of(plain=[10, 11, 12], ours=[20, 22, 24])

    assert verdict(run).met is False
    assert [line for line in losses(run) if "goal missed: flush of 1,000 inserts" in line]


def test_a_goal_without_a_measurement_says_why() -> None:
    found = verdict(run_of(plain=[1, 2, 3]))
    assert (found.met, found.reason) == (None, "ours did not take part")
    missing = next(item for item in judge(GOOD) if item.goal.workload == "writers")
    assert (missing.met, missing.reason) == (None, "workload writers was not run")


def test_a_peer_that_is_better_is_named_among_the_losses() -> None:
    run = run_of(plain=[1, 1, 1], ours=[5, 5, 5], continuum=[2, 2, 2])

    assert any("continuum 2.00 ms, ours 5.00" in line for line in losses(run))


def test_a_peer_within_the_noise_is_no_loss() -> None:
    run = run_of(plain=[10, 10, 10], ours=[10, 12, 14], continuum=[9, 11, 13])

    assert losses(run) == []


def test_the_report_tells_failures_and_abstentions() -> None:
    report = markdown(run_of(plain=[1], ours=[1.2], failed="Traceback …\nValueError: no", skipped="it cannot"))

    assert "- continuum: failed: ValueError: no" in report
    assert "- postgresql_audit: it cannot" in report
    assert "| 1,000 objects | milliseconds, ms | 1.00 (1.00–1.00) | 1.20 (1.20–1.20) **1.20×** | failed | – |" in report


def test_the_picture_is_sound_svg_with_a_bar_for_each_subject() -> None:
    root = ET.fromstring(picture.draw(GOOD))  # noqa: S314 - drawn by ourselves
    bars = [shape for shape in root.iter("{http://www.w3.org/2000/svg}rect") if shape.get("rx")]
    widths = [float(shape.get("width", "0")) for shape in bars]

    assert len(bars) == 3
    assert widths[2] / widths[0] == pytest.approx(440 / 11, rel=0.01)


def test_a_comparison_tells_better_worse_and_alike() -> None:
    before = run_of(plain=[10, 10, 10], ours=[20, 20, 20], continuum=[100, 120, 140])
    after = run_of(plain=[10, 10, 10], ours=[15, 15, 15], continuum=[110, 130, 150])

    found = {change.subject: change for change in changes(before, after)}

    assert {subject: change.verdict for subject, change in found.items()} == {
        "plain": "alike",
        "ours": "better",
        "continuum": "alike",
    }
    assert found["ours"].worse_percent == -25
    assert "2.00 → 1.50" in table(changes(before, after))


def test_a_figure_that_only_one_run_has_is_not_compared() -> None:
    assert changes(run_of(ours=[1, 1]), run_of(plain=[1, 1])) == []
    assert "no figure in common" in table([])


@pytest.mark.parametrize(("allowed", "code"), [("40", 1), ("60", 0)])
def test_compare_fails_where_ours_got_worse_than_allowed(
    tmp_path: Path, allowed: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    save(run_of(plain=[10, 10], ours=[20, 20]), tmp_path / "before.json")
    save(run_of(plain=[10, 10], ours=[30, 30]), tmp_path / "after.json")

    arguments = ["compare", str(tmp_path / "before.json"), str(tmp_path / "after.json"), "--fail-above", allowed]

    assert main(arguments) == code
    assert "| +50 % |" in capsys.readouterr().out


def test_a_report_is_written_beside_its_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(GOOD, tmp_path / "results.json")

    assert main(["report", str(tmp_path / "results.json")]) == 0
    assert (tmp_path / "results.md").read_text() == markdown(GOOD)
    assert (tmp_path / "results.svg").read_text().startswith("<svg")
    assert capsys.readouterr().out.startswith("# Benchmark results")


def test_an_unknown_workload_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--only", "flush_insert,flushing"])

    assert "flushing: choose from limits, flush_insert" in capsys.readouterr().err
