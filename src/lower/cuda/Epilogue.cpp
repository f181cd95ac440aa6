#include "StreamKernel.h"

#include "support/Error.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

/** One value a row, written by the first of the four lanes that hold it. */
void StreamKernel::store_rows(Code &code, Elements &elements, const TileOp &op) {
    const Type type = op.expr.type();
    const Expr value = type.is_float() && type.bits() == 16 ? op.expr.as<Cast>()->value : op.expr;
    for (int r = 0; r < 2; r++) {
        const Expr row = Code::get_int("row0") + 8 * r;
        const CountTerm rows = arguments.extent_of(program.query, 1);
        const Expr last = params.extent(package.buffers[rows.buffer].name, rows.dim);
        code.set("row_result", elements.row_value(value, r));
        code.when(thread_index() % 4 == 0 && row < last, [&] {
            Expr index = make_zero(Int(64));
            for (size_t d = 0; d < op.out_axes.size(); d++) {
                const Expr at = elements.row_value(Variable::make(Int(32), op.out_axes[d]), r);
                index = index + cast<int64_t>(at) * params.stride(op.dst, d);
            }
            const Expr address = params.pointer(op.dst) + cast<uint64_t>(index) * UIntImm::make(UInt(64), type.bytes());
            const Expr result = device::get(type.is_float() ? Float(32) : type, "row_result", 0);
            if (type.bits() == 16) {
                const Expr pair = device::pack(type.is_bfloat() ? "bf16" : "f16", result, result);
                code.run("store_global16", {}, {address, pair});
            } else {
                code.run("store_global", {}, {address, result});
            }
        });
    }
}

/** A fragment, rounded, written to shared memory in the layout of the bulk copy and
 * sent out as 64 rows a warpgroup; rows beyond the tensor's end are not written. */
void StreamKernel::store_staged(Code &code, Elements &elements, const Staged &s) {
    const Type type = s.store->expr.type();
    if (type.bits() != 16 || !type.is_float()) {
        std::ostringstream text;
        text << "output " << s.store->dst << " of type " << type << ": bf16 or fp16 is supported";
        refuse(text.str());
    }
    const Cast *rounded = s.store->expr.as<Cast>();
    strobe_internal_assert(rounded) << s.store->expr;
    const int panel_bytes = program.query_tile * 128;
    const Expr own = shared(s.offset) + u32(row_group() * (64 * 128));
    if (!holds_elements(s)) {  // else the last results had left before these elements came
        code.when(thread_index() % 128 == 0, [&] { code.run("bulk_wait_read"); });
        sync_warpgroup(code);
    }
    for (int r = 0; r < 2; r++) {
        code.set("stage_row", r, cast<int32_t>(own + u32((row_of_thread() + 8 * r) * 128 + thread_index() % 4 * 4)));
    }
    code.set("stage_swizzle", thread_index() % 32 / 4 * 16);
    elements.for_each_pair(rounded->value, s.feature, s.columns, [&](int r, int group, const Expr &a, const Expr &b) {
        const Expr chunk = Code::get_int("stage_swizzle") ^ Expr(group % 8 * 16);
        const Expr address = u32(Code::get_int("stage_row", r) + chunk + group / 8 * panel_bytes);
        code.run("store_shared", {}, {address, device::pack(type.is_bfloat() ? "bf16" : "f16", a, b)});
    });
    code.run("fence_shared");
    sync_warpgroup(code);
    code.when(thread_index() % 128 == 0, [&] {
        for (int p = 0; p < s.panels(); p++) {
            std::vector<Expr> args = {own + u32(Expr(p * panel_bytes)), params.tensor_map(s.tensor_map)};
            for (const std::string &axis : s.store->out_axes) {
                args.push_back(axis == s.feature            ? Expr(64 * p) :
                               axis == program.query.name ? Code::get_int("query_lo") :
                                                             elements.row_value(Variable::make(Int(32), axis), 0));
            }
            code.run("tensor_store", {std::to_string(s.store->out_axes.size())}, args);
        }
        code.run("bulk_commit");
    });
}

void StreamKernel::epilogue(Code &code, Elements &elements) {
    for (const TileValue &v : program.values) {
        bool state = false;
        for (const TileOp &op : pass.prologue) {
            state |= op.dst == v.name && is_own(op);
        }
        if (state && lane_partial.count(v.name)) {
            elements.complete(v.name, ReduceOp::Sum);
        }
    }
    if (chain > 0) {
        send_values(code);
        return;
    }
    if (chains.size() > 1) {
        receive_values(code, elements);
    }
    wait_element_tiles(code, false);
    for (const TileOp &op : pass.epilogue) {
        if (op.kind == TileOp::Kind::Map) {
            elements.map(op);
        } else if (op.kind == TileOp::Kind::Reduce) {
            elements.reduce(op, true);
        }
    }
    for (const Staged &s : staged) {
        store_staged(code, elements, s);
    }
    release_element_tiles(code, false);
    for (const TileOp &op : pass.epilogue) {
        bool is_staged = false;
        for (const Staged &s : staged) {
            is_staged |= s.store == &op;
        }
        if (op.kind == TileOp::Kind::Store && !is_staged) {
            store_rows(code, elements, op);
        }
    }
}

}  // namespace strobe::cuda
