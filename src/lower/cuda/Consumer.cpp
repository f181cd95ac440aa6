#include "StreamKernel.h"

#include "support/Error.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

std::string matrix_type(Type t) {
    return t.is_bfloat() ? "bf16" : "f16";
}

/** Matrix descriptor of a swizzled operand at a shared address: the high word holds
 * the layout, the low word the address. Offsets are added to the low word. */
Expr descriptor(const Expr &address, int leading_bytes, int stride_bytes) {
    const uint64_t layout = (uint64_t(1) << 62) | (uint64_t(stride_bytes >> 4) << 32) | (uint64_t(leading_bytes >> 4) << 16);
    return cast<uint64_t>((address & cast<uint32_t>(Expr(0x3FFFF))) >> cast<uint32_t>(Expr(4))) |
           UIntImm::make(UInt(64), layout);
}

Expr u64(int64_t x) {
    return UIntImm::make(UInt(64), x);
}

std::string packed(const std::string &weights) {
    return plain(weights) + "_packed";
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
        const Expr rows = Variable::make(UInt(64), "descriptor_" + plain(op->a));
        const Expr columns = Variable::make(UInt(64), "descriptor_" + plain(op->b)) +
                             cast<uint64_t>(stage_of(b, iteration) * (b.stage_bytes() >> 4));
        for (int k = 0; k < (a.columns + 15) / 16; k++) {
            const int panel = k / 4, bytes = (k % 4) * 32;
            code.run("wgmma_ss",
                     {matrix_type(op->operand_type), std::to_string(n), plain(op->dst), k > 0 ? "1" : "0", "0"},
                     {rows + u64((panel * a.panel_bytes() + bytes) >> 4),
                      columns + u64((panel * b.panel_bytes() + bytes) >> 4)});
        }
    }
    code.run("wgmma_commit");
}

/** Starts accumulator += packed weights x streamed rows. */
void StreamKernel::start_sums(Code &code, const Expr &iteration) {
    code.run("wgmma_fence");
    for (const TileOp *op : sums) {
        const Operand &b = operand(op->b);
        const int n = (b.columns + 7) / 8 * 8;
        const Expr base = Variable::make(UInt(64), "descriptor_" + plain(op->b)) +
                          cast<uint64_t>(stage_of(b, iteration) * (b.stage_bytes() >> 4));
        for (int k = 0; k < b.rows / 16; k++) {
            code.run("wgmma_rs",
                     {matrix_type(op->operand_type), std::to_string(n), plain(op->dst), packed(op->a),
                      std::to_string(4 * k), "1", "1"},
                     {base + u64((k * 2048) >> 4)});
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
        code.run("named_sync", {}, {u32(Code::get_int("warpgroup") + 1), cast<uint32_t>(Expr(256))});
    }
}

void StreamKernel::pass_turn(Code &code) {
    if (choices.pingpong) {
        const Expr next = Code::get_int("warpgroup") + 2;
        code.run("named_arrive", {},
                 {u32(select(next > choices.consumers, 1, next)), cast<uint32_t>(Expr(256))});
    }
}

void StreamKernel::release(Code &code, const std::vector<const TileOp *> &contractions, const Expr &iteration) {
    std::set<std::string> done;
    for (const TileOp *op : contractions) {
        const Operand &b = operand(op->b);
        if (b.streamed && done.insert(op->b).second) {
            code.run("barrier_arrive_if", {},
                     {barrier(b.empty) + u32(8 * stage_of(b, iteration)), select(thread_index() % 128 == 0, 1, 0)});
        }
    }
}

/** The step's maps and reductions: those on accumulators (late) or all others. */
void StreamKernel::elementwise(Code &code, Elements &elements, bool late, bool first) {
    for (const TileOp &op : pass.step) {
        const bool on_accumulator = accumulators.count(op.dst) != 0;
        if ((op.kind != TileOp::Kind::Map && op.kind != TileOp::Kind::Reduce) || on_accumulator != late) {
            continue;
        }
        const auto emit = [&] {
            if (op.kind == TileOp::Kind::Reduce) {
                elements.reduce(op, lane_partial.count(op.dst) == 0);
            } else {
                elements.map(op);
            }
        };
        const Expr factor = late ? rescale_factor(op, elements) : Expr();
        if (op.when == TileOp::When::Partial) {
            code.when(Code::get_int("partial") != 0, emit);
        } else if (factor.defined()) {
            if (!first) {  // before the first tile an accumulator is zero
                const Expr changed = elements.row_value(factor, 0) != 1.0f || elements.row_value(factor, 1) != 1.0f;
                code.when(device::ballot(changed) != cast<uint32_t>(Expr(0)), emit);
            }
        } else {
            emit();
        }
    }
}

void StreamKernel::consume_tile(Code &code, Elements &elements, bool first) {
    const Expr iteration = Code::get_int("iteration");
    const auto wait_full = [&](const std::vector<const TileOp *> &contractions, const Expr &at) {
        std::set<std::string> done;
        for (const TileOp *op : contractions) {
            const Operand &b = operand(op->b);
            if (b.streamed && done.insert(op->b).second) {
                code.run("barrier_wait", {}, {barrier(b.full) + u32(8 * stage_of(b, at)), phase_of(b, at)});
            }
        }
    };
    if (scans()) {
        // The producer's note says which tile this is, and whether the block has more.
        if (!first) {
            wait_full(scores, iteration);
            code.set("note", device::call(Int(32), "load_shared", {}, {note_address(iteration)}));
        }
        set_tile(code, elements, Code::get_int("note") >> 2);
        code.set("partial", Code::get_int("note") & 1);
    } else {
        set_tile(code, elements, Code::get_int("consumed"));
        code.set("partial", select(elements.row_value(pass.mask.full, 0), 0, 1));
    }
    code.set("stream_column", Code::get_int("stream_lo") + Code::get_int("feature_column"));
    if (!scans()) {
        wait_full(scores, iteration);
    }
    take_turn(code);
    start_scores(code, iteration);
    if (!first) {
        wait_full(sums, iteration - 1);
        start_sums(code, iteration - 1);
    }
    if (!first) {
        pass_turn(code);
    }
    code.run("wgmma_wait", {first ? "0" : "1"});
    if (first) {
        pass_turn(code);
    }
    release(code, scores, iteration);
    elementwise(code, elements, false, first);
    if (!first) {
        code.run("wgmma_wait", {"0"});
        release(code, sums, iteration - 1);
    }
    elementwise(code, elements, true, first);
    pack_weights(code);
    code.set("iteration", iteration + 1);
    code.set("consumed", Code::get_int("consumed") + 1);
}

void StreamKernel::consume_block(Code &code, Elements &elements) {
    decode(code, elements);
    set_range(code, elements);
    // From here on the rows are this warpgroup's own.
    code.set("query_lo", Code::get_int("query_lo") + 64 * Code::get_int("warpgroup"));
    code.set("query_hi", min(Code::get_int("query_hi"), Code::get_int("query_lo") + 63));
    code.set("row0", Code::get_int("query_lo") + Code::get_int("row_of_thread"));

    const Stmt rest = code.block([&] {
        for (const TileOp &op : pass.prologue) {
            if (op.kind != TileOp::Kind::Fill) {
                continue;
            }
            const TileValue &v = program.value(op.dst);
            const int count = v.dims.size() < 2 ? 2 : (v.dims[1].size + 7) / 8 * 4;
            for (int i = 0; i < count; i++) {
                code.set(plain(op.dst), i, op.expr);
            }
        }
        const auto release_rows = [&] {
            code.run("barrier_arrive_if", {}, {barrier(1), select(thread_index() % 128 == 0, 1, 0)});
        };
        code.set("consumed", Expr(0));
        if (scans()) {
            // The first note is -1 if the block has no live tile; its stages hold nothing then.
            const Expr iteration = Code::get_int("iteration");
            for (const Operand &o : operands) {
                if (o.streamed) {
                    code.run("barrier_wait", {}, {barrier(o.full) + u32(8 * stage_of(o, iteration)), phase_of(o, iteration)});
                    break;
                }
            }
            code.set("note", device::call(Int(32), "load_shared", {}, {note_address(iteration)}));
            code.set("tile_count", select(Code::get_int("note") >= 0, 1, 0));
            code.when(Code::get_int("note") < 0, [&] {
                release(code, scores, iteration);
                release(code, sums, iteration);
                code.set("iteration", iteration + 1);
            });
        }
        const auto more = [&] {
            return scans() ? (Code::get_int("note") & 2) == 0 : Code::get_int("consumed") < Code::get_int("tile_count");
        };
        code.when(Code::get_int("tile_count") > 0, [&] {
            consume_tile(code, elements, true);
            code.when(more(), [&] {
                code.loop("consume_tiles", [&] { consume_tile(code, elements, false); }, more);
            });
            release_rows();
            const Expr last = Code::get_int("iteration") - 1;
            std::set<std::string> done;
            for (const TileOp *op : sums) {
                const Operand &b = operand(op->b);
                if (done.insert(op->b).second) {
                    code.run("barrier_wait", {}, {barrier(b.full) + u32(8 * stage_of(b, last)), phase_of(b, last)});
                }
            }
            start_sums(code, last);
            code.run("wgmma_wait", {"0"});
            release(code, sums, last);
        });
        code.when(Code::get_int("tile_count") == 0, release_rows);
        epilogue(code, elements);
    });
    for (const Stmt &s : elements.block_start) {
        code.emit(s);
    }
    code.emit(rest);
}

Stmt StreamKernel::consumer() {
    Code code;
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
    }
    code.run("registers_grow", {std::to_string(choices.consumer_registers)});
    code.set("warpgroup", thread_index() / 128 - 1);
    code.set("feature_column", thread_index() % 4 * 2);
    code.set("row_of_thread", thread_index() % 128 / 32 * 16 + thread_index() % 32 / 4);
    code.set("works", Expr(0));
    code.set("iteration", Expr(0));
    if (choices.pingpong) {
        code.when(Code::get_int("warpgroup") == choices.consumers - 1,
                  [&] { code.run("named_arrive", {}, {cast<uint32_t>(Expr(1)), cast<uint32_t>(Expr(256))}); });
    }
    code.loop(
        "consume",
        [&] {
            code.run("barrier_wait", {}, {barrier(0), u32(Code::get_int("works") & 1)});
            code.set("work", device::call(Int(32), "load_shared", {}, {shared(slot_offset) + u32((Code::get_int("works") & 1) * 4)}));
            code.when(Code::get_int("work") >= 0, [&] { consume_block(code, elements); });
            code.set("works", Code::get_int("works") + 1);
        },
        [&] { return Code::get_int("work") >= 0; });
    if (choices.pingpong) {
        code.when(Code::get_int("warpgroup") == 0,
                  [&] { code.run("named_sync", {}, {cast<uint32_t>(Expr(1)), cast<uint32_t>(Expr(256))}); });
    }
    code.run("bulk_wait");
    Stmt body = elements.with_kernel_values(code.finish());
    for (const Operand &o : operands) {
        Expr start = shared(o.offset);
        if (!o.streamed) {
            start = start + u32((thread_index() / 128 - 1) * (64 * 128));
        }
        body = LetStmt::make("descriptor_" + plain(o.name), descriptor(start, o.panel_bytes(), 1024), body);
    }
    return body;
}

}  // namespace strobe::cuda
