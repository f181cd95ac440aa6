#include "StreamKernel.h"
#include "Walk.h"


namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

bool StreamKernel::scans() const {
    return needs_scan(pass.mask);
}

/** Batches of verdicts between the warp that judges and the thread that copies. With
 * more of them a block would take rows from the queue long before it works on them, and
 * others would have none at the end. */
const int batch_slots = 2;

int StreamKernel::note_bits() const {
    return 1 + 2 * choices.row_groups();
}

/** What is in the note of an iteration: the tile's number above note_bits() bits, which
 * are, from the lowest: the block's last tile; live, for each consumer warpgroup; partial,
 * for each of them. -1 for a block without live tiles. There are twice as many notes as
 * stages, so that a slow warp still finds its own. */
Expr StreamKernel::note_address(const Expr &iteration) const {
    return shared(note_offset) + u32(iteration) % u32(notes) * u32(4);
}

Expr StreamKernel::note_is_last() const {
    return (Code::get_int("note") & 1) != 0;
}

Expr StreamKernel::note_is_live() const {
    return ((Code::get_int("note") >> (row_group() + 1)) & 1) != 0;
}

Expr StreamKernel::note_is_partial() const {
    return (Code::get_int("note") >> (row_group() + (1 + choices.row_groups()))) & 1;
}

int StreamKernel::batch_words() const {
    return 3 + 2 * choices.row_groups();
}

/** Word n of a batch: its first tile; whether it is the block's last; the block of rows,
 * or -1 behind the last one; and for each consumer warpgroup, a bit a tile, the live and the full ones. */
Expr StreamKernel::batch_address(int n) const {
    return shared(batch_offset + 4 * n) + (u32(Code::get_int("batches")) % u32(batch_slots)) * u32(4 * batch_words());
}

Expr StreamKernel::batch_barrier(bool empty) const {
    return barrier(batch_barriers + (empty ? batch_slots : 0)) +
           (u32(Code::get_int("batches")) % u32(batch_slots)) * u32(8);
}

Expr StreamKernel::batch_phase() const {
    return (u32(Code::get_int("batches")) / u32(batch_slots)) & u32(1);
}

/** Barriers and shared memory for what the judging warp passes on. */
int StreamKernel::lay_out_scan(int offset) {
    note_offset = offset;
    notes = 2 * choices.stages;
    batch_offset = note_offset + 4 * notes;
    return batch_offset + 4 * batch_slots * batch_words();
}

int StreamKernel::scan_barriers() const {
    return 2 * batch_slots;
}

const Operand *StreamKernel::first_streamed() const {
    for (const Operand &o : operands) {
        if (o.streamed) {
            return &o;
        }
    }
    return nullptr;
}

namespace {

std::string of_warpgroup(const std::string &name, int w) {
    return name + "_" + std::to_string(w);
}

}  // namespace

/** The lane's tile, `ahead` tiles behind the current step; any one where the range has no more. */
void StreamKernel::set_candidate(Code &code, int ahead) {
    code.set("candidate", min(Code::get_int("step") + (thread_index() % 32 + ahead), Code::get_int("tile_count") - 1) +
                              Code::get_int("tile_first"));
}

/** Reads the summaries of the lane's candidate tile; judge takes them up one step later. */
void StreamKernel::load_summaries(Code &code) {
    for (const Summary &summary : pass.mask.summaries) {
        if (summary.axis == program.query.name) {
            continue;
        }
        const Type type = summary_type(program, summary);
        const Expr at = summary_address(program, summary, arguments, package, params,
                                        params.workspace(order.summaries.at(summary.name)), Code::get_int("candidate"),
                                        [](const std::string &axis) { return Code::get_int("axis_" + plain(axis)); });
        const std::string name = plain(summary.name);
        code.set(name + "_next_least", device::call(type, "load_workspace", {}, {at}));
        code.set(name + "_next_greatest",
                 device::call(type, "load_workspace", {}, {at + UIntImm::make(UInt(64), 4)}));
    }
}

/** The verdicts of 32 tiles for each warpgroup's rows: registers "live_w" and "full_w". */
void StreamKernel::judge(Code &code, Elements &elements) {
    const Expr lane = thread_index() % 32;
    for (const Summary &summary : pass.mask.summaries) {
        if (summary.axis != program.query.name) {
            const Type type = summary_type(program, summary);
            const std::string name = plain(summary.name);
            for (const char *which : {"_least", "_greatest"}) {
                code.set(name + which, device::get(type, name + "_next" + which, 0));
            }
            bind_summary(elements, program, summary, name + "_least", name + "_greatest");
        }
    }
    set_candidate(code, 32);
    load_summaries(code);
    set_candidate(code, 0);
    set_tile(code, elements, program, Code::get_int("candidate"));
    for (int w = 0; w < choices.row_groups(); w++) {
        for (const Summary &summary : pass.mask.summaries) {
            if (summary.axis == program.query.name) {
                const std::string name = plain(summary.name);
                bind_summary(elements, program, summary, of_warpgroup(name + "_least", w),
                             of_warpgroup(name + "_greatest", w));
            }
        }
        code.set("query_lo", Code::get_int("block_lo") + 64 * w);
        // Verdicts that divide would not fit the registers together.
        const auto keep_apart = [&] { code.run("keep_apart", {}, {Code::get_int("batches")}); };
        keep_apart();
        code.set("dead", select(elements.row_value(pass.mask.dead, 0), 1, 0));
        keep_apart();
        code.set("full", select(elements.row_value(pass.mask.full, 0), 1, 0));
        const Expr inside =
            Code::get_int("step") + lane < Code::get_int("tile_count") && Code::get_int("query_lo") <= last_row(64);
        code.set(of_warpgroup("live", w), cast<int32_t>(device::ballot(inside && Code::get_int("dead") == 0)));
        code.set(of_warpgroup("full", w), cast<int32_t>(device::ballot(Code::get_int("full") != 0)));
    }
}

Expr StreamKernel::live_for_any() const {
    Expr any = 0;
    for (int w = 0; w < choices.row_groups(); w++) {
        any = any | Code::get_int(of_warpgroup("live", w));
    }
    return simplify(any);
}

/** A warp of its own walks the queue ahead of the copies and judges 32 tiles at a time. */
Stmt StreamKernel::scanner() {
    Code code;
    Elements block(program, params, code), rows(program, params, code);
    block.last_row = [this] { return last_row(program.query_tile); };
    rows.last_row = [this] { return last_row(64); };
    const Expr lane = thread_index() % 32;
    code.run("grid_wait");  // for the kernels that made the summaries and the order
    load_order(code, order, params);
    code.set("turn", Variable::make(Int(32), "k" + gpu_block_name(0)));
    code.set("batches", Expr(0));
    code.loop(
        "scan_blocks",
        [&] {
            order_ticket(code, program, order, arguments, package, params);
            decode(code, block);
            set_range(code, block, program, pass.mask, "tile_first", "tile_count");
            code.set("block_lo", Code::get_int("query_lo"));
            for (int w = 0; w < choices.row_groups(); w++) {
                code.set("query_lo", Code::get_int("block_lo") + 64 * w);
                for (const Summary &summary : pass.mask.summaries) {
                    if (summary.axis == program.query.name) {
                        const std::string name = plain(summary.name);
                        reduce_over_rows(code, rows, program, summary, 64, last_row(64), of_warpgroup(name + "_least", w),
                                         of_warpgroup(name + "_greatest", w));
                    }
                }
            }
            code.set("step", Expr(0));
            code.set("first_batch", Code::get_int("batches"));
            code.when(Code::get_int("tile_count") > 0, [&] {
                set_candidate(code, 0);
                load_summaries(code);
            });
            code.loop(
                "scan",
                [&] {
                    for (int w = 0; w < choices.row_groups(); w++) {
                        code.set(of_warpgroup("live", w), Expr(0));
                        code.set(of_warpgroup("full", w), Expr(0));
                    }
                    code.when(Code::get_int("tile_count") > 0, [&] { judge(code, rows); });
                    code.set("batch_tile", Code::get_int("tile_first") + Code::get_int("step"));
                    code.set("step", Code::get_int("step") + 32);
                    const Expr is_last = Code::get_int("step") >= Code::get_int("tile_count");
                    code.when(is_last || live_for_any() != 0, [&] {
                        code.when(lane == 0, [&] { send_batch(code, is_last); });
                        code.run("sync_warp");
                        code.set("batches", Code::get_int("batches") + 1);
                    });
                },
                [&] { return Code::get_int("step") < Code::get_int("tile_count"); });
            // The next block is taken when this one's copies begin: those who are earlier
            // would leave the others without work at the end.
            code.when(lane == 0, [&] {
                code.set("sent", Code::get_int("batches"));
                code.when(Code::get_int("sent") - Code::get_int("first_batch") <= batch_slots, [&] {
                    code.set("batches", Code::get_int("first_batch"));
                    code.run("barrier_wait", {}, {batch_barrier(true), batch_phase()});
                });
                code.set("batches", Code::get_int("sent"));
                draw_ticket(code);
            });
            code.run("sync_warp");
            code.set("turn", device::shuffle_from(Code::get_int("ticket"), 0) + params.grid_size());
        },
        [&] { return Code::get_int("turn") < total_work(); });
    code.when(lane == 0, [&] {
        code.set("work", Expr(-1));
        send_batch(code, Expr(1) == 1);
    });
    return rows.with_kernel_values(block.with_kernel_values(code.finish()));
}

void StreamKernel::send_batch(Code &code, const Expr &is_last) {
    code.run("barrier_wait", {}, {batch_barrier(true), batch_phase() ^ u32(1)});
    code.run("store_shared", {}, {batch_address(0), Code::get_int("batch_tile")});
    code.run("store_shared", {}, {batch_address(1), select(is_last, 1, 0)});
    code.run("store_shared", {}, {batch_address(2), Code::get_int("work")});
    for (int w = 0; w < choices.row_groups(); w++) {
        code.run("store_shared", {}, {batch_address(3 + 2 * w), Code::get_int(of_warpgroup("live", w))});
        code.run("store_shared", {}, {batch_address(4 + 2 * w), Code::get_int(of_warpgroup("full", w))});
    }
    code.run("barrier_arrive", {}, {batch_barrier(false)});
}

void StreamKernel::receive_batch(Code &code) {
    const auto word = [&](int n) { return device::call(Int(32), "load_shared", {}, {batch_address(n)}); };
    code.run("barrier_wait", {}, {batch_barrier(false), batch_phase()});
    code.set("batch_tile", word(0));
    code.set("batch_last", word(1));
    code.set("work", word(2));
    for (int w = 0; w < choices.row_groups(); w++) {
        code.set(of_warpgroup("live", w), word(3 + 2 * w));
        code.set(of_warpgroup("full", w), word(4 + 2 * w));
    }
    code.run("barrier_arrive", {}, {batch_barrier(true)});
    code.set("batches", Code::get_int("batches") + 1);
}

/** Lets the warp that loads columns read this iteration's note. */
void StreamKernel::announce_note(Code &code) {
    if (!columns.empty()) {
        const Expr stage = u32(8 * stage_of(*first_streamed(), Code::get_int("iteration")));
        code.run("barrier_arrive", {}, {barrier(note_barriers) + stage});
    }
}

/** Copies the tile found last, now that it is known whether another follows. */
void StreamKernel::emit_pending(Code &code, Elements &elements, bool last) {
    set_tile(code, elements, program, Code::get_int("pending") >> note_bits());
    const Operand *first = first_streamed();
    const Expr iteration = Code::get_int("iteration");
    // The note's slot is free once the first operand's stage is.
    code.run("barrier_wait", {},
             {barrier(first->empty) + u32(8 * stage_of(*first, iteration)), phase_of(*first, iteration) ^ u32(1)});
    code.run("store_shared", {}, {note_address(iteration), last ? Code::get_int("pending") | 1 : Code::get_int("pending")});
    announce_note(code);
    produce_tile(code, elements, true, true);
    code.set("iteration", iteration + 1);
}

/** Tells the consumers that a block has no live tile, through stages that hold nothing. */
void StreamKernel::emit_nothing(Code &code) {
    const Expr iteration = Code::get_int("iteration");
    const Operand *first = first_streamed();
    for (const Operand &o : operands) {
        if (o.streamed) {
            const Expr stage = u32(8 * stage_of(o, iteration));
            code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, iteration) ^ u32(1)});
            if (&o == first) {  // its full barrier lets the consumers read the note
                code.run("store_shared", {}, {note_address(iteration), Expr(-1)});
                announce_note(code);
            }
            code.run("barrier_arrive", {}, {barrier(o.full) + stage});
        }
    }
    code.set("iteration", iteration + 1);
}

/** Copies the tiles that are live for any warpgroup, in order. The block's first batch has been received. */
void StreamKernel::produce_judged(Code &code, Elements &elements) {
    code.set("pending", Expr(-1));
    code.loop(
        "batches",
        [&] {
            code.set("live", live_for_any());
            code.when(Code::get_int("live") != 0, [&] {
                code.loop(
                    "live_tiles",
                    [&] {
                        code.when(Code::get_int("pending") >= 0, [&] { emit_pending(code, elements, false); });
                        code.set("bit", device::call(Int(32), "first_bit", {}, {Code::get_int("live")}));
                        const Expr bit = Code::get_int("bit");
                        Expr note = (Code::get_int("batch_tile") + bit) << note_bits();
                        for (int w = 0; w < choices.row_groups(); w++) {
                            const Expr live = (Code::get_int(of_warpgroup("live", w)) >> bit) & 1;
                            const Expr full = (Code::get_int(of_warpgroup("full", w)) >> bit) & 1;
                            note = note | (live << (1 + w)) | ((full ^ 1) << (1 + choices.row_groups() + w));
                        }
                        code.set("pending", note);
                        code.set("live", Code::get_int("live") & (Code::get_int("live") - 1));
                    },
                    [&] { return Code::get_int("live") != 0; });
            });
            code.set("more_batches", 1 - Code::get_int("batch_last"));
            code.when(Code::get_int("more_batches") != 0, [&] { receive_batch(code); });
        },
        [&] { return Code::get_int("more_batches") != 0; });
    code.set("found", Code::get_int("pending"));
    code.when(Code::get_int("found") >= 0, [&] { emit_pending(code, elements, true); });
    code.when(Code::get_int("found") < 0, [&] { emit_nothing(code); });
}

/** Registers "note", of this iteration, and "done": the block's notes are all read. */
void StreamKernel::read_note(Code &code) {
    const Expr iteration = Code::get_int("iteration");
    wait_full(code, scores, iteration);
    code.set("note", device::shuffle_from(device::call(Int(32), "load_shared", {}, {note_address(iteration)}), 0));
}

void StreamKernel::next_note(Code &code) {
    code.set("done", select(note_is_last(), 1, 0));
    code.when(Code::get_int("done") == 0, [&] { read_note(code); });
}

/** The tiles that are live for this warpgroup's rows; the others pass. */
void StreamKernel::consume_judged(Code &code, Elements &elements) {
    const Expr iteration = Code::get_int("iteration");
    const auto more = [&](const Expr &what) { return Code::get_int("done") == 0 && what; };
    code.set("done", Expr(0));
    read_note(code);
    code.when(Code::get_int("note") < 0, [&] {
        release(code, scores, iteration);
        wait_full(code, sums, iteration);
        release(code, sums, iteration);
        wait_element_tiles(code, true);
        release_element_tiles(code, true);
        code.set("iteration", iteration + 1);
    });
    code.when(Code::get_int("note") >= 0, [&] {
        code.loop(
            "consume_runs",
            [&] {
                code.when(note_is_live(), [&] {
                    consume_tile(code, elements, true);
                    next_note(code);
                    code.when(more(note_is_live()), [&] {
                        code.loop(
                            "consume_tiles",
                            [&] {
                                consume_tile(code, elements, false);
                                next_note(code);
                            },
                            [&] { return more(note_is_live()); });
                    });
                    finish_run(code);
                });
                code.when(more(!note_is_live()), [&] {
                    code.loop(
                        "skip_tiles",
                        [&] {
                            skip_tile(code);
                            next_note(code);
                        },
                        [&] { return more(!note_is_live()); });
                });
            },
            [&] { return Code::get_int("done") == 0; });
    });
}

}  // namespace strobe::cuda
