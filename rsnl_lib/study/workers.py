"""Doing jobs: in processes of this machine within a time budget, or on a Ray cluster; every file
whole or not there.
"""

import io
import multiprocessing
import os
import pathlib
import sys
import threading
import time
import traceback

from .. import env, store
from . import mistakes, training
from .cost import span
from .jobs import Job, called, find
from .results import Results

# glibc keeps a step's big blocks instead of returning them
KEEP = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
QUIET = {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


def finish(job: Job, work, folder=None, device: str = "cpu", draws: int = 2, have=()) -> None:
    """Do one job and write its rows and curves, whole or not at all, under `work`; of a network
    that is trained, the rows that are not in `have`.
    """
    work = pathlib.Path(work)
    stem = job.path().stem
    place = find(job, work)
    state = work / "runs" / f"{stem}.state"
    if place and not state.is_file():
        net, head = store.load_checkpoint(place, device=device)
        d = training.images(job, folder, device)
        rows = store.lines(work / f"rows/{stem}.csv", missing_ok=True) + [
            {**job.row(), "space": d.space, **row, **store.provenance()}
            for row in training.measure(net, d, draws, folder, have, state.with_suffix(".rows"))
        ]
        curves = None
    else:
        rows, curves, state = training.do(job, work, folder, device, draws, runs=work / "runs")
    if job.dataset in mistakes.LEVEL:
        net, _ = store.load_checkpoint(find(job, work), device=device)
        d = training.images(job, folder, device)
        mistakes.save_mistakes(
            work / "mistakes" / f"{stem}.npz",
            mistakes.wrong_labels(net, d.x_test, d.y_test, mistakes.LEVEL[job.dataset], draws),
        )
    store.write(work / f"rows/{stem}.csv", store.table(rows))
    if curves is not None:
        store.write(work / f"curves/{stem}.csv", store.table(curves, store.CURVE_COLUMNS))
    state.unlink(missing_ok=True)
    state.with_suffix(".rows").unlink(missing_ok=True)


def _end_with(parent):
    parent.join()
    os._exit(1)


def _log(job, work):
    """Where a job's words go."""
    return pathlib.Path(work) / "log" / f"{job.path().stem}.log"


def child(job: Job, work, *rest) -> None:
    """`finish` in a process of its own, one thread, its words in a log; it ends when the campaign
    does, however that ends.
    """
    import torch

    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    log = _log(job, work)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", buffering=1) as sys.stdout:
        sys.stderr = sys.stdout
        try:
            finish(job, work, *rest)
        except Exception:
            traceback.print_exc()
            os._exit(1)


def progress_line(done: int, running: int, todo: int, begun: float, ahead: float) -> None:
    print(
        f"{done} done, {running} running, {todo} left, {span(time.time() - begun)} gone, about"
        f" {span(ahead)} to go",
        flush=True,
    )


def ready(todo: dict, running, failed: list) -> list:
    """The jobs of `todo` that can start, in its order: the teacher is neither to be done nor
    running. Students of a failed one fail with it.
    """
    free = [j for j in todo if not (j.guided and (j.teacher() in todo or j.teacher() in running))]
    lost = [j for j in free if j.guided and j.teacher() in failed]
    failed += lost
    for job in lost:
        del todo[job]
    return [j for j in free if j in todo]


def _failure(job, lines):
    """Print that a job failed, with the last of the lines that it left."""
    print(f"FAILED {called(job)}: {lines[-1] if lines else 'no word'}", flush=True)


def on_processes(
    ranked: list,
    work,
    done: Results,
    deadline: float,
    slots: int = 1,
    folder=None,
    device: str = "cpu",
    draws: int = 2,
    begun: float | None = None,
) -> list:
    """Do the jobs of `ranked` in processes, the most valuable that fits the time first; returns
    those that failed.

    At the deadline the running ones are stopped: each goes on from its last whole epoch in the next
    call.
    """
    spawn = multiprocessing.get_context("spawn")
    begun = begun or time.time()
    todo = {job: took for job, _, took in ranked}
    running, failed, ended = {}, [], 0
    os.environ.update(QUIET | KEEP)
    try:
        while todo or running:
            for job, process in list(running.items()):
                if process.exitcode is None:
                    continue
                del running[job]
                if process.exitcode:
                    failed.append(job)
                    _failure(job, _log(job, work).read_text(errors="replace").splitlines())
                else:
                    ended += 1
                progress_line(ended, len(running), len(todo), begun, sum(todo.values()) / slots)
            free = ready(todo, running, failed)
            room = deadline - time.time()
            if room <= 0:
                break
            fits = [j for j in free if todo[j] <= room] or ([] if running else free)
            if fits and len(running) < slots:
                job = fits[0]
                how = (job, str(work), folder, device, draws, set(done.find(job)))
                running[job] = spawn.Process(target=child, args=how)
                running[job].start()
                print(f"started {called(job)}, about {span(todo.pop(job))}", flush=True)
                continue
            if not running:
                break
            time.sleep(0.2)
    finally:
        for process in running.values():
            process.terminate()
            process.join()
    if running or todo:
        print(
            f"time is up: {len(running)} go on from their last whole epoch in the next call,"
            f" {len(todo)} wait",
            flush=True,
        )
    return failed


def _ray(address):
    """The module ray, connected to the cluster at an address ("local" starts one here)."""
    try:
        import ray
    except ImportError:
        raise ValueError(
            "Ray is not installed here; install it with: pip install 'rsnl-lib[ray]'"
        ) from None
    try:
        ray.init(
            address=None if address == "local" else address,
            log_to_driver=False,
            ignore_reinit_error=True,
            runtime_env={"env_vars": {**QUIET, "PYTHONPATH": str(env.ROOT)}},
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address!r} ({str(error).strip().splitlines()[0]}); start"
            " one with `ray start --head`, or give 'local'"
        ) from None
    return ray


def on_ray(
    ranked: list,
    work,
    done: Results,
    deadline: float,
    address: str,
    folder=None,
    gpus: float = 0.0,
    draws: int = 2,
) -> list:
    """The same on a Ray cluster: Ray places the jobs and runs one again whose worker is lost; what
    comes back is written here, once each.
    """
    ray = _ray(address)
    work = pathlib.Path(work)
    begun = time.time()
    device = "cuda" if gpus else "cpu"
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=-1, retry_exceptions=False)(away)
    todo = {job: took for job, _, took in ranked}
    running, failed, ended = {}, [], 0
    while (todo or running) and time.time() < deadline:
        for job in ready(todo, running.values(), failed):
            took = todo.pop(job)
            nets = (job, job.teacher()) if job.guided else (job,)
            files = {p.name: p.read_bytes() for p in (find(j, work) for j in nets) if p}
            ref = remote.remote(job, files, folder, device, draws, set(done.find(job)))
            running[ref] = job
            print(f"handed out {called(job)}, about {span(took)}", flush=True)
        for ref in ray.wait(list(running), timeout=1)[0] if running else []:
            job = running.pop(ref)
            try:
                for name, content in ray.get(ref).items():
                    store.write(work / name, content)
                ended += 1
            except ray.exceptions.RayError as error:
                failed.append(job)
                _failure(job, str(error).strip().splitlines())
            progress_line(ended, len(running), len(todo), begun, sum(todo.values()))
    ray.shutdown()
    return failed


def away(job: Job, files: dict, folder, device: str, draws: int, have: set) -> dict:
    """`finish` on a Ray worker: checkpoints come as bytes and rows, curves and checkpoints go back
    so; a second try goes on from the first's state.
    """
    work = env.data_folder(folder) / "campaign-away" / job.path().stem
    for name, content in files.items():
        store.write(work / name, content)
    finish(job, work, folder, device, draws, have)
    return {
        str(p.relative_to(work)): p.read_bytes()
        for p in sorted(work.rglob("*"))
        if p.is_file() and p.suffix in (".csv", ".safetensors") and p.name not in files
    }


def lock(work) -> io.TextIOBase:
    """Hold a work folder for one campaign at a time; the system lets go of it with the process,
    however that ends.
    """
    work = pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    handle = open(work / "lock", "w")
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: unguarded
        pass
    except OSError:
        handle.close()
        raise ValueError(
            f"another campaign is at work in {work}; wait for it, or name another folder with"
            " --work"
        ) from None
    for half in work.rglob(".*.part"):  # of a write that was cut off
        half.unlink()
    return handle
