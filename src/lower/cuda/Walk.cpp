#include "StreamKernel.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Keys and values of the heads that run at the same time should fit in the L2. */
const int l2_budget = 24 << 20;

Expr ceil_div(const Expr &a, int b) {
    return (a + (b - 1)) / b;
}

/** Unsigned division and remainder: cheaper than Halide's, which round down. */
Expr div_u(const Expr &a, const Expr &b) {
    return cast<int32_t>(u32(a) / u32(b));
}

}  // namespace

Expr thread_index() {
    return Variable::make(Int(32), "k" + gpu_thread_name(0));
}

Expr StreamKernel::shared(const Expr &offset) const {
    return Variable::make(UInt(32), "shared_base") + u32(offset);
}

Expr StreamKernel::barrier(int number) const {
    return shared(barrier_offset + 8 * number);
}

Expr StreamKernel::stage_of(const Operand &o, const Expr &iteration) const {
    return o.stages == 1 ? Expr(0) : cast<int32_t>(u32(iteration) % cast<uint32_t>(Expr(o.stages)));
}

Expr StreamKernel::phase_of(const Operand &o, const Expr &iteration) const {
    return (u32(iteration) / cast<uint32_t>(Expr(o.stages))) & cast<uint32_t>(Expr(1));
}

Expr StreamKernel::total_work() {
    const CountTerm rows = arguments.extent_of(program.query, program.query_tile);
    Expr total = ceil_div(params.extent(package.buffers[rows.buffer].name, rows.dim), program.query_tile);
    for (const Axis &a : program.grid) {
        const CountTerm t = arguments.extent_of(a, 1);
        total = total * params.extent(package.buffers[t.buffer].name, t.dim);
    }
    return total;
}

/** From register "work" to the block's coordinates. Work runs through groups of
 * heads whose keys and values fit in the L2 together; inside a group through blocks
 * of rows, last rows first if later rows take longer, heads innermost. */
void StreamKernel::decode(Code &code, Elements &elements) {
    const auto extent_of = [&](const Axis &a) {
        const CountTerm t = arguments.extent_of(a, 1);
        return params.extent(package.buffers[t.buffer].name, t.dim);
    };
    const Expr rows = extent_of(program.query);
    Expr heads = 1;
    for (const Axis &a : program.grid) {
        heads = simplify(heads * extent_of(a));
    }
    int row_bytes = 0;
    for (const Operand &o : operands) {
        row_bytes += o.streamed ? o.columns * 2 : 0;
    }
    code.set("blocks", ceil_div(rows, program.query_tile));
    const Expr blocks = Code::get_int("blocks");
    const Expr keys = elements.row_value(program.stream.extent, 0);
    code.set("group", max(min(div_u(Expr(l2_budget / std::max(row_bytes, 1)), max(keys, 1)), heads), 1));
    const Expr group = Code::get_int("group");
    code.set("group_work", blocks * group);
    const Expr work = Code::get_int("work");
    code.set("group_first", div_u(work, Code::get_int("group_work")));
    code.set("rest", work - Code::get_int("group_first") * Code::get_int("group_work"));
    code.set("group_first", Code::get_int("group_first") * group);
    code.set("group", min(group, heads - Code::get_int("group_first")));
    code.set("row_tile", div_u(Code::get_int("rest"), group));
    code.set("head", Code::get_int("group_first") + Code::get_int("rest") - Code::get_int("row_tile") * group);
    if (program.query_descending) {
        code.set("row_tile", blocks - 1 - Code::get_int("row_tile"));
    }
    for (size_t n = 0; n < program.grid.size(); n++) {
        const std::string axis = "axis_" + plain(program.grid[n].name);
        if (n + 1 == program.grid.size()) {
            code.set(axis, Code::get_int("head"));
        } else {
            const Expr extent = extent_of(program.grid[n]);
            code.set("quotient", div_u(Code::get_int("head"), extent));
            code.set(axis, Code::get_int("head") - Code::get_int("quotient") * extent);
            code.set("head", Code::get_int("quotient"));
        }
    }
    code.set("query_lo", Code::get_int("row_tile") * program.query_tile);
    code.set("query_hi", min(Code::get_int("query_lo") + (program.query_tile - 1), rows - 1));
}

/** Registers "tile_first" and "tile_count": the tiles that meet [begin, end). */
void StreamKernel::set_range(Code &code, Elements &elements) {
    const Expr keys = elements.row_value(program.stream.extent, 0);
    const Expr first = elements.row_value(program.stream.min, 0);
    const auto value = [&](const Expr &e) { return elements.row_value(e, 0) - first; };
    const Expr begin = pass.mask.begin.defined() ? max(value(pass.mask.begin), 0) : Expr(0);
    const Expr end = pass.mask.end.defined() ? min(value(pass.mask.end), keys) : keys;
    code.set("tile_first", begin / program.stream_tile);
    code.set("tile_count", max(ceil_div(end, program.stream_tile) - Code::get_int("tile_first"), 0));
}

/** The tile's corners, for step 0, 1, ... of the block: from the last to the first.
 * Where tiles are judged at run time, a step is the number of the tile. */
void StreamKernel::set_tile(Code &code, Elements &elements, const Expr &step) {
    const Expr tile = scans() ? step : Code::get_int("tile_first") + Code::get_int("tile_count") - 1 - step;
    const Expr first = elements.row_value(program.stream.min, 0);
    code.set("stream_lo", simplify(first + tile * program.stream_tile));
    code.set("stream_hi", min(Code::get_int("stream_lo") + (program.stream_tile - 1),
                              simplify(first + elements.row_value(program.stream.extent, 0) - 1)));
}

}  // namespace strobe::cuda
