// Inputs with an element for each row and column (pair biases, gates), brought as tiles by the bulk copy engine in the
// swizzled layout of operands, and read into fragments by ldmatrix: four 8 x 8 matrices of 16-bit elements are what a
// warp's fragment holds of 16 columns.

#include "StreamKernel.h"
#include "Walk.h"
#include "lower/InputLoads.h"

#include <algorithm>

namespace strobe::cuda {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Elements of 16 bits whose innermost index is the column alone, another the row alone, and the others the block's. */
bool is_tile_of_elements(const Call *load, const std::string &row, const std::string &column,
                         const Elements &elements) {
    const auto is = [&](const Expr &index, const std::string &axis) {
        const Variable *v = index.as<Variable>();
        return v && v->name == axis;
    };
    const int rank = static_cast<int>(load->args.size());
    if (!load->type.is_float() || load->type.bits() != 16 || rank < 2 || rank > 5 || !is(load->args[0], column)) {
        return false;
    }
    int rows = 0;
    for (int d = 1; d < rank; d++) {
        const Dependence index = elements.dependence(load->args[d]);
        const bool is_row = is(load->args[d], row);
        rows += is_row;
        if (!is_row && (index.row || index.state || index.differs())) {
            return false;
        }
    }
    return rows == 1;
}

}  // namespace

void StreamKernel::add_element_tile(const Elements &elements, const Expr &e, const TileDim &columns, bool streamed) {
    for (const Call *load : input_elements(e)) {
        const int stages = choices.element_stages_of(load->name);
        const bool known = std::any_of(operands.begin(), operands.end(), [&](const Operand &o) {
            return o.elements && o.dims[1].axis == columns.axis && equal(o.load, Expr(load));
        });
        if (stages == 0 || known ||
            !is_tile_of_elements(load, program.query.name, columns.axis, elements)) {
            continue;
        }
        Operand o;
        o.load = Expr(load);
        o.name = "elements" + std::to_string(operands.size());
        o.dims = {{program.query.name, program.query_tile}, columns};
        o.rows = program.query_tile;
        o.columns = columns.size;
        o.streamed = streamed;
        o.elements = true;
        o.stages = stages;
        std::vector<uint32_t> box = {64};
        for (size_t d = 1; d < load->args.size(); d++) {
            const Variable *v = load->args[d].as<Variable>();
            box.push_back(v && v->name == program.query.name ? program.query_tile : 1);
        }
        o.early = streamed;
        o.tensor_map = o.last_map = add_tensor_map(load->param.name(), box);
        // Ahead of what is needed later: the operands of sums.
        const auto at = std::find_if(operands.begin(), operands.end(), [&](const Operand &other) {
            return other.streamed && !other.elements && std::none_of(all_scores.begin(), all_scores.end(), [&](const TileOp *op) {
                return op->b == other.name;
            });
        });
        operands.insert(streamed ? at : operands.end(), o);
    }
}

/** What maps on tiles and on results read, of the inputs that the schedule stages. */
void StreamKernel::find_element_tiles() {
    Code unused;
    const Elements elements(program, params, unused);
    for (const TileOp &op : pass.step) {
        if (op.kind == TileOp::Kind::Map && op.when == TileOp::When::Always && program.value(op.dst).dims.size() == 2) {
            const TileDim &columns = program.value(op.dst).dims[1];
            if (columns.axis == program.stream.name) {
                add_element_tile(elements, op.expr, columns, true);
            }
        }
    }
    for (const TileOp &op : pass.epilogue) {
        if (op.kind == TileOp::Kind::Map && program.value(op.dst).dims.size() == 2) {
            add_element_tile(elements, op.expr, program.value(op.dst).dims[1], false);
        }
    }
    for (const Staged &s : staged) {
        add_element_tile(elements, s.store->expr, {s.feature, s.columns}, false);
    }
    share_result_buffers();
}

/** Elements that one result is computed from can be brought into its buffer, where each is replaced by what is made of
 * it: a warp reads 16 columns of its own rows, and then writes them. */
void StreamKernel::share_result_buffers() {
    std::set<int> taken;
    for (Operand &o : operands) {
        if (!o.elements || o.streamed || o.stages != 1 || choices.chains > 1) {
            continue;
        }
        const auto reads = [&](const Staged &s) {
            const std::vector<const Call *> loads = input_elements(s.store->expr);
            return std::any_of(loads.begin(), loads.end(), [&](const Call *load) { return equal(o.load, Expr(load)); });
        };
        for (int n = 0; n < static_cast<int>(staged.size()) && o.in_result < 0; n++) {
            bool others = false;
            for (int other = 0; other < static_cast<int>(staged.size()); other++) {
                others |= other != n && reads(staged[other]);
            }
            if (!others && staged[n].panels() == o.panels() && taken.insert(n).second) {
                o.in_result = n;
            }
        }
    }
}

bool StreamKernel::holds_elements(const Staged &s) const {
    return std::any_of(operands.begin(), operands.end(), [&](const Operand &o) {
        return o.in_result >= 0 && &staged[o.in_result] == &s;
    });
}

bool StreamKernel::shares_result_buffers() const {
    return std::any_of(operands.begin(), operands.end(), [](const Operand &o) { return o.in_result >= 0; });
}

/** The last block's results have been copied out of the buffers that elements are to be brought to. Behind the next
 * block's first tile nobody has to wait for that. */
void StreamKernel::release_result_buffers(Code &code) {
    if (!shares_result_buffers()) {
        return;
    }
    code.when(Code::get_int("works") > 0, [&] {
        code.when(thread_index() % 128 == 0, [&] { code.run("bulk_wait_read"); });
        for (const Operand &o : operands) {
            if (o.in_result >= 0) {
                code.run("barrier_arrive", {}, {barrier(o.empty)});
            }
        }
    });
}

const Operand *StreamKernel::element_tile(const Expr &load, const std::string &axis) const {
    const auto o = std::find_if(operands.begin(), operands.end(), [&](const Operand &x) {
        return x.elements && x.dims[1].axis == axis && equal(x.load, load);
    });
    return o == operands.end() ? nullptr : &*o;
}

bool StreamKernel::reads_element_tile(const TileOp &op) const {
    const std::vector<const Call *> loads = input_elements(op.expr);
    return std::any_of(loads.begin(), loads.end(),
                       [&](const Call *load) { return element_tile(load, program.stream.name) != nullptr; });
}

/** Reads 16 columns of this warp's 16 rows from a tile, from 16 * number on. Below 0: registers "element_row" and
 * "element_chunk", where the rows are. */
void StreamKernel::read_element_tile(Code &code, const Operand &o, int number, const std::string &to) {
    if (number >= 0) {
        const Expr chunk = Code::get_int("element_chunk") ^ Expr(number % 4 * 32);
        code.run("ldmatrix", {"plain", to, std::to_string(4 * number)},
                 {u32(Code::get_int(o.name + "_row") + chunk + number / 4 * o.panel_bytes())});
        return;
    }
    const Expr stage = stage_of(o, Code::get_int(o.streamed ? "iteration" : "works"));
    const Expr lane = thread_index() % 32;
    // Lanes 0 to 15 say where rows' first eight columns lie, the others where the next eight do.
    const Expr row = row_group() * 64 + thread_index() % 128 / 32 * 16 + lane % 16;
    code.set(o.name + "_row", cast<int32_t>(shared(o.offset) + u32(stage * o.stage_bytes()) + u32(row * 128)));
    code.set("element_chunk", (lane / 16 ^ lane % 8) * 16);
}

void StreamKernel::wait_element_tiles(Code &code, bool streamed) {
    const Expr iteration = Code::get_int(streamed ? "iteration" : "works");
    for (const Operand &o : operands) {
        if (o.elements && o.streamed == streamed) {
            code.run("barrier_wait", {},
                     {barrier(o.full) + u32(8 * stage_of(o, iteration)), phase_of(o, iteration)});
        }
    }
}

/** Each thread for itself. What it has read must be in its registers: an arrival may overtake loads, and a copy then
 * replaces what they were to read. So this stands behind what uses them, and is kept there. */
void StreamKernel::release_element_tiles(Code &code, bool streamed) {
    const Expr iteration = Code::get_int(streamed ? "iteration" : "works");
    const auto is_one = [&](const Operand &o) { return o.elements && o.streamed == streamed && o.in_result < 0; };
    if (std::any_of(operands.begin(), operands.end(), is_one)) {
        code.run("keep_apart", {}, {iteration});
    }
    for (const Operand &o : operands) {
        if (is_one(o)) {
            code.run("barrier_arrive", {}, {barrier(o.empty) + u32(8 * stage_of(o, iteration))});
        }
    }
}

/** Copies what only the results need, behind the block's tiles: by then the last results have been written. */
void StreamKernel::produce_row_elements(Code &code, Elements &elements) {
    const Expr works = Code::get_int("works");
    for (const Operand &o : operands) {
        if (o.elements && !o.streamed) {
            const Expr stage = u32(8 * stage_of(o, works));
            code.run("barrier_wait", {}, {barrier(o.empty) + stage, phase_of(o, works) ^ u32(1)});
            by_one(code, [&] { code.run("barrier_expect", {}, {barrier(o.full) + stage, u32(o.stage_bytes())}); });
            produce_operand(code, elements, o, works);
        }
    }
}

}  // namespace strobe::cuda
