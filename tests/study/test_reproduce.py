"""The campaign: what is left, what counts as filled, doing it within a budget, being killed, coming
back, merging.
"""

import csv
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from rsnl_lib import store
from rsnl_lib.study import campaign, cost, merge, paper, paper_jobs, workers
from rsnl_lib.study.jobs import Job
from rsnl_lib.study.results import Results

ROOT = pathlib.Path(__file__).resolve().parents[2]


def row(job, perturbation="clean", level=0, unit="", correct=90, **more):
    return {
        **{k: str(v) for k, v in job.row().items()},
        "perturbation": perturbation,
        "level": str(level),
        "unit": unit,
        "space": "pixels [0,1]",
        "draws": "1",
        "n": "100",
        "correct": str(correct),
        "hardware": "h",
        "torch": "t",
        "commit": "c",
        "date": "d",
        **more,
    }


def cell(name):
    return next(c for c in paper.cells() if c["cell"] == name)


def test_the_jobs_of_the_paper_are_29_runs():
    """MNIST 5, USPS 4, CIFAR-10 and -100 four each, Table VII six more, Table I six more."""
    wanted = paper_jobs.cell_jobs(paper.cells(), Results())
    assert len(wanted) == 29 and len({j.dataset for j in wanted}) == 4
    teacher = Job("cifar10", "teacher", "cifar_teacher")
    own = sum(
        c["method"] == "teacher"
        and c["dataset"] == "cifar10"
        and c["train_noise"] == ""
        and c["kind"] == "measured"
        for c in paper.cells()
    )
    assert wanted[teacher] >= own + 50  # what its students fill counts for it too


def test_there_are_three_teachers_however_many_seeds():
    wanted = paper_jobs.cell_jobs(paper.cells("VI"), Results(), seeds=5)
    assert [sum(j.method == m for j in wanted) for m in ("teacher", "standard", "robust")] == [
        3,
        5,
        5,
    ]
    assert sorted((j.seed, j.teacher_seed) for j in wanted if j.method == "kd") == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 0),
        (4, 1),
    ]


def test_a_cell_is_filled_by_exactly_its_network_recipe_data_and_noise():
    c = cell("II.cifar10.kd.4")
    job = paper_jobs.cell_job(c)
    assert (job.dataset, job.net, job.teacher().net) == (
        "cifar10",
        "cifar_student4",
        "cifar_teacher",
    )
    level = ("occlusion", 4, "pixels")
    good = row(job, *level)
    assert paper_jobs.filled(c, Results([good])) == [0]
    for wrong in (
        {"dataset": "cifar100"},
        {"network": "cifar_student1"},
        {"network": "cifar_student4@0.5"},
        {"recipe": "paper"},
        {"settings": "epochs=2"},
        {"train_noise": "gaussian 10 dB"},
        {"teacher": "cifar_teacher@0.25"},
        {"method": "robust"},
        {"level": "6"},
        {"unit": ""},
    ):
        assert paper_jobs.filled(c, Results([{**good, **wrong}])) == [], wrong
    two = paper_jobs.cell_job(c, 4)
    assert two.teacher_seed == 1 and two.row()["teacher"] == "cifar_teacher seed 1"
    assert paper_jobs.filled(c, Results([good, row(two, *level)])) == [0, 4]


def test_a_drop_needs_the_clean_images_too():
    c = cell("fig2a.kd.drop")
    noisy = row(paper_jobs.cell_job(c), "gaussian", 1, "dB")
    assert paper_jobs.filled(c, Results([noisy])) == []
    assert paper_jobs.filled(c, Results([noisy, row(paper_jobs.cell_job(c))])) == [0]


def test_quoted_cells_are_nobodys_and_counts_stand():
    assert paper_jobs.filled(cell("IV.nin.cifar10"), Results()) == []
    assert [paper_jobs.filled(c, Results()) for c in paper.cells() if c["kind"] == "counted"] == [
        [0]
    ] * sum(c["kind"] == "counted" for c in paper.cells())


def test_missing_ends_with_the_cells(capsys):
    c = paper.cells("III", "mnist")
    job = paper_jobs.cell_job(cell("III.kd.mnist-mnist"))
    done = Results([row(job)])
    campaign.missing(c, done, paper_jobs.cell_jobs(c, done), "short")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "1 of 7 cells" and lines[-2] == "Table III            1 of   7, 1 seeds"
    assert any("1 cells" in l and "mnist kd mnist_student seed 0" in l for l in lines)


def test_the_jobs_of_claims_and_study_are_asked_for_by_name(tmp_path, capsys):
    from rsnl_lib.__main__ import main

    main(
        [
            "reproduce",
            "--missing",
            "--for",
            "study",
            "--dataset",
            "digits",
            "--method",
            "kd",
            "--work",
            str(tmp_path),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert int(lines[-1].removesuffix(" jobs left")) == len(lines) - 1 and all(
        " kd digits" in line or " teacher digits" in line for line in lines[:-1]
    )
    with pytest.raises(SystemExit):
        main(["reproduce", "--missing", "--for", "rumours"])
    assert "choose from" in capsys.readouterr().err


def test_a_changed_recipe_or_network_makes_jobs_that_fill_no_cell():
    cells = [cell("VII.robust.student1.accuracy")]
    plan = dict(
        settings="epochs=2", teacher_network="cifar_teacher@0.25", teacher_settings="epochs=3"
    )
    wanted = list(paper_jobs.cell_jobs(cells, Results(), **plan))
    assert [(j.method, j.net, j.settings) for j in wanted] == [
        ("teacher", "cifar_teacher@0.25", "epochs=3"),
        ("robust", "cifar_student1", "epochs=2"),
    ]
    assert (
        wanted[1].teacher() == wanted[0]
        and wanted[1].row()["teacher"] == "cifar_teacher@0.25 epochs=3"
    )
    done = Results([row(j) for j in wanted])
    assert paper_jobs.filled(cells[0], done) == [] and not paper_jobs.cell_jobs(
        cells, done, **plan
    ).get(wanted[1])


def test_names_of_checkpoints_tell_jobs_apart():
    base = Job("mnist", "kd", "mnist_student")
    others = [
        base._replace(**c)
        for c in (
            {"seed": 1, "teacher_seed": 1},
            {"seed": 1},
            {"seed": 3},
            {"recipe": "paper"},
            {"settings": "C1=1"},
            {"train_noise": "gaussian 10 dB"},
            {"teacher_network": "mnist_teacher@0.5"},
            {"teacher_settings": "epochs=3"},
            {"network": "mnist_student@0.5"},
            {"dataset": "usps"},
            {"method": "robust"},
        )
    ]
    names = [j.path("x").name for j in (base, *others)]
    assert len(set(names)) == len(names) and names[0] == "mnist_student-kd-short-s0.safetensors"
    assert base._replace(seed=3).path("x").stem.endswith("s3-by-t0")
    assert len({tuple(j.row().items()) for j in (base, *others)}) == len(names)


def test_estimates_follow_measurements_first(monkeypatch):
    job = Job("mnist", "robust", "mnist_student")
    slow, fast = (
        cost.seconds(job, {("mnist_student", "robust"): 4.0}),
        cost.seconds(job, {("mnist_student", "robust"): 1.0}),
    )
    assert slow == pytest.approx(4 * fast)
    longer = cost.seconds(job._replace(settings="epochs=16"), {("mnist_student", "robust"): 4.0})
    assert longer - slow == pytest.approx(8 * 50_000 * 4 / 1000)
    assert cost.seconds(job, {}, asks=False) < cost.seconds(
        job, {}
    )  # the teacher is asked once, its answers are kept
    assert cost.seconds(job, {}, trained=True) < 20 < cost.seconds(job, {})


def test_what_was_measured_here_tells_how_fast_the_rest_will_be(tmp_path):
    """Twice the speed of the one network that was measured is twice that of another; other
    hardware's rows count for nothing.
    """
    job = Job("mnist", "standard", "mnist_student")
    one = {("mnist_student", "robust"): 2.0}
    fast = {key: ms / 2 for key, ms in one.items()}
    assert cost.flops({}, 1e6) is None and cost.flops(fast, 1e6) == pytest.approx(
        2 * cost.flops(one, 1e6)
    )
    assert cost.seconds(job, one) == pytest.approx(2 * cost.seconds(job, fast))
    both = {**one, ("cifar_student4", "kd"): 20.0}
    assert cost.flops(both, 2e6) == pytest.approx(cost.flops(both, 1e6) * 2**cost.GROWTH)
    line = {
        **dict.fromkeys(store.CURVE_COLUMNS, ""),
        **{"dataset": "mnist", "recipe": "short", "seed": "0", "epoch": "1"},
        "network": "mnist_student",
        "method": "robust",
        "quantity": "ms_per_image",
        "value": "2.0",
        "hardware": "here",
    }
    (tmp_path / "a.csv").write_bytes(
        store.table([line, {**line, "hardware": "there", "value": "50"}], store.CURVE_COLUMNS)
    )
    assert cost.paces([tmp_path / "a.csv"], "here") == one


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("9m", 540), ("1.5h", 5400)])
def test_budgets(text, seconds):
    assert campaign.budget(text) == seconds


@pytest.mark.parametrize("text", ["9", "m", "-1m", "0s", "soon", "", "nanm"])
def test_a_bad_budget_is_named(text):
    with pytest.raises(ValueError, match="is no time; write a number above zero and s, m or h"):
        campaign.budget(text)


@pytest.mark.parametrize(
    "words, says",
    [
        (["--missing", "--table", "X"], "table='X' is unknown; choose one of: I, II"),
        (["--missing", "--dataset", "mnits"], "dataset='mnits' is unknown"),
        (["--missing", "--seeds", "0"], "seeds=0 must be a whole number of at least 1"),
        (["--missing", "--also", "robst"], "method='robst' is unknown"),
        (["--missing", "--recipe", "long"], "recipe='long' is unknown"),
        (["--missing", "--set", "epoch=2"], "'epoch=2' is no setting"),
        (["--missing", "--teacher-network", "cifar_teacher@-1"], "a finite number above zero"),
        (["--jobs", "0", "--table", "VI"], "jobs=0 must be"),
        (["--budget", "soon", "--table", "VI"], "budget='soon' is no time"),
        (["--merge", "nowhere"], "there is no folder nowhere"),
        (["--table", "VI", "--out", "file/box"], "file is no folder that you may write to"),
    ],
)
def test_bad_words_are_named_before_anything_begins(words, says, tmp_path, monkeypatch):
    from rsnl_lib.__main__ import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(workers, "on_processes", lambda *a, **k: pytest.fail("began"))
    monkeypatch.setattr(workers, "on_ray", lambda *a, **k: pytest.fail("began"))
    with pytest.raises(SystemExit, match="rsnl: ") as stopped:
        main(["reproduce", "--device", "cpu", "--work", str(tmp_path / "work"), *words])
    assert says in str(stopped.value) and sorted(
        p.name for p in tmp_path.rglob("*") if p.is_file()
    ) in (["file"], ["file", "lock"])


CAMPAIGN = """
import sys
import torch
from rsnl_lib import __main__
from rsnl_lib.study import paper
one = next(c for c in paper.cells() if c["cell"] == "VI.kd.error")
nets = {"teacher": "digits_teacher", "kd": "digits_student", "standard": "digits_student"}
made = [{**one, "dataset": "digits", "method": m, "network": n} for m, n in nets.items()]
paper.cells = lambda table=None, dataset=None: made
if __name__ == "__main__":
    recipe = ["--set", "epochs=12", "batch=100", "--teacher-set", "epochs=12"]
    if "--set" in sys.argv:  # an option is given once
        recipe = []
    __main__.main(["reproduce", "--device", "cpu", "--draws", "1", *recipe, *sys.argv[1:]])
"""


def start(folder, *words):
    script = folder / "campaign.py"
    script.write_text(CAMPAIGN)
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "RSNL_DATA": str(folder / "data"),
    }
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, words)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def numbers(work):
    """Everything but the commit and the date of all rows, sorted."""
    return sorted(
        tuple(r[k] for k in store.COLUMNS[:15])
        for r in store.result_rows(pathlib.Path(work) / "rows")
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run = start(folder, "--work", folder / "work", "--jobs", "2", "--out", folder / "box")
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 0, said
    return folder, said


def test_a_campaign_trains_the_teacher_first_and_keeps_everything(whole):
    folder, said = whole
    work = folder / "work"
    assert len(list((work / "rows").glob("*.csv"))) == 3 and not list((work / "runs").glob("*"))
    assert (
        said.index("started digits teacher") < said.index("started digits kd")
        and "3 done, 0 running, 0 left" in said
    )
    header = store.load_checkpoint(
        work / "digits_student-kd-short-s0-epochs=12-batch=100-by-epochs=12.safetensors"
    )[1]
    assert (
        header["teacher_file"] == "digits_teacher-teacher-short-s0-epochs=12.safetensors"
        and header["teacher"] == "digits_teacher epochs=12"
    )
    assert sorted(p.name for p in (folder / "box").iterdir()) == [
        "campaign.00",
        "campaign.parts.json",
    ]


def test_five_kills_and_resumes_end_with_the_same_rows(whole, tmp_path):
    """SIGKILL to the whole process group at five random moments, then to the end: rows and networks
    are those of the uninterrupted run.
    """
    chance, killed = random.Random(7), 0
    for _ in range(5):
        run = start(tmp_path, "--work", tmp_path / "work", "--jobs", "2")
        try:
            run.communicate(timeout=chance.uniform(4, 8))
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, signal.SIGKILL)
            run.wait()
            killed += 1
    run = start(tmp_path, "--work", tmp_path / "work", "--jobs", "2")
    assert run.communicate(timeout=300)[0] is not None and run.returncode == 0
    assert (
        killed >= 2
        and numbers(tmp_path / "work") == numbers(whole[0] / "work")
        and len(numbers(tmp_path / "work")) == 3 * (38 + 10)
    )
    for path in (whole[0] / "work").glob("*.safetensors"):
        a, b = (
            store.load_checkpoint(p)[0].state_dict() for p in (path, tmp_path / "work" / path.name)
        )
        assert all(map(torch.equal, a.values(), b.values()))
    assert not list((tmp_path / "work").rglob("*.part"))


@pytest.mark.skipif(
    not pathlib.Path("/proc/self/task").is_dir(), reason="children are read out of /proc"
)
def test_its_processes_end_with_a_campaign_that_is_killed_alone(tmp_path):
    """SIGKILL to the campaign and not to its group: nobody goes on training into a folder that the
    next call will use.
    """
    run = start(
        tmp_path,
        "--work",
        tmp_path / "work",
        "--set",
        "epochs=2000",
        "--teacher-set",
        "epochs=2000",
    )
    children = lambda: [
        int(c) for c in pathlib.Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    ]
    until = time.monotonic() + 60
    while (
        not list((tmp_path / "work").rglob("*.state"))
        and run.poll() is None
        and time.monotonic() < until
    ):
        time.sleep(0.1)
    mine = children()
    assert mine, "something trains"
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    until = time.monotonic() + 10
    alive = lambda pid: (
        pathlib.Path(f"/proc/{pid}").is_dir()
        and "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    )
    while any(map(alive, mine)) and time.monotonic() < until:
        time.sleep(0.2)
    assert not any(map(alive, mine))


def test_a_budget_stops_it_and_the_next_call_goes_on(tmp_path, whole):
    run = start(tmp_path, "--work", tmp_path / "work", "--budget", "4s")
    begun = time.time()
    said = run.communicate(timeout=120)[0]
    assert run.returncode == 0 and time.time() - begun < 60 and "time is up" in said
    assert len(list((tmp_path / "work").rglob("rows/*.csv"))) < 3


def test_two_campaigns_do_not_share_a_folder(tmp_path):
    half = tmp_path / ".rows.csv.1.part"
    half.write_text("")
    held = workers.lock(tmp_path)
    assert not half.exists()  # of a run that was killed
    half.write_text("")
    with pytest.raises(ValueError, match="another campaign is at work"):
        workers.lock(tmp_path)
    assert half.exists()  # of the campaign at work
    held.close()
    workers.lock(tmp_path).close()


def test_merge_takes_each_row_once_and_says_what_differs(whole, tmp_path, capsys):
    results, shipped, aside = tmp_path / "results", tmp_path / "shipped", tmp_path / "aside"
    box = whole[0] / "box"
    rows, nets = merge.merge(box, results, shipped, aside)
    assert rows == 3 * (38 + 10) and nets == 3
    assert not shipped.exists() and len(list(aside.iterdir())) == 3  # changed recipes stay aside
    assert len(store.result_rows(results)) == rows
    before = {p.name: p.read_bytes() for p in results.iterdir()}
    assert merge.merge(box, results, shipped, aside) == (0, 0) and merge.merge(
        whole[0] / "work", results, shipped, aside
    ) == (0, 0)
    assert {p.name: p.read_bytes() for p in results.iterdir()} == before
    with open(results / "digits.csv", newline="") as f:
        lines = list(csv.DictReader(f))
    lines[5]["correct"] = str(int(lines[5]["correct"]) - 1)
    (results / "digits.csv").write_bytes(store.table(lines))
    capsys.readouterr()
    assert merge.merge(box, results, shipped, aside) == (0, 0)
    assert "1 rows say another number" in capsys.readouterr().out


def test_merge_names_a_missing_folder(tmp_path):
    with pytest.raises(ValueError, match="there is no folder"):
        merge.merge(tmp_path / "nothing")


def test_teachers_end_before_their_students_begin_and_the_best_comes_first(tmp_path, monkeypatch):
    """Processes that end after a few looks, three at a time: order of starts, and never more at
    once than asked for.
    """
    log, alive = [], set()

    class Fake:
        def __init__(self, target, args):
            self.job, self.looks = args[0], 0

        def start(self):
            log.append(self.job), alive.add(self.job)
            assert len(alive) <= 3 and (not self.job.guided or self.job.teacher() not in alive)

        @property
        def exitcode(self):
            self.looks += 1
            if self.looks < 4:
                return None
            alive.discard(self.job)
            return 0

    monkeypatch.setattr(
        workers.multiprocessing, "get_context", lambda how: type("Context", (), {"Process": Fake})
    )
    wanted = paper_jobs.cell_jobs(paper.cells(), Results())
    ranked = campaign.rank_jobs(wanted, Results())
    assert workers.on_processes(ranked, tmp_path, Results(), time.time() + 100, 3) == []
    assert sorted(log) == sorted(wanted)
    for job in log:
        if job.guided and job.teacher() in wanted:
            assert log.index(job.teacher()) < log.index(job)
    assert log[0] == next(
        job for job, _, _ in ranked if not job.guided or job.teacher() not in wanted
    )


def test_a_failed_job_is_told_and_its_students_wait(tmp_path, capsys, monkeypatch):
    """A damaged teacher's state fails that job; its student is not begun and the others are
    done.
    """
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "data"))
    teacher = Job("digits", "teacher", "digits_teacher", settings="epochs=1")
    (tmp_path / "work" / "runs").mkdir(parents=True)
    (tmp_path / "work" / "runs" / f"{teacher.path().stem}.state").write_bytes(b"no state")
    other = Job("digits", "standard", "digits_student", settings="epochs=1")
    failed = workers.on_processes(
        [(teacher, 1, 5), (other, 1, 5)],
        tmp_path / "work",
        Results(),
        time.time() + 200,
        1,
        draws=1,
    )
    assert failed == [teacher] and "is damaged and cannot be resumed" in capsys.readouterr().out
    assert [p.stem for p in (tmp_path / "work" / "rows").iterdir()] == [
        "digits_student-standard-short-s0-epochs=1"
    ]


def test_a_trained_network_is_measured_where_rows_are_missing(tmp_path, monkeypatch):
    """Its checkpoint is there, some rows too: only the others are made, none is trained."""
    job = Job("digits", "kd", "digits_student")
    begun = []
    monkeypatch.setattr(
        workers.training, "do", lambda *a, **k: (begun.append(a), ([], [], tmp_path / "state"))[1]
    )
    have = {
        ("clean", 0, ""),
        ("class", 3, "label"),
        *[("gaussian", s, "dB") for s in range(9, -4, -1)],
    }
    workers.finish(job, tmp_path, draws=1, have=have)
    assert begun == []
    made = {
        (r["perturbation"], float(r["level"]), r["unit"])
        for r in store.result_rows(tmp_path / "rows")
    }
    assert (
        not made & have
        and ("class", 4, "label") in made
        and ("poisson", 3, "dB") in made
        and len(made) == 48 - len(have)
    )
    done = Results(store.result_rows(tmp_path / "rows"))
    assert len(done.find(job)) == len(made)
    workers.finish(
        job, tmp_path, draws=1, have=set(done.find(job))
    )  # what was there stays, what lacked comes
    assert (
        len(Results(store.result_rows(tmp_path / "rows")).find(job)) == 48
        and len(store.result_rows(tmp_path / "rows")) == 48
    )


def test_rows_say_last_that_a_job_is_done_and_what_a_kill_left_then_is_cleared(
    tmp_path, monkeypatch
):
    """A kill between rows and curves once lost the curves: the job was done by its rows."""
    job, order = Job("usps", "kd", "mnist_student"), []
    stem = job.path().stem
    monkeypatch.setattr(
        workers.training, "do", lambda *a, **k: ([], [], tmp_path / f"runs/{stem}.state")
    )
    monkeypatch.setattr(store, "write", lambda path, content: order.append(path.parent.name))
    workers.finish(job, tmp_path / "none", draws=1)
    assert order == ["curves", "rows"]
    for name in (f"rows/{stem}.csv", f"runs/{stem}.rows", f"runs/{stem}.state", "runs/b.state"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    workers.lock(tmp_path).close()
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["b.state"]


def test_packing_keeps_to_eight_files_and_puts_rows_first(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(merge, "BOX", 2**20)
    work = tmp_path / "work"
    for i in range(9):
        for place, size in (
            (f"rows/n{i}.csv", 100),
            (f"curves/n{i}.csv", 100),
            (f"n{i}.safetensors", 900_000),
        ):
            store.write(work / place, os.urandom(size))
    store.write(work / "unfinished.safetensors", b"x")
    merge.pack_results(work, tmp_path / "out")
    files = list((tmp_path / "out").iterdir())
    assert len(files) <= 8 and all(f.stat().st_size <= 2**20 for f in files)
    said = capsys.readouterr().out
    assert (
        "left out, no room: n8" in said
        and "no room: n0" not in said
        and "unfinished" not in said
        and "packed 18 tables" in said
    )


def test_ray_runs_a_job_again_whose_worker_is_killed(tmp_path, monkeypatch):
    """Two workers, one of them killed in its training: every job's rows come once, and are those of
    a run at home.
    """
    ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'rsnl-lib[ray]')")
    monkeypatch.setenv("RSNL_DATA", str(tmp_path / "data"))
    for name in ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "0")
    plan = [
        Job("digits", "teacher", "digits_teacher", settings="epochs=30"),
        Job("digits", "standard", "digits_student", settings="epochs=30"),
    ]
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={
            "env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        },
    )
    killed = []
    real = ray.wait

    def wait(refs, timeout):
        begun = list((tmp_path / "data" / "campaign-away").glob("*/runs/*.state"))
        if begun and not killed:
            out = subprocess.run(
                ["pgrep", "-f", "ray::finish_away"], capture_output=True, text=True
            ).stdout.split()
            if out:
                os.kill(int(out[0]), signal.SIGKILL)
                killed.append(int(out[0]))
        return real(refs, timeout=timeout)

    monkeypatch.setattr(ray, "wait", wait)
    failed = workers.on_ray(
        [(j, 1, 10) for j in plan],
        tmp_path / "work",
        Results(),
        time.time() + 240,
        "local",
        draws=1,
    )
    assert killed and not failed
    for job in plan:
        workers.finish(job._replace(), tmp_path / "home", draws=1)
    assert (
        numbers(tmp_path / "work") == numbers(tmp_path / "home")
        and len(numbers(tmp_path / "work")) == 2 * 48
    )


def test_a_cell_that_other_seeds_fill_is_not_left_and_any_teacher_will_do():
    """USPS has students 1 to 5 and not 0: its cells are full, and no job of them is offered."""
    done = Results(store.result_rows(ROOT / "data" / "results"))
    assert not [j for j in paper_jobs.cell_jobs(paper.cells("III"), done) if j.dataset == "usps"]
    c = cell("VI.kd.error")
    one = row(paper_jobs.cell_job(c)._replace(seed=4, teacher_seed=7))
    assert paper_jobs.filled(c, Results([one])) == [4] and not paper_jobs.cell_jobs(
        [c], Results([one])
    ).get(paper_jobs.cell_job(c))
    assert (
        paper_jobs.filled(
            c, Results([row(paper_jobs.cell_job(c)._replace(seed=14, teacher_seed=4))])
        )
        == []
    ), "the register's own"
