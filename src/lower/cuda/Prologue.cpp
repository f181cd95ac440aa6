#include "FeatureRows.h"
#include "StreamKernel.h"

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

}  // namespace strobe::cuda
