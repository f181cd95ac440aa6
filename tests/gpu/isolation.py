"""Runs work in forked processes, so that a lost CUDA context or a hang costs one piece of work.

The parent must not have used CUDA; it may have imported torch, which the children
then need not. Children hand back lines of JSON through a file.
"""

import json
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback


class Child:
    """A forked process that runs work(emit), where emit(dict) hands a record back."""

    def __init__(self, work, seconds, label=""):
        handle, self.path = tempfile.mkstemp(suffix=".jsonl")
        os.close(handle)
        self.label, self.started, self.limit, self.timed_out, self.code = label, time.time(), seconds, False, None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(work)

    def _run(self, work):
        code = 1
        try:
            with open(self.path, "a", buffering=1) as file:
                work(lambda record: file.write(json.dumps(record) + "\n"))
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without the parent's exit handlers, which a lost context could hang

    def finished(self):
        """True once the process has ended; kills it when its time is over."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.time() - self.started > self.limit and not self.timed_out:
                self.timed_out = True
                os.kill(self.pid, signal.SIGKILL)
        return self.code is not None

    def wait(self):
        while not self.finished():
            time.sleep(0.02)
        return self.take()

    def take(self):
        """The records, once."""
        records = []
        for line in pathlib.Path(self.path).read_text().splitlines():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                pass  # the process died while it wrote this line
        os.unlink(self.path)
        return records

    def ending(self):
        if self.timed_out:
            return f"stopped after {self.limit:.0f} s"
        if self.code is not None and self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"
