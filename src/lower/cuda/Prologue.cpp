#include "FeatureRows.h"
#include "StreamKernel.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

/** Rows of an operand that is computed from inputs, by the warpgroup that reads them: into shared memory, in the
 * layout of the matrix unit. Other warpgroups' contractions run meanwhile. */
void StreamKernel::compute_rows(Code &code, Elements &elements, const Operand &o) {
    const RowLanes lanes(o.columns);
    const int at_a_time = 128 / lanes.lanes;
    const int rows = std::max(1, (choices.consumer_registers >= 200 ? 4 : 2) / lanes.per_lane);
    const CountTerm query = arguments.extent_of(program.query, 1);
    const Expr extent = params.extent(package.buffers[query.buffer].name, query.dim);
    const std::string prefix = plain(o.name), row = prefix + "_row", position = prefix + "_position";
    for (size_t n = 0; n < o.prepared->outer.size(); n++) {
        const Expr index = elements.row_value(o.prepared->outer[n].index, 0);
        elements.bindings[outer_name(n)] = [index] { return index; };
    }
    for (int n = 0; n < rows; n++) {
        elements.bindings[FeatureRows::name_in_row(position_name, n)] = [=] { return Code::get_int(position, n); };
        elements.bindings[FeatureRows::name_in_row("$inside", n)] = [=] {
            return select(Code::get_int("query_lo") + Code::get_int(row, n) < extent, 1, 0);
        };
    }
    const Expr start = shared(o.offset) + u32(row_group() * (64 * 128));
    const auto address = [&](int n, const Expr &chunk) {
        const Expr at = Code::get_int(row, n);
        return start + u32(chunk / 8 * o.panel_bytes() + at * 128 + ((chunk % 8) ^ (at % 8)) * 16);
    };
    const FeatureRows made(program, *o.prepared, params, elements, {}, {position_name}, rows);
    sync_warpgroup(code);  // all have read the rows of the last block
    code.emit(made.once());
    code.set(row, 0, thread_index() % 128 / lanes.lanes);
    code.loop(
        "compute_rows",
        [&] {
            for (int n = 0; n < rows; n++) {
                code.set(row, n, Code::get_int(row) + n * at_a_time);
                code.set(position, n, min(Code::get_int("query_lo") + Code::get_int(row, n), extent - 1));
            }
            code.emit(made.each());
            for (int n = 0; n < rows; n++) {
                for (int k = 0; k < lanes.per_lane; k++) {
                    const Expr chunk = lanes.chunk(k);
                    code.when(chunk < o.panels() * 8, [&] {
                        code.run("store_shared_row", {made.packed(n, k), "0"}, {address(n, chunk)});
                    });
                }
            }
            code.set(row, 0, Code::get_int(row) + rows * at_a_time);
        },
        [&] { return Code::get_int(row) < 64; });
    code.run("fence_shared");
    sync_warpgroup(code);
}

/** The next block of rows is known while the tiles of the last are still on their way. */
bool StreamKernel::prefetches_rows() const {
    return row_stages > 1 && std::any_of(operands.begin(), operands.end(), [](const Operand &o) {
               return o.in_block() && !o.prepared->outer.empty();
           });
}

/** Asks the L2 for this block's rows of an input, a sector of 32 bytes at a time. */
void StreamKernel::prefetch(Code &code, Elements &elements, const Call *load, int row_bytes) {
    const std::string &buffer = load->param.name();
    const int sector = 32, sectors = (row_bytes + sector - 1) / sector;
    const CountTerm query = arguments.extent_of(program.query, 1);
    const Expr last = params.extent(package.buffers[query.buffer].name, query.dim) - 1, n = Code::get_int("sector");
    code.when(params.stride(buffer, 0) == make_one(Int(64)), [&] {
        code.set("sector", thread_index() % 32);
        code.loop(
            "prefetch",
            [&] {
                Expr index = make_zero(Int(64));
                for (size_t d = 1; d < load->args.size(); d++) {
                    const Variable *v = load->args[d].as<Variable>();
                    const bool row = v && v->name == program.query.name;
                    const Expr at = row ? min(Code::get_int("query_lo") + n / sectors, last)
                                        : elements.row_value(load->args[d], 0);
                    index = index + cast<int64_t>(at) * params.stride(buffer, static_cast<int>(d));
                }
                const Expr bytes = index * IntImm::make(Int(64), load->type.bytes()) + cast<int64_t>(n % sectors * sector);
                code.run("prefetch", {}, {params.pointer(buffer) + cast<uint64_t>(bytes)});
                code.set("sector", n + 32);
            },
            [&] { return n < program.query_tile * sectors; });
    });
}

/** Inputs of which this block has rows of its own; what is the same for all heads is near anyway. */
void StreamKernel::prefetch_rows(Code &code, Elements &elements, const Operand &o) {
    std::vector<const Call *> known;
    for (const TileOp &op : o.prepared->ops) {
        const Call *load = op.expr.as<Call>();
        if (op.kind != TileOp::Kind::Load || !expr_uses_var(load->args[0], o.prepared->feature)) {
            continue;
        }
        bool rows = false, own = false, features = false;
        for (size_t d = 1; d < load->args.size(); d++) {
            const Variable *v = load->args[d].as<Variable>();
            rows |= v && v->name == program.query.name;
            features |= expr_uses_var(load->args[d], o.prepared->feature);
            own |= std::any_of(program.grid.begin(), program.grid.end(),
                               [&](const Axis &a) { return expr_uses_var(load->args[d], a.name); });
        }
        const bool again = std::any_of(known.begin(), known.end(), [&](const Call *other) {
            bool same = other->name == load->name;
            for (size_t d = 1; same && d < load->args.size(); d++) {
                same = equal(other->args[d], load->args[d]);
            }
            return same;
        });
        if (rows && own && !features && !again) {
            known.push_back(load);
            prefetch(code, elements, load, o.columns * load->type.bytes());
        }
    }
}

/** A warp that is a block of rows ahead of the consumers, so that what they compute rows from is near. */
Stmt StreamKernel::row_prefetcher() {
    Code code;
    Elements elements(program, params, code);
    code.set("works", Expr(0));
    code.loop(
        "next_rows",
        [&] {
            take_slot(code);
            code.when(Code::get_int("work") >= 0, [&] {
                for (const Operand &o : operands) {
                    if (o.in_block()) {
                        prefetch_rows(code, elements, o);
                    }
                }
            });
            code.set("works", Code::get_int("works") + 1);
        },
        [&] { return Code::get_int("work") >= 0; });
    return elements.with_kernel_values(code.finish());
}

}  // namespace strobe::cuda
