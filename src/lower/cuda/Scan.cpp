#include "StreamKernel.h"
#include "Walk.h"


namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

std::string of_warpgroup(const std::string &name, int w) {
    return name + "_" + std::to_string(w);
}

}  // namespace

bool StreamKernel::scans() const {
    return needs_scan(pass.mask);
}

/** Batches of verdicts between the warp that judges and the thread that copies. With
 * more of them a block would take rows from the queue long before it works on them, and
 * others would have none at the end. */
const int batch_slots = 2;

/** Words of a warpgroup's verdicts on 32 tiles. */
int StreamKernel::words() const {
    return 1 + static_cast<int>(parts.size());
}

int StreamKernel::live_bit(int w) const {
    return 1 + w;
}

/** Of the mask's first part; the others follow. */
int StreamKernel::partial_bit(int w) const {
    return 1 + choices.row_groups() + w * static_cast<int>(parts.size());
}

int StreamKernel::note_bits() const {
    return partial_bit(choices.row_groups());
}

/** What is in the note of an iteration: the tile's number above note_bits() bits, which
 * are, from the lowest: the block's last tile; live, for each consumer warpgroup; for each of
 * them and each part of the mask, that it does not hold for all of the tile. -1 for a block without live tiles. There are twice as many notes as
 * stages, so that a slow warp still finds its own. */
Expr StreamKernel::note_address(const Expr &iteration) const {
    return shared(note_offset) + u32(iteration) % u32(notes) * u32(4);
}

Expr StreamKernel::note_is_last() const {
    return (Code::get_int("note") & 1) != 0;
}

Expr StreamKernel::note_is_live() const {
    return ((Code::get_int("note") >> u32(row_group() + 1)) & 1) != 0;
}

/** A bit for each part of the mask. */
Expr StreamKernel::note_partial() const {
    const int count = static_cast<int>(parts.size());
    return (Code::get_int("note") >> u32(row_group() * count + partial_bit(0))) & ((1 << count) - 1);
}

/** Words of a batch: how many notes; whether it is the block's last; the block of rows, or -1 behind the last one;
 * and the notes. */
const int batch_words = 3 + chunk_tiles;

Expr StreamKernel::batch_address(int n) const {
    return shared(batch_offset + 4 * n) + (u32(Code::get_int("batches")) % u32(batch_slots)) * u32(4 * batch_words);
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
    return batch_offset + 4 * batch_slots * batch_words;
}

int StreamKernel::scan_barriers() const {
    return 2 * batch_slots;
}

/** All lanes write notes. */
int StreamKernel::batch_arrivals(int number) const {
    return number < batch_barriers + batch_slots ? 32 : 1;
}

const Operand *StreamKernel::first_streamed() const {
    for (const Operand &o : operands) {
        if (o.streamed) {
            return &o;
        }
    }
    return nullptr;
}

/** Register "<name>" of a warpgroup's word: 0 is of its live tiles, 1 + p of those that the mask's part p holds for. */
std::string StreamKernel::word_of(const std::string &name, int w, int word) const {
    return of_warpgroup(name, w) + "_" + std::to_string(word);
}

/** Registers "next_<w>_<word>": the verdicts on the lane's chunk, "step" and its own number behind the block's first. */
void StreamKernel::load_verdicts(Code &code, Elements &elements) {
    const Expr number = Code::get_int("step") + thread_index() % 32;
    const Expr chunk = Code::get_int("chunk_first") + number;
    const Expr keys = elements.row_value(program.stream.extent, 0);
    for (int w = 0; w < choices.row_groups(); w++) {
        for (int word = 0; word < words(); word++) {
            code.set(word_of("next", w, word), Expr(0));
        }
    }
    code.when(number < Code::get_int("chunk_count"), [&] {
        const Expr at = verdict_address(order, program, params, keys, Code::get_int("item"), chunk, words());
        for (int n = 0; n < choices.row_groups() * words(); n++) {
            code.set(word_of("next", n / words(), n % words()),
                     device::call(Int(32), "load_workspace", {}, {at + UIntImm::make(UInt(64), 4 * n)}));
        }
    });
}

/** Register "note" of the lane's tile in the chunk whose words are in "word_<w>_<n>". */
void StreamKernel::set_note(Code &code) {
    const Expr lane = thread_index() % 32;
    const auto bit = [&](int w, int word) { return (Code::get_int(word_of("word", w, word)) >> u32(lane)) & 1; };
    const Expr note = Code::get_int("note");
    code.set("note", (Code::get_int("batch_chunk") * chunk_tiles + lane) << note_bits());
    for (int w = 0; w < choices.row_groups(); w++) {
        code.set("note", note | (bit(w, 0) << live_bit(w)));
        for (int p = 1; p < words(); p++) {
            code.set("note", note | ((bit(w, p) ^ 1) << (partial_bit(w) + p - 1)));
        }
    }
}

/** Adds the notes of a chunk's live tiles to the batch, each by the lane that has it. A batch holds those of several
 * chunks, or a sparse mask would keep everybody busy with passing on batches. */
void StreamKernel::send_chunk(Code &code) {
    const Expr lane = thread_index() % 32, live = Code::get_int("live"), filled = Code::get_int("filled");
    code.set("live", Expr(0));
    for (int w = 0; w < choices.row_groups(); w++) {
        code.set("live", live | Code::get_int(word_of("word", w, 0)));
    }
    set_note(code);
    code.set("before", cast<int32_t>(popcount(u32(live) & ((u32(1) << u32(lane)) - u32(1)))));
    code.set("count", cast<int32_t>(popcount(u32(live))));
    const Expr is_last = Code::get_int("is_last") != 0 && Code::get_int("before") == Code::get_int("count") - 1;
    code.set("note", Code::get_int("note") | select(is_last, 1, 0));
    code.when(filled + Code::get_int("count") > chunk_tiles, [&] {
        end_batch(code, filled, Expr(0));
        code.set("filled", Expr(0));
    });
    code.when(filled == 0, [&] { begin_batch(code); });
    code.when(((live >> u32(lane)) & 1) != 0, [&] {
        code.run("store_shared", {}, {batch_address(3) + u32((filled + Code::get_int("before")) * 4), Code::get_int("note")});
    });
    code.set("filled", filled + Code::get_int("count"));
    code.when(Code::get_int("is_last") != 0, [&] { end_batch(code, filled, Expr(1)); });
}

/** Passes on the chunks of this step that have live tiles. The block's last chunk has one, if there is any. */
void StreamKernel::send_chunks(Code &code) {
    const Expr any = Code::get_int("any");
    code.set("any", Expr(0));
    for (int w = 0; w < choices.row_groups(); w++) {
        code.set("any", any | Code::get_int(word_of("next", w, 0)));
    }
    code.set("any", cast<int32_t>(device::ballot(any != 0)));
    code.when(any != 0, [&] {
        code.loop(
            "send",
            [&] {
                code.set("chunk", device::call(Int(32), "first_bit", {}, {any}));
                for (int w = 0; w < choices.row_groups(); w++) {
                    for (int word = 0; word < words(); word++) {
                        code.set(word_of("word", w, word),
                                 device::shuffle_from(Code::get_int(word_of("next", w, word)), Code::get_int("chunk")));
                    }
                }
                code.set("chunk", Code::get_int("chunk") + Code::get_int("step"));
                code.set("is_last", select(Code::get_int("chunk") == Code::get_int("chunk_count") - 1, 1, 0));
                code.set("batch_chunk", Code::get_int("chunk") + Code::get_int("chunk_first"));
                send_chunk(code);
                code.set("any", any & (any - 1));
            },
            [&] { return any != 0; });
    });
}

/** A warp of its own walks the queue ahead of the copies and fetches what has been judged. */
Stmt StreamKernel::scanner() {
    Code code;
    Elements elements(program, params, code);
    elements.last_row = [this] { return last_row(program.query_tile); };
    const Expr lane = thread_index() % 32;
    code.run("grid_wait");  // for the kernels that judged, and made the order
    load_order(code, order, params);
    code.set("turn", Variable::make(Int(32), "k" + gpu_block_name(0)));
    code.set("batches", Expr(0));
    code.loop(
        "scan_blocks",
        [&] {
            order_ticket(code, program, order, arguments, package, params);
            load_chunks(code, order, params);
            code.set("step", Expr(0));
            code.set("filled", Expr(0));
            code.set("first_batch", Code::get_int("batches"));
            const Expr count = Code::get_int("chunk_count");
            code.when(count == 0, [&] {
                begin_batch(code);
                end_batch(code, Expr(0), Expr(1));
            });
            code.when(count > 0, [&] {
                code.loop(
                    "scan",
                    [&] {
                        load_verdicts(code, elements);
                        send_chunks(code);
                        code.set("step", Code::get_int("step") + 32);
                    },
                    [&] { return Code::get_int("step") < count; });
            });
            // The next block is taken when this one's copies begin, which is when the batch before is done
            // with: those who are earlier would leave the others without work at the end.
            code.when(lane == 0, [&] {
                code.set("sent", Code::get_int("batches"));
                code.when(Code::get_int("first_batch") > 0 &&
                              Code::get_int("sent") - Code::get_int("first_batch") < batch_slots,
                          [&] {
                              code.set("batches", Code::get_int("first_batch") - 1);
                              code.run("barrier_wait", {}, {batch_barrier(true), batch_phase()});
                          });
                code.set("batches", Code::get_int("sent"));
                draw_ticket(code);
            });
            code.run("sync_warp");
            code.set("turn", device::shuffle_from(Code::get_int("ticket"), 0) + params.grid_size());
        },
        [&] { return Code::get_int("turn") < total_work(); });
    code.set("work", Expr(-1));
    begin_batch(code);
    end_batch(code, Expr(0), Expr(1));
    return elements.with_kernel_values(code.finish());
}

/** By the whole warp: its slot is free. */
void StreamKernel::begin_batch(Code &code) {
    code.run("barrier_wait", {}, {batch_barrier(true), batch_phase() ^ u32(1)});
}

void StreamKernel::end_batch(Code &code, const Expr &count, const Expr &is_last) {
    code.when(thread_index() % 32 == 0, [&] {
        code.run("store_shared", {}, {batch_address(0), count});
        code.run("store_shared", {}, {batch_address(1), is_last});
        code.run("store_shared", {}, {batch_address(2), Code::get_int("work")});
    });
    code.run("barrier_arrive", {}, {batch_barrier(false)});
    code.set("batches", Code::get_int("batches") + 1);
}

void StreamKernel::receive_batch(Code &code) {
    const auto word = [&](int n) { return device::call(Int(32), "load_shared", {}, {batch_address(n)}); };
    code.run("barrier_wait", {}, {batch_barrier(false), batch_phase()});
    code.set("batch_notes", word(0));
    code.set("batch_last", word(1));
    code.set("work", word(2));
}

void StreamKernel::release_batch(Code &code) {
    if (copies_by_warp()) {
        code.run("sync_warp");  // all have read it
    }
    by_one(code, [&] { code.run("barrier_arrive", {}, {batch_barrier(true)}); });
    code.set("batches", Code::get_int("batches") + 1);
}

/** Lets the warp that loads columns read this iteration's note. */
void StreamKernel::announce_note(Code &code) {
    if (!columns.empty()) {
        const Expr stage = u32(8 * stage_of(*first_streamed(), Code::get_int("iteration")));
        code.run("barrier_arrive", {}, {barrier(note_barriers) + stage});
    }
}

/** Writes the note of this iteration; its slot is free once the first operand's stage is. */
void StreamKernel::write_note(Code &code) {
    code.run("store_shared", {}, {note_address(Code::get_int("iteration")), Code::get_int("note")});
    announce_note(code);
}

/** Tells the consumers that a block has no live tile, through stages that hold nothing. */
void StreamKernel::emit_nothing(Code &code) {
    const Expr iteration = Code::get_int("iteration");
    const Operand *first = first_streamed();
    for (const Operand &o : operands) {
        if (o.streamed) {
            const Expr stage = u32(8 * stage_of(o, iteration));
            code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, iteration) ^ u32(1)});
            by_one(code, [&] {
                if (&o == first) {  // its full barrier lets the consumers read the note
                    code.set("note", Expr(-1));
                    write_note(code);
                }
                code.run("barrier_arrive", {}, {barrier(o.full) + stage});
            });
        }
    }
    code.set("iteration", iteration + 1);
}

/** Copies the tiles that are live for any warpgroup, in order. The block's first batch has been received. Inside of a
 * batch what the sums need follows a tile behind, as in produce_range. */
void StreamKernel::produce_judged(Code &code, Elements &elements) {
    const int behind = tiles_behind();
    const auto produce_late = [&] {  // of the tile before
        code.set("next_lo", Code::get_int("stream_lo"));
        code.set("stream_lo", Code::get_int("late_lo"));
        code.set("iteration", Code::get_int("iteration") - 1);
        produce_tile(code, elements, false, true);
        code.set("iteration", Code::get_int("iteration") + 1);
        code.set("stream_lo", Code::get_int("next_lo"));
    };
    code.loop(
        "batches",
        [&] {
            code.set("at", Expr(0));
            code.when(Code::get_int("batch_notes") == 0, [&] { emit_nothing(code); });
            code.when(Code::get_int("batch_notes") > 0, [&] {
                code.loop(
                    "live_tiles",
                    [&] {
                        const Expr address = batch_address(3) + u32(Code::get_int("at") * 4);
                        code.set("note", device::call(Int(32), "load_shared", {}, {address}));
                        set_tile(code, elements, program, Code::get_int("note") >> note_bits());
                        produce_tile(code, elements, true, behind == 0);
                        if (behind > 0) {
                            code.when(Code::get_int("at") > 0, produce_late);
                        }
                        code.set("late_lo", Code::get_int("stream_lo"));
                        code.set("iteration", Code::get_int("iteration") + 1);
                        code.set("at", Code::get_int("at") + 1);
                    },
                    [&] { return Code::get_int("at") < Code::get_int("batch_notes"); });
                if (behind > 0) {
                    produce_late();
                }
            });
            code.set("more_batches", 1 - Code::get_int("batch_last"));
            release_batch(code);
            code.when(Code::get_int("more_batches") != 0, [&] { receive_batch(code); });
        },
        [&] { return Code::get_int("more_batches") != 0; });
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
