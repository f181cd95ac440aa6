"""Small kernels whose order is known, for judging what racecheck reports.

    compute-sanitizer --tool racecheck python3 tests/gpu/race_patterns.py all_readers_arrive

Four warps read what a fifth one writes, eight times over. All but the racy ones are ordered by barriers; they differ in
who announces for whom. One that racecheck reports although it is ordered shows what the tool cannot follow, and a racy one
that it does not report what it cannot find.
"""

import ctypes
import sys

import torch

HEAD = """
.version 8.0
.target sm_90
.address_size 64
"""

KERNEL = """
.visible .entry strobe_pattern_{name}(.param .u64 result) {{
    .reg .pred %p<8>;
    .reg .b32 %r<24>;
    .reg .b64 %rd<4>;
    .shared .align 16 .b8 space_{name}[1024];
    mov.u32 %r1, %tid.x;
    and.b32 %r2, %r1, 31;
    mov.u32 %r3, space_{name};
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra READY;
    mbarrier.init.shared::cta.b64 [%r3], {full_count};
    mbarrier.init.shared::cta.b64 [%r3+8], {empty_count};
READY:
    bar.sync 0;
    mov.u32 %r4, 0;
    mov.u32 %r10, 0;
    mov.u32 %r12, %nctaid.z;
    neg.s32 %r11, %r12;
    setp.ge.u32 %p2, %r1, 128;
    @%p2 bra WRITER;
READER:
    {wait_full}
    and.b32 %r7, %r4, {slot_mask};
    shl.b32 %r7, %r7, 7;
    {release_first}
    {read_address}
    add.u32 %r7, %r7, %r8;
    add.u32 %r7, %r7, %r3;
    ld.shared.u32 %r9, [%r7+64];
    add.u32 %r10, %r10, %r9;
    {release}
    add.u32 %r4, %r4, 1;
    setp.lt.u32 %p4, %r4, 8;
    @%p4 bra READER;
    bra DONE;
WRITER:
    {writers}
WRITE:
    {wait_empty}
    {announce_first}
    and.b32 %r7, %r4, {slot_mask};
    shl.b32 %r7, %r7, 7;
    {write_address}
    add.u32 %r7, %r7, %r8;
    add.u32 %r7, %r7, %r3;
    add.u32 %r9, %r4, 7;
    st.shared.u32 [%r7+64], %r9;
    {announce}
    add.u32 %r4, %r4, 1;
    setp.lt.u32 %p4, %r4, 8;
    @%p4 bra WRITE;
DONE:
    ld.param.u64 %rd1, [result];
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.u32 [%rd3], %r10;
    ret;
}}
"""

ARRIVE_FULL = "mbarrier.arrive.shared::cta.b64 _, [%r3];"
ARRIVE_EMPTY = "mbarrier.arrive.shared::cta.b64 _, [%r3+8];"
FIRST_LANE = "setp.eq.u32 %p5, %r2, 0; @%p5 "
FIRST_THREAD = "setp.eq.u32 %p5, %r1, 0; @%p5 "
WAIT_FULL = """and.b32 %r6, %r4, 1;
WAIT_FULL:
    mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r3], %r6;
    @!%p3 bra WAIT_FULL;"""
WAIT_EMPTY = """and.b32 %r6, %r4, 1;
    xor.b32 %r6, %r6, 1;
WAIT_EMPTY:
    mbarrier.try_wait.parity.shared::cta.b64 %p3, [%r3+8], %r6;
    @!%p3 bra WAIT_EMPTY;"""
ONE_WRITER = "setp.ne.u32 %p6, %r1, 128; @%p6 bra DONE;"
WORD_OF_LANE = "shl.b32 %r8, %r2, 2;"
ONE_WORD = "mov.u32 %r8, 0;"


def pattern(release, announce, full_count=1, empty_count=1, one_writer=True, slots=1, announce_first="",
            release_first=""):
    address = ONE_WORD if one_writer else WORD_OF_LANE
    return dict(release=release, announce=announce, full_count=full_count, empty_count=empty_count, slot_mask=slots - 1,
                writers=ONE_WRITER if one_writer else "", read_address=address, write_address=address,
                announce_first=announce_first, release_first=release_first,
                wait_full=WAIT_FULL, wait_empty=WAIT_EMPTY)  # fmt: skip


def named(free, written):
    """The same between named barriers: 2, the words are free; 3, they are written."""
    made = pattern("", written, one_writer=False)
    made.update(wait_full=free + " bar.sync 3, 160;", wait_empty="bar.sync 2, 160;")
    return made


# name: (whether it is ordered, how it is made)
PATTERNS = {
    # One thread writes; who says that the four warps have read?
    "all_readers_arrive": (True, pattern(ARRIVE_EMPTY, ARRIVE_FULL, empty_count=128)),
    "lane_of_each_reading_warp": (True, pattern("bar.warp.sync -1; " + FIRST_LANE + ARRIVE_EMPTY, ARRIVE_FULL, empty_count=4)),
    "thread_behind_named_barrier": (True, pattern("bar.sync 1, 128; " + FIRST_THREAD + ARRIVE_EMPTY, ARRIVE_FULL)),
    "named_barrier_a_block_later": (True, pattern(FIRST_THREAD + ARRIVE_EMPTY, ARRIVE_FULL, slots=2, release_first="bar.sync 1, 128;")),
    # A warp writes; who says that it has?
    "all_writers_arrive": (True, pattern(ARRIVE_EMPTY, ARRIVE_FULL, full_count=32, empty_count=128, one_writer=False)),
    "lane_of_the_writing_warp": (
        True, pattern(ARRIVE_EMPTY, "bar.warp.sync -1; " + FIRST_LANE + ARRIVE_FULL, empty_count=128, one_writer=False)),
    "lane_behind_a_masked_warp_barrier": (
        True, pattern(ARRIVE_EMPTY, "bar.warp.sync %r11; " + FIRST_LANE + ARRIVE_FULL, empty_count=128, one_writer=False)),
    "readers_behind_a_masked_warp_barrier": (
        True, pattern("bar.warp.sync %r11; " + FIRST_LANE + ARRIVE_EMPTY, ARRIVE_FULL, empty_count=4)),
    # Two named barriers between them: at the one that says that words are free, or written, one side need not wait.
    "arrivals_at_named_barriers": (True, named("bar.arrive 2, 160;", "bar.arrive 3, 160;")),
    "waits_at_named_barriers": (True, named("bar.sync 2, 160;", "bar.sync 3, 160;")),
    # They say so too early.
    "race_of_the_writer": (False, pattern(ARRIVE_EMPTY, "", empty_count=128, announce_first=ARRIVE_FULL)),
    "race_of_the_readers": (False, pattern("", ARRIVE_FULL, empty_count=128, release_first=ARRIVE_EMPTY)),
}  # fmt: skip


def text(name):
    return HEAD + KERNEL.format(name=name, **PATTERNS[name][1])


def launch(name):
    """Launches one pattern on torch's context."""
    result = torch.zeros(160, dtype=torch.int32, device="cuda")
    torch.cuda.synchronize()
    cuda = ctypes.CDLL("libcuda.so.1")
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    address = ctypes.c_uint64(result.data_ptr())
    parameters = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(address), ctypes.c_void_p))
    for code in (
        cuda.cuModuleLoadData(ctypes.byref(module), text(name).encode()),
        cuda.cuModuleGetFunction(ctypes.byref(function), module, f"strobe_pattern_{name}".encode()),
        cuda.cuLaunchKernel(function, 4, 1, 1, 160, 1, 1, 0, None, parameters, None),
    ):
        if code:
            sys.exit(f"CUDA error {code}")
    torch.cuda.synchronize()


if __name__ == "__main__":
    for name in sys.argv[1:] or PATTERNS:
        launch(name)
        print(f"{name}: launched 1, kernels 0", flush=True)
