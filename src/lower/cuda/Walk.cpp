#include "StreamKernel.h"
#include "Walk.h"

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Keys and values of the heads that run at the same time should fit in the L2. */
const int l2_budget = 24 << 20;

}  // namespace

Expr StreamKernel::shared(const Expr &offset) const {
    return Variable::make(UInt(32), "shared_base") + u32(offset);
}

Expr StreamKernel::barrier(int number) const {
    return shared(barrier_offset + 8 * number);
}

Expr StreamKernel::stage_of(const Operand &o, const Expr &iteration) const {
    return o.stages == 1 ? Expr(0) : cast<int32_t>(u32(iteration) % u32(o.stages));
}

Expr StreamKernel::phase_of(const Operand &o, const Expr &iteration) const {
    return (u32(iteration) / u32(o.stages)) & u32(1);
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

/** Register "group": as many heads as have their tiles of the stream in the L2 together. */
void StreamKernel::set_group(Code &code, Elements &elements, const Expr &heads) {
    int row_bytes = 0;
    for (const Operand &o : operands) {
        row_bytes += o.streamed && !o.elements ? o.columns * 2 : 0;
    }
    const Expr keys = elements.row_value(program.stream.extent, 0);
    code.set("group", max(min(div_u(Expr(l2_budget / std::max(row_bytes, 1)), max(keys, 1)), heads), 1));
}

/** Head by head, so that the blocks that run together stream the same tiles. Registers
 * "head" and "row_tile" of the block "work". */
void StreamKernel::decode_by_heads(Code &code) {
    const Expr blocks = Code::get_int("blocks"), work = Code::get_int("work");
    code.set("head", div_u(work, blocks));
    code.set("row_tile", work - Code::get_int("head") * blocks);
}

/** The same, but of the last heads the ragged last blocks come at the very end: they are the
 * shortest, and fill in while others finish. */
void StreamKernel::decode_ragged_last(Code &code, Elements &elements, const Expr &rows, const Expr &heads) {
    const Expr blocks = Code::get_int("blocks"), work = Code::get_int("work"), group = Code::get_int("group");
    decode_by_heads(code);
    code.when(rows != blocks * program.query_tile && blocks > 1, [&] {
        set_group(code, elements, heads);
        const Expr first = heads - group, whole = blocks - 1, rest = Code::get_int("rest");
        code.set("rest", work - first * blocks);
        code.when(rest >= 0, [&] {
            code.set("head", first + div_u(rest, whole));
            code.set("row_tile", rest - (Code::get_int("head") - first) * whole);
        });
        code.when(rest >= group * whole, [&] {
            code.set("head", first + rest - group * whole);
            code.set("row_tile", whole);
        });
    });
}

/** Where later rows take longer, the longest go first, over a group of heads at a time. */
void StreamKernel::decode_descending(Code &code, Elements &elements, const Expr &heads) {
    const Expr blocks = Code::get_int("blocks"), work = Code::get_int("work"), group = Code::get_int("group");
    set_group(code, elements, heads);
    code.set("group_work", blocks * group);
    code.set("group_first", div_u(work, Code::get_int("group_work")));
    code.set("rest", work - Code::get_int("group_first") * Code::get_int("group_work"));
    code.set("group_first", Code::get_int("group_first") * group);
    code.set("group", min(group, heads - Code::get_int("group_first")));
    code.set("row_tile", div_u(Code::get_int("rest"), group));
    code.set("head", Code::get_int("group_first") + Code::get_int("rest") - Code::get_int("row_tile") * group);
    code.set("row_tile", blocks - 1 - Code::get_int("row_tile"));
}

/** From register "work" to the block's coordinates. */
void StreamKernel::decode(Code &code, Elements &elements) {
    const auto extent_of = [&](const Axis &a) { return extent_in(a, arguments, package, params); };
    const Expr rows = extent_of(program.query);
    Expr heads = 1;
    for (const Axis &a : program.grid) {
        heads = simplify(heads * extent_of(a));
    }
    code.set("blocks", ceil_div(rows, program.query_tile));
    if (scans()) {  // Order.cpp has put the blocks in order
        decode_by_heads(code);
    } else if (program.query_descending) {
        decode_descending(code, elements, heads);
    } else if (has_range()) {
        decode_by_heads(code);
    } else {
        decode_ragged_last(code, elements, rows, heads);
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
}

/** What the producer works out once a block and passes on through shared memory. */
std::vector<std::string> StreamKernel::slot_registers() const {
    std::vector<std::string> names = {"work", "query_lo", "tile_first", "tile_count"};
    for (const Axis &a : program.grid) {
        names.push_back("axis_" + plain(a.name));
    }
    return names;
}

Expr StreamKernel::slot_address(int n) const {
    const int bytes = 4 * static_cast<int>(slot_registers().size());
    return shared(slot_offset + 4 * n) + u32((Code::get_int("works") & (row_stages - 1)) * bytes);
}

void StreamKernel::take_slot(Code &code) const {
    code.run("barrier_wait", {}, {rows_full(), rows_phase()});
    const std::vector<std::string> registers = slot_registers();
    for (size_t n = 0; n < registers.size(); n++) {
        code.set(registers[n], device::call(Int(32), "load_shared", {}, {slot_address(n)}));
    }
    code.run("barrier_arrive", {}, {rows_empty()});
}

Expr StreamKernel::rows_full() const {
    return barrier(0) + u32((Code::get_int("works") & (row_stages - 1)) * 8);
}

Expr StreamKernel::rows_empty() const {
    return barrier(row_stages) + u32((Code::get_int("works") & (row_stages - 1)) * 8);
}

Expr StreamKernel::rows_phase() const {
    return u32(Code::get_int("works") / row_stages) & u32(1);
}

void set_range(Code &code, Elements &elements, const TileProgram &program, const MaskVerdict &mask,
               const std::string &first_tile, const std::string &count) {
    const Expr keys = elements.row_value(program.stream.extent, 0);
    const Expr first = elements.row_value(program.stream.min, 0);
    const auto value = [&](const Expr &e) { return elements.row_value(e, 0) - first; };
    const Expr begin = mask.begin.defined() ? max(value(mask.begin), 0) : Expr(0);
    const Expr end = mask.end.defined() ? min(value(mask.end), keys) : keys;
    code.set(first_tile, begin / program.stream_tile);
    code.set(count, max(ceil_div(end, program.stream_tile) - Code::get_int(first_tile), 0));
}

void set_tile(Code &code, Elements &elements, const TileProgram &program, const Expr &tile) {
    code.set("stream_lo", simplify(elements.row_value(program.stream.min, 0) + tile * program.stream_tile));
}

void reduce_over_rows(Code &code, Elements &elements, const TileProgram &program, const Summary &summary, int rows,
                      const Expr &last, const std::string &least, const std::string &greatest) {
    const Type type = summary_type(program, summary);
    elements.bindings["$element"] = [] { return Code::get_int("element"); };
    const Expr load = saturated(type, substitute(program.query.name, Variable::make(Int(32), "$element"), summary.load));
    for (int row = 0; row < rows; row += 32) {
        code.set("element", max(min(Code::get_int("query_lo") + row + thread_index() % 32, last), 0));
        code.set("value", elements.row_value(load, 0));
        const Expr value = device::get(type, "value", 0);
        code.set(least, row == 0 ? value : min(device::get(type, least, 0), value));
        code.set(greatest, row == 0 ? value : max(device::get(type, greatest, 0), value));
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        const Expr low = device::get(type, least, 0), high = device::get(type, greatest, 0);
        code.set(least, min(low, device::shuffle_xor(low, mask)));
        code.set(greatest, max(high, device::shuffle_xor(high, mask)));
    }
}

void bind_summary(Elements &elements, const TileProgram &program, const Summary &summary, const std::string &least,
                  const std::string &greatest) {
    const Type type = summary_type(program, summary), declared = summary.load.type();
    elements.bindings[summary.name + ".min"] = [=] { return cast(declared, device::get(type, least, 0)); };
    elements.bindings[summary.name + ".max"] = [=] { return cast(declared, device::get(type, greatest, 0)); };
}

/** The last of `rows` rows from query.lo on that the tensor has. */
Expr StreamKernel::last_row(int rows) {
    const CountTerm t = arguments.extent_of(program.query, 1);
    return min(Code::get_int("query_lo") + (rows - 1), params.extent(package.buffers[t.buffer].name, t.dim) - 1);
}

}  // namespace strobe::cuda
