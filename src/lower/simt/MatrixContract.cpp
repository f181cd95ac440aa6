#include "MatrixContract.h"

#include "Contract.h"
#include "device/Intrinsics.h"
#include "support/Error.h"

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

// Named registers: fragments of the operands and of the result.
const char *const rows_name = "rows", *const columns_name = "columns", *const sums_name = "sums";

/** A copy of an operand's tile in the contraction's operand type. */
Stored rounded_tile(const Context &context, const Stored &from, Type type, std::vector<Stmt> &stmts) {
    if (from.type == type) {
        return from;
    }
    std::ostringstream name;
    name << "rounded." << type;
    for (const TileDim &d : from.dims) {
        name << "." << d.axis;
    }
    const Stored to = shared_array(name.str(), type, from.dims, context.program, context.values.map, from.points > 1);
    context.scratch[to.name] = to;
    stmts.push_back(context.each_sharer(from, for_each_element(context, to, [&](const Point &point, const Expr &) {
                                            return store_element(context, to, point,
                                                                 cast(type, load_element(context, from, point)));
                                        })));
    return to;
}

class MatrixProduct {
    const Context &context;
    const TileOp &op;
    const Stored &dst;
    const Stored a, b;
    const std::string m, n, k, type;
    std::vector<Stmt> code;

    void run(const std::string &name, const std::vector<std::string> &constants, const std::vector<Expr> &args = {}) {
        code.push_back(device::run(name, constants, args));
    }

    /** Four 8 x 8 matrices of an operand: each lane gives the address of one row of
     * eight elements, at (\p row, \p step) if the contracted axis is contiguous, and
     * the rows are then the operand's; else they are steps, and the matrices are
     * transposed on the way. */
    void load_matrices(const Stored &s, const std::string &axis, const Expr &row, const Expr &step,
                       const std::string &to, int first) {
        const bool contiguous = s.dims.back().axis == k;
        const Expr index = element_index(context, s, Point{{axis, {row, -1}}, {k, {step, -1}}});
        run("ldmatrix", {contiguous ? "plain" : "trans", to, std::to_string(first)},
            {shared_address(s.name, index * s.type.bytes(), false)});
    }
    void load_rows(int tile, int step);
    void pack_rows(int tile, int step);
    void load_columns(int pair, int step);
    void multiply(int tile, int pair);

public:
    MatrixProduct(const Context &context, const TileOp &op, const Stored &a, const Stored &b)
        : context(context), op(op), dst(context.at(op.dst)), a(a), b(b), m(dst.dims[0].axis), n(dst.dims[1].axis),
          k(op.axis), type(op.operand_type.is_bfloat() ? "bf16" : "f16") {
    }
    Stmt lower();
};

/** The fragment of 16 rows and 16 steps from shared memory. */
void MatrixProduct::load_rows(int tile, int step) {
    const Expr lane = thread() % 32;
    const ThreadMap &map = context.values.map;
    const Expr first = map.own_thread() / (32 * map.parts) * 16 + tile * (2 * map.groups);
    const bool contiguous = a.dims.back().axis == k;
    const Expr row = first + (contiguous ? lane % 16 : lane / 8 % 2 * 8);
    const Expr along = step * 16 + (contiguous ? lane / 16 * 8 : lane / 16 * 8 + lane % 8);
    load_matrices(a, m, row, along, rows_name, 4 * tile);
}

/** The same from the registers in which the elements were computed. */
void MatrixProduct::pack_rows(int tile, int step) {
    const AxisSlots &slots = context.values.map.axes.at(k);
    const auto element = [&](int row, int slot) {
        const Expr e = load_at(a.name, a.type, row * slots.slots + slot);
        const bool padding = slots.size < (step + 1) * 16;
        return padding ? select(context.values.map.column(k, slot) < slots.size, e, make_zero(e.type())) : e;
    };
    for (int q = 0; q < 4; q++) {
        const int row = 2 * tile + q % 2, slot = 4 * step + q / 2 * 2;
        run("pack_to", {type, rows_name, std::to_string(4 * tile + q)}, {element(row, slot), element(row, slot + 1)});
    }
}

/** The fragments of 16 columns and 16 steps. */
void MatrixProduct::load_columns(int pair, int step) {
    const Expr lane = thread() % 32;
    const bool contiguous = b.dims.back().axis == k;
    const ThreadMap &map = context.values.map;
    const Expr column = map.part() * (map.axes.at(n).padded / map.parts) + pair * 16 +
                        (contiguous ? lane / 16 * 8 + lane % 8 : lane / 16 * 8);
    const Expr along = step * 16 + (contiguous ? lane / 8 % 2 * 8 : lane / 8 % 2 * 8 + lane % 8);
    load_matrices(b, n, column, along, columns_name, 4 * (pair % 2));
}

void MatrixProduct::multiply(int tile, int pair) {
    const int slots = dst.sizes[1];
    for (int half = 0; half < 2; half++) {
        // A fragment of the result: two elements of each of the lane's rows.
        const int slot = 4 * pair + 2 * half, first = 2 * tile * slots + slot;
        run("mma", {type, sums_name, std::to_string(first), std::to_string(first + slots), rows_name,
                    std::to_string(4 * tile), columns_name, std::to_string(4 * (pair % 2) + 2 * half)});
    }
}

Stmt MatrixProduct::lower() {
    const int tiles = dst.sizes[0] / 2, pairs = dst.sizes[1] / 4, steps = context.values.map.axes.at(k).padded / 16;
    for (int e = 0; e < dst.elements; e++) {
        code.push_back(device::set(sums_name, e, op.accumulate ? load_at(dst.name, dst.type, e) : Expr(0.0f)));
    }
    for (int step = 0; step < steps; step++) {
        for (int tile = 0; tile < tiles; tile++) {
            a.registers ? pack_rows(tile, step) : load_rows(tile, step);
        }
        for (int pair = 0; pair < pairs; pair++) {
            load_columns(pair, step);
            for (int tile = 0; tile < tiles; tile++) {
                multiply(tile, pair);
            }
        }
    }
    for (int e = 0; e < dst.elements; e++) {
        code.push_back(store_at(dst.name, device::get(Float(32), sums_name, e), e));
    }
    return context.each_of_points(Block::make(code));
}

}  // namespace

bool fits_matrix_unit(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst), &a = context.at(op.a);
    const bool steps = context.values.map.axes.count(op.axis) > 0;
    return !context.on_cpu && context.values.map.matrix && dst.registers && dst.type == Float(32) && steps &&
           op.operand_type.bits() == 16 && (!a.registers || a.type == Float(32));
}

Stmt lower_matrix_contract(const Context &context, const TileOp &op) {
    std::vector<Stmt> stmts;
    const Stored &a = context.at(op.a);
    // Registers hold a part of the steps where warps share rows.
    const Stored rows = a.registers && context.values.map.parts > 1 ? copy_rows(context, op, stmts)
                        : a.registers                               ? a
                                                                    : rounded_tile(context, a, op.operand_type, stmts);
    const Stored columns = rounded_tile(context, context.at(op.b), op.operand_type, stmts);
    stmts.push_back(MatrixProduct(context, op, rows, columns).lower());
    return Block::make(stmts);
}

}  // namespace strobe::simt
