"""Doing jobs: in processes of this machine within a time budget, or on a Ray cluster; every file
whole or not there.
"""

import contextlib
import io
import multiprocessing
import os
import pathlib
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection

import torch

from .. import env, store
from ..env import AnyPath
from ..rows import plain_name
from . import mistakes, training
from .cost import span
from .jobs import Job, find
from .results import Results

# glibc keeps a step's big blocks instead of returning them
KEEP = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def finish(
    job: Job,
    work: AnyPath,
    folder: AnyPath | None = None,
    device: str = "cpu",
    draws: int = 2,
    have: Collection[tuple] = (),
) -> None:
    """Do one job and write its rows and curves, whole or not at all, under `work`; of a network
    that is trained, the rows that are not in `have`.
    """
    work = pathlib.Path(work)
    stem = job.path().stem
    place = find(job, work)
    state = work / "runs" / f"{stem}.state"
    if place and not state.is_file():
        d = training.training_data(job, folder, device)
        new = training.measure_checkpoint(place, job.row(), d, draws, folder, state, have)
        rows = store.lines(work / f"rows/{stem}.csv", True, store.COLUMNS) + new
        curves = None
    else:
        rows, curves, state = training.do(job, work, folder, device, draws, runs=work / "runs")
    if job.dataset in mistakes.LEVEL:
        net, _ = store.load_checkpoint(find(job, work), device=device)
        d = training.training_data(job, folder, device)
        said = mistakes.wrong_labels(net, d.x_test, d.y_test, mistakes.LEVEL[job.dataset], draws)
        mistakes.save_mistakes(work / f"mistakes/{stem}.npz", said)
    if curves is not None:
        store.write(work / f"curves/{stem}.csv", store.table(curves, store.CURVE_COLUMNS))
    store.write(work / f"rows/{stem}.csv", store.table(rows))  # last: they say that the job is done
    training.forget(state)


@contextlib.contextmanager
def _deaf():
    """What is started inside the block never hears a Ctrl-C: its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _log(job, work):
    return pathlib.Path(work) / "log" / f"{job.path().stem}.log"


def child(job: Job, work: AnyPath, *rest) -> None:
    """`finish` in a process of its own, one thread, its words in a log; it ends when the campaign
    does, however that ends.
    """

    def end_with(parent):
        parent.join()
        os._exit(1)

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    log = _log(job, work)
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout = sys.stderr = open(log, "a", buffering=1)
    finish(job, work, *rest)


def _work_off(ranked, running: dict, begin: Callable, ended: Callable, deadline, slots) -> list:
    """Do the jobs of `ranked`, the most valuable that fits the time first, teachers before their
    students, at most `slots` at a time; returns those that failed.

    `begin(job)` puts it into `running`; `ended()` gives (job, its last lines if it failed) of those
    that it takes out again.
    """
    begun = time.time()
    todo = {job: took for job, _, took in ranked}
    failed, done = [], 0
    while todo or running:
        for job, lines in ended():
            if lines is None:
                done += 1
            else:
                failed.append(job)
                print(f"FAILED {job.title()}: {lines[-1] if lines else 'no word'}", flush=True)
            gone, rest = span(time.time() - begun), span(sum(todo.values()) / slots)
            counts = f"{done} done, {len(running)} running, {len(todo)} left"
            print(f"{counts}, {gone} gone, about {rest} to go", flush=True)
        ahead = {*todo, *running}
        free = [j for j in todo if not (j.guided and j.teacher() in ahead)]
        for job in [j for j in free if j.guided and j.teacher() in failed]:
            free.remove(job)
            del todo[job]
            failed.append(job)
        room = deadline - time.time()
        if room <= 0:
            break
        fits = [j for j in free if todo[j] <= room] or ([] if running else free)
        if fits and len(running) < slots:
            job = fits[0]
            begin(job)
            print(f"started {job.title()}, about {span(todo.pop(job))}", flush=True)
        elif running:
            time.sleep(0.2)
    if running or todo:
        on = f"{len(running)} go on from their last whole epoch in the next call"
        print(f"time is up: {on}, {len(todo)} wait", flush=True)
    return failed


def on_processes(
    ranked: list,
    work: AnyPath,
    done: Results,
    deadline: float,
    slots: int = 1,
    folder: AnyPath | None = None,
    device: str = "cpu",
    draws: int = 2,
) -> list:
    """Do the jobs of `ranked` in processes; returns those that failed. At the deadline the running
    ones are stopped: each goes on from its last whole epoch in the next call.
    """
    spawn = multiprocessing.get_context("spawn")
    os.environ.update(QUIET | KEEP)
    running = {}

    def begin(job):
        how = (job, str(work), folder, device, draws, set(done.find(job)))
        running[job] = spawn.Process(target=child, args=how)
        with _deaf():
            running[job].start()

    def ended():
        for job, process in list(running.items()):
            if process.exitcode is not None:
                del running[job]
                log = _log(job, work)
                failed = process.exitcode != 0
                yield job, log.read_text(errors="replace").splitlines() if failed else None

    try:
        return _work_off(ranked, running, begin, ended, deadline, slots)
    finally:
        for process in running.values():
            process.terminate()
            process.join()


def on_ray(
    ranked: list,
    work: AnyPath,
    done: Results,
    deadline: float,
    address: str,
    folder: AnyPath | None = None,
    gpus: float = 0.0,
    draws: int = 2,
) -> list:
    """The same on the Ray cluster at an address ("local" starts one here): Ray places the jobs and
    runs one again whose worker is lost; what comes back is written here, once each.
    """
    import ray

    own = {"log_to_driver": False, "ignore_reinit_error": True}
    own["runtime_env"] = {"env_vars": {**QUIET, "PYTHONPATH": str(env.ROOT)}}
    try:
        ray.init(address=None if address == "local" else address, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"no Ray cluster at {address!r} ({reason}); name another") from None
    work = pathlib.Path(work)
    how = {"num_cpus": 1, "num_gpus": gpus, "max_retries": -1, "retry_exceptions": False}
    remote = ray.remote(**how)(finish_away)
    running = {}

    def begin(job):
        nets = (job, job.teacher()) if job.guided else (job,)
        files = {p.name: p.read_bytes() for p in (find(j, work) for j in nets) if p}
        rest = (folder, "cuda" if gpus else "cpu", draws, set(done.find(job)))
        running[job] = remote.remote(job, files, *rest)

    def ended():
        refs = {ref: job for job, ref in running.items()}
        for ref in ray.wait(list(refs), timeout=0)[0] if refs else []:
            del running[refs[ref]]
            try:
                for name, content in ray.get(ref).items():
                    *folders, file = pathlib.PurePosixPath(name).parts
                    for part in (*folders, file):
                        plain_name("file of a worker", part)
                    store.write(work.joinpath(*folders, file), content)
                yield refs[ref], None
            except ray.exceptions.RayError as error:
                yield refs[ref], str(error).strip().splitlines()

    try:
        return _work_off(ranked, running, begin, ended, deadline, len(ranked) or 1)
    finally:
        ray.shutdown()


def finish_away(
    job: Job, files: dict, folder: AnyPath | None, device: str, draws: int, have: set
) -> dict:
    """`finish` on a Ray worker: checkpoints come as bytes and rows, curves and checkpoints go back
    so; a second try goes on from the first's state.
    """
    work = env.data_folder(folder) / "campaign-away" / job.path().stem
    for name, content in files.items():
        store.write(work / name, content)
    finish(job, work, folder, device, draws, have)
    made = [p for p in work.rglob("*") if p.suffix in (".csv", ".safetensors")]
    return {str(p.relative_to(work)): p.read_bytes() for p in made if p.name not in files}


def lock(work: pathlib.Path) -> io.FileIO:
    """Hold a work folder for one campaign at a time, and clear what a kill left there; the system
    lets go of it with the process, however that ends.
    """
    work.mkdir(parents=True, exist_ok=True)
    handle = store.open_plain(work / "lock")
    try:
        store.hold(handle, wait=False)
    except BlockingIOError:
        handle.close()
        raise ValueError(
            f"another campaign is at work in {work}; wait for it, or name another --work"
        ) from None
    for half in list(work.rglob(".*.part")):  # of a write that was cut off
        if half.is_dir() and not half.is_symlink():
            shutil.rmtree(half, ignore_errors=True)
        else:
            half.unlink()
    for rows in work.glob("rows/*.csv"):  # of a job that is done, killed just then
        if (state := work / "runs" / f"{rows.stem}.state").is_file():
            training.forget(state)
    return handle
