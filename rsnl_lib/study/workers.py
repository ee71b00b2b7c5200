"""Doing jobs: in processes of this machine within a time budget, or on a Ray cluster; every file
whole or not there.
"""

import multiprocessing
import os
import pathlib
import sys
import threading
import time
import traceback

from .. import env, store
from . import jobs, mistakes
from .cost import span
from .jobs import called, find, of

KEEP = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
}  # glibc keeps a step's big blocks instead of returning them


def finish(job, work, folder=None, device="cpu", draws=2, have=()):
    """Do one job and write its rows and curves, whole or not at all, under `work`; of a network
    that is trained, the rows that are not in `have`.
    """
    work, stem = pathlib.Path(work), job.path().stem
    place = find(job, work)
    state = work / "runs" / f"{stem}.state"
    if place and not state.is_file():
        net, head = store.load_checkpoint(place, device=device)
        d = jobs.images(job, folder, device)
        rows = store.lines(work / f"rows/{stem}.csv", missing_ok=True) + [
            {**job.row(), "space": d.space, **row, **store.provenance()}
            for row in jobs.measure(net, d, draws, folder, have, state.with_suffix(".rows"))
        ]
        curves = None
    else:
        rows, curves, state = jobs.do(job, work, folder, device, draws, runs=work / "runs")
    if job.dataset in mistakes.LEVEL:
        net, _ = store.load_checkpoint(find(job, work), device=device)
        d = jobs.images(job, folder, device)
        mistakes.write(
            work / "mistakes" / f"{stem}.npz",
            mistakes.find(net, d.x_test, d.y_test, *mistakes.LEVEL[job.dataset], draws),
        )
    for name, lines, columns in (
        (f"rows/{stem}.csv", rows, store.COLUMNS),
        (f"curves/{stem}.csv", curves, store.CURVE_COLUMNS),
    ):
        if lines is not None:
            store.write(work / name, store.table(lines, columns))
    state.unlink(missing_ok=True)
    state.with_suffix(".rows").unlink(missing_ok=True)


def _end_with(parent):
    parent.join()
    os._exit(1)


def child(job, work, *rest):
    """`finish` in a process of its own, one thread, its words in a log; it ends when the campaign
    does, however that ends.
    """
    import torch

    torch.set_num_threads(1)
    threading.Thread(
        target=_end_with, args=(multiprocessing.parent_process(),), daemon=True
    ).start()
    log = pathlib.Path(work) / "log" / f"{job.path().stem}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", buffering=1) as sys.stdout:
        sys.stderr = sys.stdout
        try:
            finish(job, work, *rest)
        except Exception:
            traceback.print_exc()
            os._exit(1)


def progress_line(done, running, todo, begun, ahead):
    print(
        f"{done} done, {running} running, {todo} left, {span(time.time() - begun)} gone, about"
        f" {span(ahead)} to go",
        flush=True,
    )


def ready(todo, running, failed):
    """The jobs of `todo` that can start, in its order: the teacher is neither to be done nor
    running. Students of a failed one fail with it.
    """
    free = [j for j in todo if not (j.guided and (j.teacher() in todo or j.teacher() in running))]
    lost = [j for j in free if j.guided and j.teacher() in failed]
    failed += lost
    for job in lost:
        del todo[job]
    return [j for j in free if j in todo]


def on_processes(
    ranked, work, done, deadline, slots=1, folder=None, device="cpu", draws=2, begun=None
):
    """Do the jobs of `ranked` in processes, the most valuable that fits the time first; returns
    those that failed.

    At the deadline the running ones are stopped: each goes on from its last whole epoch in the next
    call.
    """
    spawn, begun = multiprocessing.get_context("spawn"), begun or time.time()
    todo, running, ended, failed = {job: took for job, _, took in ranked}, {}, 0, []
    os.environ.update(OMP_NUM_THREADS="1", TQDM_DISABLE="1", **KEEP)
    try:
        while todo or running:
            for job, process in list(running.items()):
                if process.exitcode is not None:
                    del running[job]
                    ended += not process.exitcode
                    failed += [job] * bool(process.exitcode)
                    if process.exitcode:
                        log = pathlib.Path(work) / "log" / f"{job.path().stem}.log"
                        print(
                            f"FAILED {called(job)}:"
                            f" {(log.read_text(errors='replace').splitlines() or ['no word'])[-1]}",
                            flush=True,
                        )
                    progress_line(ended, len(running), len(todo), begun, sum(todo.values()) / slots)
            free, room = ready(todo, running, failed), deadline - time.time()
            if room <= 0:
                break
            fits = [j for j in free if todo[j] <= room] or ([] if running else free)
            if fits and len(running) < slots:
                job = fits[0]
                running[job] = spawn.Process(
                    target=child, args=(job, str(work), folder, device, draws, set(of(job, done)))
                )
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


def on_ray(ranked, work, done, deadline, address, folder=None, gpus=0.0, draws=2):
    """The same on a Ray cluster: Ray places the jobs and runs one again whose worker is lost; what
    comes back is written here, once each.
    """
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
            runtime_env={
                "env_vars": {
                    "OMP_NUM_THREADS": "1",
                    "TQDM_DISABLE": "1",
                    "PYTHONPATH": str(env.ROOT),
                }
            },
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address!r} ({str(error).strip().splitlines()[0]}); start"
            " one with `ray start --head`, or give 'local'"
        ) from None
    work, begun, failed = pathlib.Path(work), time.time(), []
    remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=-1, retry_exceptions=False)(away)
    todo, running, ended = {job: took for job, _, took in ranked}, {}, 0
    while (todo or running) and time.time() < deadline:
        for job in ready(todo, running.values(), failed):
            took = todo.pop(job)
            known_files = [find(j, work) for j in ((job, job.teacher()) if job.guided else (job,))]
            files = {p.name: p.read_bytes() for p in known_files if p}
            running[
                remote.remote(
                    job, files, folder, "cuda" if gpus else "cpu", draws, set(of(job, done))
                )
            ] = job
            print(f"handed out {called(job)}, about {span(took)}", flush=True)
        for ref in ray.wait(list(running), timeout=1)[0] if running else []:
            job = running.pop(ref)
            try:
                for name, content in ray.get(ref).items():
                    store.write(work / name, content)
                ended += 1
            except ray.exceptions.RayError as error:
                failed.append(job)
                print(f"FAILED {called(job)}: {str(error).strip().splitlines()[-1]}", flush=True)
            progress_line(ended, len(running), len(todo), begun, sum(todo.values()))
    ray.shutdown()
    return failed


def away(job, files, folder, device, draws, have):
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


def lock(work):
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
