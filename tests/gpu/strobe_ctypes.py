"""Runs kernel packages on torch CUDA tensors through libstrobe_runtime.so.

    package = Package("causal.strobepkg", library="build/src/libstrobe_runtime.so")
    package.launch({"query": q, "key": k, "value": v, "out": o, "lse": lse}, {"scale": 0.125})

Tensors have torch's order of dimensions, (batch, head, sequence, feature): the
reverse of Halide's. The library is found through the argument, the environment's
STROBE_RUNTIME, or beside this file and in the usual build folders.
"""

import contextlib
import ctypes
import json
import os
import pathlib

MAX_RANK = 8

# torch's name of an element type -> (code of halide_type_t, bits)
TYPES = {
    "torch.bfloat16": (4, 16),
    "torch.float16": (2, 16),
    "torch.float32": (2, 32),
    "torch.float64": (2, 64),
    "torch.int8": (0, 8),
    "torch.int16": (0, 16),
    "torch.int32": (0, 32),
    "torch.int64": (0, 64),
    "torch.uint8": (1, 8),
    "torch.bool": (1, 1),
}


class StrobeError(RuntimeError):
    """What the library reports; `kind` is "argument", "runtime" or "internal"."""

    def __init__(self, code, text):
        super().__init__(text)
        self.kind = {1: "argument", 2: "runtime"}.get(code, "internal")


class Tensor(ctypes.Structure):
    """strobe_tensor of include/strobe/runtime.h."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("sizes", ctypes.c_int64 * MAX_RANK),
        ("strides", ctypes.c_int64 * MAX_RANK),
        ("rank", ctypes.c_int32),
        ("type_code", ctypes.c_uint8),
        ("type_bits", ctypes.c_uint8),
        ("reserved", ctypes.c_uint8 * 2),
    ]


def find_library():
    here = pathlib.Path(__file__).resolve().parent
    root = here.parent.parent
    places = [os.environ.get("STROBE_RUNTIME"), here / "libstrobe_runtime.so"]
    places += sorted(root.glob("build*/src/libstrobe_runtime.so"))
    for place in places:
        if place and pathlib.Path(place).is_file():
            return str(place)
    raise FileNotFoundError("libstrobe_runtime.so: build the target strobe_runtime_shared, or set STROBE_RUNTIME")


def load_library(path=None):
    library = ctypes.CDLL(path or find_library())
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    tensors, doubles = ctypes.POINTER(Tensor), ctypes.POINTER(ctypes.c_double)
    declare = {
        "strobe_package_open": (pointer, [ctypes.c_char_p, size]),
        "strobe_package_close": (None, [pointer]),
        "strobe_package_load": (ctypes.c_int, [pointer]),
        "strobe_package_describe": (ctypes.c_char_p, [pointer]),
        "strobe_launch": (ctypes.c_int, [pointer, tensors, ctypes.c_int, doubles, ctypes.c_int, pointer, ctypes.c_int]),
        "strobe_launch_in": (
            ctypes.c_int,
            [pointer, tensors, ctypes.c_int, doubles, ctypes.c_int, pointer, ctypes.c_int, pointer, size],
        ),
        "strobe_workspace_bytes": (ctypes.c_int64, [pointer, tensors, ctypes.c_int, ctypes.c_int]),
        "strobe_last_error": (ctypes.c_char_p, []),
    }
    for name, (result, arguments) in declare.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def describe_tensor(tensor):
    """A torch tensor (or anything with its shape, stride(), dtype and data_ptr()) as a strobe_tensor."""
    if tensor.dim() > MAX_RANK:
        raise ValueError(f"a tensor has {tensor.dim()} dimensions; legal are at most {MAX_RANK}")
    if str(tensor.dtype) not in TYPES:
        raise ValueError(f"no Strobe type for {tensor.dtype}; there are {', '.join(sorted(TYPES))}")
    made = Tensor()
    made.data = tensor.data_ptr()
    made.rank = tensor.dim()
    made.type_code, made.type_bits = TYPES[str(tensor.dtype)]
    for d, (extent, stride) in enumerate(zip(reversed(tensor.shape), reversed(tensor.stride()))):
        made.sizes[d], made.strides[d] = extent, stride
    return made


class Package:
    """A kernel package from a file or from bytes."""

    def __init__(self, source, library=None):
        self._library = load_library(library)
        data = source if isinstance(source, bytes) else pathlib.Path(source).read_bytes()
        self._handle = self._library.strobe_package_open(data, len(data))
        if not self._handle:
            raise StrobeError(2, self._error())
        self._description = json.loads(self._library.strobe_package_describe(self._handle))
        self._buffers = [buffer["name"] for buffer in self._description["buffers"]]
        self._scalars = [scalar["name"] for scalar in self._description["scalars"]]

    def close(self):
        """Unloads the code; launches must have finished and graphs that hold one must be gone."""
        if self._handle:
            self._library.strobe_package_close(self._handle)
            self._handle = None

    def describe(self):
        """What the package takes and how it runs: the JSON of strobe_package_describe."""
        return self._description

    def load(self):
        """Loads the code into the current device's context now rather than at the first launch."""
        self._check(self._library.strobe_package_load(self._handle))

    def launch(self, tensors, scalars=None, stream=None, plan=-1, workspace=None):
        """Launches on torch's current stream of the tensors' device, or on `stream` (a torch stream or a raw handle).

        `tensors` and `scalars` are by name; exactly those of describe(). `plan` forces
        one of its plans. `workspace` is a uint8 CUDA tensor of workspace_bytes() to
        use in the place of the library's own scratch memory.
        """
        with self._on_device(tensors) as device:
            call = self.prepare(tensors, scalars, stream if stream is not None else _current_stream(device), plan, workspace)
            call()

    def prepare(self, tensors, scalars=None, stream=0, plan=-1, workspace=None):
        """A function without arguments that makes this very launch: for timing loops."""
        array = self._tensors(tensors)
        values = self._in_order(self._scalars, scalars or {}, "scalar")
        doubles = (ctypes.c_double * max(len(values), 1))(*[float(value) for value in values])
        handle = getattr(stream, "cuda_stream", stream)
        room = (workspace.data_ptr(), workspace.numel()) if workspace is not None else (None, 0)
        arguments = (self._handle, array, len(self._buffers), doubles, len(values), handle, plan) + room
        launch, check, keep = self._library.strobe_launch_in, self._check, (array, doubles, tensors, workspace)

        def call(keep=keep):
            check(launch(*arguments))

        return call

    def workspace_bytes(self, tensors, plan=-1):
        """Scratch memory that a launch on these tensors takes; enough for any plan if plan is -1."""
        size = self._library.strobe_workspace_bytes(self._handle, self._tensors(tensors), len(self._buffers), plan)
        if size < 0:
            raise StrobeError(1, self._error())
        return size

    def _tensors(self, tensors):
        ordered = self._in_order(self._buffers, tensors, "tensor")
        return (Tensor * max(len(ordered), 1))(*[describe_tensor(tensor) for tensor in ordered])

    def _in_order(self, names, given, what):
        missing = [name for name in names if name not in given]
        unknown = [name for name in given if name not in names]
        if missing or unknown:
            raise ValueError(f"{self._description['name']} takes the {what}s {names}; missing {missing}, unknown {unknown}")
        return [given[name] for name in names]

    @staticmethod
    @contextlib.contextmanager
    def _on_device(tensors):
        devices = {str(tensor.device) for tensor in tensors.values()}
        if len(devices) != 1 or not next(iter(devices)).startswith("cuda"):
            raise ValueError(f"the tensors must be on one CUDA device, they are on {sorted(devices)}")
        import torch

        device = next(iter(tensors.values())).device
        with torch.cuda.device(device):
            yield device

    def _error(self):
        return self._library.strobe_last_error().decode()

    def _check(self, code):
        if code:
            raise StrobeError(code, self._error())


def _current_stream(device):
    import torch

    return torch.cuda.current_stream(device).cuda_stream


def require_readable(paths, library=None):
    """Ends the program if the library can't read one of the packages: before a GPU's time is spent on the others."""
    problems = []
    for path in paths:
        try:
            Package(path, library=library).close()
        except (StrobeError, OSError) as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise SystemExit("\n".join(problems))
