#include "DeviceMath.h"
#include "StreamKernel.h"
#include "Walk.h"

#include "support/Error.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

std::string matrix_type(Type t) {
    return t.is_bfloat() ? "bf16" : "f16";
}

/** Low word of the matrix descriptor of a swizzled operand at a shared address: where
 * it is, and how far apart its panels are. In 16-byte units, so offsets are added. */
Expr descriptor(const Expr &address, int panel_bytes) {
    return ((address & u32(0x3FFFF)) >> u32(4)) | u32((panel_bytes >> 4) << 16);
}

/** Tells ptxas that a value is the same in the whole warp, so that what depends on it,
 * down to the matrix descriptors, stays in uniform registers. */
Expr uniform(const Expr &e) {
    return device::shuffle_from(e, 0);
}

std::string packed(const std::string &weights) {
    return plain(weights) + "_packed";
}

std::string held(const std::string &rows) {
    return plain(rows) + "_held";
}

/** x in dst = dst * x, where x does not depend on the column; undefined otherwise. */
Expr rescale_factor(const TileOp &op, const Elements &elements) {
    const Mul *product = op.expr.as<Mul>();
    if (op.kind != TileOp::Kind::Map || !product) {
        return Expr();
    }
    for (const auto &[dst, factor] : {std::pair(product->a, product->b), std::pair(product->b, product->a)}) {
        const Variable *v = dst.as<Variable>();
        if (v && v->name == op.dst && !elements.dependence(factor).differs()) {
            return factor;
        }
    }
    return Expr();
}

}  // namespace

/** Starts scores = rows x streamed rows, transposed, for the tile in this iteration's stages. */
void StreamKernel::start_scores(Code &code, const Expr &iteration) {
    code.run("wgmma_fence");
    for (const TileOp *op : scores) {
        const Operand &a = operand(op->a), &b = operand(op->b);
        const int n = program.value(op->dst).dims[1].size;
        const Expr rows = Variable::make(UInt(32), "descriptor_" + plain(op->a)) +
                          u32(stage_of(a, Code::get_int("works")) * (a.stage_bytes() >> 4));
        const std::string type = matrix_type(op->operand_type), size = std::to_string(n), dst = plain(op->dst);
        const Expr columns = Variable::make(UInt(32), "descriptor_" + plain(op->b)) +
                             u32(stage_of(b, iteration) * (b.stage_bytes() >> 4));
        for (int k = 0; k < (a.columns + 15) / 16; k++) {
            const int panel = k / 4, bytes = (k % 4) * 32;
            const Expr column = columns + u32((panel * b.panel_bytes() + bytes) >> 4);
            const std::string accumulate = k > 0 ? "1" : "0";
            if (op->held) {
                code.run("wgmma_rs", {type, size, dst, held(op->a), std::to_string(4 * k), accumulate, "0"}, {column});
            } else {
                code.run("wgmma_ss", {type, size, dst, accumulate, "0"},
                         {rows + u32((panel * a.panel_bytes() + bytes) >> 4), column});
            }
        }
    }
    code.run("wgmma_commit");
}

/** Reads the block's row operands that scores want in registers, once for all tiles: lanes 0 to 15 say where rows' first
 * eight columns lie, the others where the next eight do. */
void StreamKernel::hold_rows(Code &code) {
    std::set<std::string> done;
    for (const TileOp *op : scores) {
        if (!op->held || !done.insert(op->a).second) {
            continue;
        }
        const Operand &o = operand(op->a);
        const Expr lane = thread_index() % 32;
        const Expr row = row_group() * 64 + thread_index() % 128 / 32 * 16 + lane % 16;
        const Expr stage = stage_of(o, Code::get_int("works")) * o.stage_bytes();
        code.set("held_row", cast<int32_t>(shared(o.offset) + u32(stage + row * 128)));
        code.set("held_chunk", (lane / 16 ^ lane % 8) * 16);
        for (int k = 0; k < (o.columns + 15) / 16; k++) {
            const Expr chunk = Code::get_int("held_chunk") ^ Expr(k % 4 * 32);
            code.run("ldmatrix", {"plain", held(op->a), std::to_string(4 * k)},
                     {u32(Code::get_int("held_row") + chunk + k / 4 * o.panel_bytes())});
        }
    }
}

/** Starts accumulator += packed weights x streamed rows. */
void StreamKernel::start_sums(Code &code, const Expr &iteration, bool last) {
    code.run("wgmma_fence");
    for (const TileOp *op : sums) {
        const Operand &b = operand(op->b);
        const int n = (b.columns + 7) / 8 * 8;
        Expr base = Variable::make(UInt(32), "descriptor_" + plain(op->b)) +
                    u32(stage_of(b, iteration) * (b.stage_bytes() >> 4));
        if (last) {
            // Through a shuffle, or ptxas works out this contraction's descriptors
            // inside the loop, in each step anew, and runs out of registers.
            base = device::shuffle_from(base, 0);
        }
        code.set("sum_base", base);
        base = device::get(UInt(32), "sum_base", 0);
        for (int k = 0; k < b.rows / 16; k++) {
            code.run("wgmma_rs",
                     {matrix_type(op->operand_type), std::to_string(n), plain(op->dst), packed(op->a),
                      std::to_string(4 * k), "1", "1"},
                     {base + u32((k * 2048) >> 4)});
        }
    }
    code.run("wgmma_commit");
}

/** Rounds the weights to the operand type, in the layout of a matrix operand: which
 * is pairwise the layout of the fragment they were computed in. */
void StreamKernel::pack_weights(Code &code) {
    std::set<std::string> done;
    for (const TileOp *op : sums) {
        if (!done.insert(op->a).second) {
            continue;
        }
        const std::string from = plain(op->a);
        for (int k = 0; k < program.stream_tile / 16; k++) {
            for (int q = 0; q < 4; q++) {
                const int element = 4 * (2 * k + q / 2) + 2 * (q % 2);
                code.run("pack_to", {matrix_type(op->operand_type), packed(op->a), std::to_string(4 * k + q)},
                         {Code::get_float(from, element), Code::get_float(from, element + 1)});
            }
        }
    }
}

/** With ping-pong, the warpgroups start their contractions in turn, so that one's
 * elementwise work runs under another's contractions. */
void StreamKernel::take_turn(Code &code) {
    if (choices.pingpong) {
        code.run("named_sync", {}, {u32(warpgroup() + 1), u32(256)});
    }
}

void StreamKernel::pass_turn(Code &code) {
    if (choices.pingpong) {
        const Expr next = warpgroup() + 2;
        code.run("named_arrive", {},
                 {u32(select(next > choices.consumers, 1, next)), u32(256)});
    }
}

void StreamKernel::release(Code &code, const std::vector<const TileOp *> &contractions, const Expr &iteration) {
    for (const Operand *b : streamed_of(contractions)) {
        const Expr empty = barrier(b->empty) + u32(8 * stage_of(*b, iteration));
        if (b->by_threads) {
            code.run("barrier_arrive", {}, {empty});
        } else {
            code.run("barrier_arrive_if", {}, {empty, select(thread_index() % 128 == 0, 1, 0)});
        }
    }
}

/** A condition at a time, those that do not hold for all of the tile. */
void StreamKernel::emit_mask(Code &code, Elements &elements, const TileOp &op) {
    const Expr partial = Code::get_int("partial");
    const Select *masked = op.expr.as<Select>();
    if (!equal(masked->condition, pass.mask.guard)) {
        code.when(partial != 0, [&] { elements.map(op); });
        return;
    }
    for (size_t p = 0; p < parts.size(); p++) {
        TileOp part = op;
        part.expr = select(parts[p].guard, masked->true_value, masked->false_value);
        code.when((partial & (1 << p)) != 0, [&] { elements.map(part); });
    }
}

/** Register "partial": a bit for each part of the mask that does not hold for all of the tile. */
void StreamKernel::set_partial(Code &code, Elements &elements) {
    if (scans()) {
        code.set("partial", note_partial());
        return;
    }
    Expr partial = 0;
    for (size_t p = 0; p < parts.size(); p++) {
        partial = partial | select(elements.row_value(parts[p].full, 0), 0, 1 << p);
    }
    code.set("partial", simplify(partial));
}

void StreamKernel::emit_op(Code &code, Elements &elements, const TileOp &op, bool first) {
    const auto emit = [&] {
        if (op.kind == TileOp::Kind::Reduce) {
            elements.reduce(op, lane_partial.count(op.dst) == 0);
        } else {
            elements.map(op);
        }
    };
    const Expr factor = accumulators.count(op.dst) ? rescale_factor(op, elements) : Expr();
    if (op.when == TileOp::When::Partial) {
        elements.apart = Code::get_int("iteration");
        emit_mask(code, elements, op);
        elements.apart = Expr();
    } else if (!factor.defined()) {
        emit();
    } else if (!first || scans()) {  // before the first tile an accumulator is zero
        const Expr changed = elements.row_value(factor, 0) != 1.0f || elements.row_value(factor, 1) != 1.0f;
        code.when(device::ballot(changed) != u32(0), emit);
    }
}

/** Without ops on accumulators, the wait for these is only for the stages' sake. It stands in the middle of the first
 * map: before it nothing would overlap unless other warpgroups' turns fill the time, and behind it the stages would be
 * free too late. False if there is no map of a fragment. */
bool StreamKernel::elementwise_around(Code &code, Elements &elements, const std::vector<const TileOp *> &ops, bool first,
                                      const std::function<void()> &finish_sums) {
    const auto is_map = [&](const TileOp *op) {
        return op->kind == TileOp::Kind::Map && op->when == TileOp::When::Always && program.value(op->dst).dims.size() > 1 &&
               elements.operands.count(op->dst);
    };
    const auto around = std::find_if(ops.begin(), ops.end(), is_map);
    if (around == ops.end()) {
        return false;
    }
    for (const TileOp *op : ops) {
        elements.halfway = op == *around ? finish_sums : nullptr;
        emit_op(code, elements, *op, first);
        elements.halfway = nullptr;
    }
    return true;
}

/** The step's maps and reductions. Those on accumulators come as soon as what they
 * read has been computed, behind finish_sums, which waits for the contractions. */
void StreamKernel::elementwise(Code &code, Elements &elements, bool first, const std::function<void()> &finish_sums) {
    std::vector<const TileOp *> late, others;
    for (const TileOp &op : pass.step) {
        if (is_own(op) && (op.kind == TileOp::Kind::Map || op.kind == TileOp::Kind::Reduce)) {
            (accumulators.count(op.dst) ? late : others).push_back(&op);
        }
    }
    // The last op that computes something the late ones read, and the last that reads tiles of elements.
    size_t ready = 0, tiles = 0;
    for (size_t n = 0; n < others.size(); n++) {
        tiles = reads_element_tile(*others[n]) ? n + 1 : tiles;
    }
    for (size_t n = 0; n < others.size(); n++) {
        for (const TileOp *op : late) {
            const bool is_read = expr_uses_var(op->expr, others[n]->dst);
            const bool redefined = expr_uses_var(others[n]->expr, others[n]->dst);
            ready = is_read && !redefined ? n + 1 : ready;
        }
    }
    if (late.empty() && !choices.pingpong && elementwise_around(code, elements, others, first, finish_sums)) {
        release_element_tiles(code, true);
        return;
    }
    // Where warpgroups take turns, others' contractions come before the own ones: these are not done at the maxima,
    // unless much was computed before. With two stages, waiting longer would hold up the next tile's copy.
    const bool early = std::any_of(others.begin(), others.begin() + ready, [&](const TileOp *op) {
        return program.value(op->dst).dims.size() > 1 && calls_math(op->expr);
    });
    ready = choices.pingpong && choices.stages > 2 && !late.empty() && !early ? others.size() : ready;
    for (size_t n = 0; n <= others.size(); n++) {
        if (n == ready) {
            finish_sums();
            for (const TileOp *op : late) {
                emit_op(code, elements, *op, first);
            }
        }
        if (n == std::max(ready, tiles)) {
            release_element_tiles(code, true);
        }
        if (n < others.size()) {
            emit_op(code, elements, *others[n], first);
        }
    }
}

void StreamKernel::consume_tile(Code &code, Elements &elements, bool first) {
    const Expr iteration = Code::get_int("iteration");
    if (scans()) {
        set_tile(code, elements, program, Code::get_int("note") >> note_bits());
    } else {
        code.set("stream_lo", Code::get_int("stream_lo") - program.stream_tile);
        wait_full(code, scores, iteration);
    }
    take_turn(code);
    start_scores(code, iteration);
    if (!first) {
        wait_full(code, sums, iteration - 1);
        start_sums(code, iteration - 1, false);
    }
    if (!first) {
        pass_turn(code);
    }
    elements.forget_preloaded();
    for (const TileOp &op : pass.step) {
        if (op.kind == TileOp::Kind::Map && op.when == TileOp::When::Always && is_own(op)) {
            elements.preload(op);
        }
    }
    wait_element_tiles(code, true);
    code.run("wgmma_wait", {first ? "0" : "1"});
    if (first) {
        pass_turn(code);
    }
    release(code, scores, iteration);
    set_partial(code, elements);
    if (!columns.empty()) {
        code.set("columns", cast<int32_t>(column_address(iteration) + u32(thread_index() % 4 * 8)));
    }
    elementwise(code, elements, first, [&] {
        if (!first) {
            code.run("wgmma_wait_here", {"0"}, {iteration});
            release(code, sums, iteration - 1);
        }
    });
    pack_weights(code);
    code.set("iteration", iteration + 1);
}

/** Waits until the streamed operands of these contractions have arrived. */
void StreamKernel::wait_full(Code &code, const std::vector<const TileOp *> &contractions, const Expr &iteration) {
    for (const Operand *b : streamed_of(contractions)) {
        code.run("barrier_wait", {}, {barrier(b->full) + u32(8 * stage_of(*b, iteration)), phase_of(*b, iteration)});
    }
}

/** Lets a tile pass in which none of this warpgroup's rows has a live element. */
void StreamKernel::skip_tile(Code &code) {
    const Expr iteration = Code::get_int("iteration");
    take_turn(code);
    pass_turn(code);
    wait_full(code, scores, iteration);
    wait_full(code, sums, iteration);
    sync_warpgroup(code);  // without contractions nothing else keeps its warps together
    release(code, scores, iteration);
    release(code, sums, iteration);
    wait_element_tiles(code, true);
    release_element_tiles(code, true);
    code.set("iteration", iteration + 1);
}

/** Tiles are walked from the last to the first. Registers: "skips", the tiles to let
 * pass before those that meet the range of this warpgroup's rows, which is part of
 * the block's; "stream_lo", the corner of the tile before the first of them; and
 * "stream_stop", the corner of the last of them, or "stream_lo" if there is none. */
void StreamKernel::set_own_range(Code &code, Elements &elements) {
    const Expr end = Code::get_int("tile_first") + Code::get_int("tile_count");
    if (has_range()) {
        set_range(code, elements, program, pass.mask, "own_first", "own_count");
        const Expr own_end = Code::get_int("own_first") + Code::get_int("own_count");
        code.set("skips", select(Code::get_int("own_count") > 0, clamp(end - own_end, 0, Code::get_int("tile_count")),
                                 Code::get_int("tile_count")));
    } else {
        code.set("own_first", Code::get_int("tile_first"));
        code.set("skips", Expr(0));
    }
    // Rows beyond the end of the tensor have no tile.
    code.when(Code::get_int("query_lo") > last_row(64), [&] { code.set("skips", Code::get_int("tile_count")); });
    set_tile(code, elements, program, end - Code::get_int("skips"));
    code.set("stream_stop", Code::get_int("stream_lo") -
                                (end - Code::get_int("skips") - max(Code::get_int("own_first"), Code::get_int("tile_first"))) *
                                    program.stream_tile);
    code.when(Code::get_int("skips") == Code::get_int("tile_count"),
              [&] { code.set("stream_stop", Code::get_int("stream_lo")); });
}

void StreamKernel::skip_tiles(Code &code) {
    code.when(Code::get_int("skips") > 0, [&] {
        code.loop("skip_tiles", [&] {
            skip_tile(code);
            code.set("skips", Code::get_int("skips") - 1);
        }, [&] { return Code::get_int("skips") > 0; });
    });
}

/** The contractions of a run's last tile, which no further tile starts. */
void StreamKernel::finish_run(Code &code) {
    const Expr last = Code::get_int("iteration") - 1;
    wait_full(code, sums, last);
    start_sums(code, last, true);
    code.run("wgmma_wait", {"0"});
    release(code, sums, last);
}

/** The tiles that meet this warpgroup's rows; the rest of the block's pass. */
void StreamKernel::consume_range(Code &code, Elements &elements) {
    const auto more = [] { return Code::get_int("stream_lo") > Code::get_int("stream_stop"); };
    set_own_range(code, elements);
    skip_tiles(code);
    if (shares_result_buffers()) {
        code.when(!more(), [&] { release_result_buffers(code); });
    }
    code.when(more(), [&] {
        consume_tile(code, elements, true);
        release_result_buffers(code);
        code.when(more(), [&] {
            code.loop("consume_tiles", [&] { consume_tile(code, elements, false); }, more);
        });
        finish_run(code);
    });
    // What only the epilogue needs is read again, rather than held through the loop.
    read_slot(code);
    if (has_range()) {
        const Expr first = elements.row_value(program.stream.min, 0);
        code.set("skips", (Code::get_int("stream_lo") - first) / program.stream_tile - Code::get_int("tile_first"));
        skip_tiles(code);
    }
}

/** The block's coordinates from the producer; the rows are this warpgroup's own. */
void StreamKernel::read_slot(Code &code) {
    const std::vector<std::string> registers = slot_registers();
    for (size_t n = 1; n < registers.size(); n++) {
        code.set(registers[n], uniform(device::call(Int(32), "load_shared", {}, {slot_address(n)})));
    }
    code.set("query_lo", Code::get_int("query_lo") + row_group() * 64);
    code.set("row0", Code::get_int("query_lo") + row_of_thread());
}

void StreamKernel::consume_block(Code &code, Elements &elements) {
    read_slot(code);
    const Stmt rest = code.block([&] {
        for (const Operand &o : operands) {
            if (o.in_block()) {
                compute_rows(code, elements, o);
            }
        }
        hold_rows(code);
        for (const TileOp &op : pass.prologue) {
            if (op.kind != TileOp::Kind::Fill || !is_own(op)) {
                continue;
            }
            const TileValue &v = program.value(op.dst);
            const int count = v.dims.size() < 2 ? 2 : (v.dims[1].size + 7) / 8 * 4;
            for (int i = 0; i < count; i++) {
                code.set(plain(op.dst), i, op.expr);
            }
        }
        if (scans()) {
            release_result_buffers(code);
            consume_judged(code, elements);
            read_slot(code);
        } else {
            consume_range(code, elements);
        }
        code.run("barrier_arrive", {}, {rows_empty()});
        epilogue(code, elements);
    });
    for (const Stmt &s : elements.block_start) {
        code.emit(s);
    }
    code.emit(rest);
}

/** Each warpgroup runs the code of its chain. */
Stmt StreamKernel::consumer() {
    Stmt body;
    for (chain = static_cast<int>(chains.size()); chain-- > 0;) {
        use_chain(chain);
        const Stmt own = consumer_of_chain();
        const Expr number = uniform(thread_index() / 128 - 1) % choices.chains;
        body = body.defined() ? IfThenElse::make(number == chain, own, body) : own;
    }
    chain = 0;
    return Block::make(device::run("registers_grow", {std::to_string(choices.consumer_registers)}), body);
}

Stmt StreamKernel::consumer_of_chain() {
    Code code("chain" + std::to_string(chain) + "_");
    Elements elements(program, params, code);
    for (const TileOp *op : scores) {
        // A score fragment that only one value is computed from may be reused for it.
        int readers = 0;
        for (const TileOp &other : pass.step) {
            readers += other.expr.defined() && expr_uses_var(other.expr, op->dst);
        }
        if (readers == 1) {
            elements.consumable.insert(op->dst);
        }
    }
    for (const TileOp *op : sums) {
        elements.operands.insert(op->a);
        const bool read = std::any_of(pass.step.begin(), pass.step.end(), [&](const TileOp &other) {
            return other.dst != op->a && other.expr.defined() && expr_uses_var(other.expr, op->a);
        });
        if (!read && op->operand_type.is_bfloat()) {
            elements.narrow_operands.insert(op->a);
        }
    }
    elements.last_row = [this] { return last_row(64); };
    elements.all_live = Code::get_int("partial") == 0;
    elements.turns = choices.pingpong;
    elements.staged_column = [this](const Expr &load, int offset) { return staged_column(load, offset); };
    elements.has_tile = [this](const Expr &load, const std::string &axis) { return element_tile(load, axis) != nullptr; };
    elements.read_tile = [this, &code](const Expr &load, const std::string &axis, int number, const std::string &to) {
        read_element_tile(code, *element_tile(load, axis), number, to);
    };
    code.set("warpgroup", uniform(thread_index() / 128 - 1));
    code.set("works", Expr(0));
    code.set("iteration", Expr(0));
    if (choices.pingpong) {
        code.when(warpgroup() == choices.consumers - 1,
                  [&] { code.run("named_arrive", {}, {u32(1), u32(256)}); });
    }
    code.loop(
        "consume",
        [&] {
            code.run("barrier_wait", {}, {rows_full(), rows_phase()});
            code.set("work", uniform(device::call(Int(32), "load_shared", {}, {slot_address(0)})));
            code.when(Code::get_int("work") >= 0, [&] { consume_block(code, elements); });
            code.set("works", Code::get_int("works") + 1);
        },
        [&] { return Code::get_int("work") >= 0; });
    if (choices.pingpong) {
        code.when(warpgroup() == 0,
                  [&] { code.run("named_sync", {}, {u32(1), u32(256)}); });
    }
    code.run("bulk_wait");
    Stmt body = elements.with_kernel_values(code.finish());
    for (const Operand &o : operands) {
        if (o.elements) {
            continue;
        }
        Expr start = shared(o.offset);
        if (!o.streamed) {
            start = start + u32(uniform((thread_index() / 128 - 1) / choices.chains) * (64 * 128));
        }
        body = LetStmt::make("descriptor_" + plain(o.name), descriptor(start, o.panel_bytes()), body);
    }
    return body;
}

}  // namespace strobe::cuda
