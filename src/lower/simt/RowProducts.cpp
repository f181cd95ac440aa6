#include "RowProducts.h"

#include "Contract.h"
#include "Elementwise.h"
#include "device/Intrinsics.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

// Named registers: fragments of the operands and of the result.
const char *const points_name = "points", *const columns_name = "columns", *const sums_name = "sums";

/** The block's point in this slot; beyond the last one, the last one. */
Coord point_in(const Context &context, const Expr &number, int slot) {
    const int points = context.values.map.points;
    return {points % 16 == 0 ? number : min(number, points - 1), slot};
}

/** \p body for the row in a warp's slot \p r, which may be beyond the tile. */
Stmt for_row(const Context &context, int r, const Stmt &body) {
    const ThreadMap &map = context.values.map;
    const bool all = (r + 1) * (map.all_threads() / 32) <= context.program.query_tile;
    return all ? body : IfThenElse::make(map.row_across(r) < context.program.query_tile, body);
}

/** make(point) for each of a thread's elements across points along \p axis. */
Stmt for_each_slot_across(const Context &context, const std::string &axis,
                          const std::function<Stmt(const Point &)> &make) {
    const ThreadMap &map = context.values.map;
    const std::string &query = context.program.query.name;
    std::vector<Stmt> rows;
    for (int r = 0; r < map.row_slots_across(context.program.query_tile); r++) {
        std::vector<Stmt> stmts;
        for (int p = 0; p < map.point_slots(); p++) {
            for (int c = 0; c < map.column_slots_across(axis); c++) {
                stmts.push_back(make({{query, {map.row_across(r), r}},
                                      {map.point_axis, point_in(context, map.point_across(p), p)},
                                      {axis, {map.column_across(c), c}}}));
            }
        }
        rows.push_back(for_row(context, r, Block::make(stmts)));
    }
    return Block::make(rows);
}

/** Puts the row values of \p e that are in registers where all threads can read them. */
void hand_over(const Context &context, const Expr &e, std::vector<Stmt> &stmts) {
    const ThreadMap &map = context.values.map;
    for (const auto &[name, from] : context.values.stored) {
        if (!from.registers || from.across || !expr_uses_var(e, name)) {
            continue;
        }
        strobe_internal_assert(from.dims.size() == 1) << name << " is read across points, and is no row";
        const Stored to = shared_array(name + ".rows", from.rounded_to, from.dims, context.program, map, true);
        context.scratch[to.name] = context.handed_over[name] = to;
        std::vector<Stmt> stores;
        for (int r = 0; r < map.row_slots; r++) {
            const Point point{{context.program.query.name, {map.row(r), r}}};
            stores.push_back(store_element(context, to, point, load_element(context, from, point)));
        }
        stmts.push_back(context.each_of_points(IfThenElse::make(map.is_first(), Block::make(stores))));
    }
}

class RowProducts {
    const Context &context;
    const ThreadMap &map;
    const TileOp &op;
    const Stored &dst;
    const Stored a, b;
    const std::string query, n, k;
    const int point_slots, column_slots;

    Point at(const Expr &row, const Coord &step) const {
        return {{query, {row, -1}}, {k, step}};
    }
    int slot(int r, int p, int c) const {
        return (r * point_slots + p) * column_slots + c;
    }
    Stmt on_matrix_unit(int r) const;
    Stmt columns_by_chains(int r, int first, int count, const std::string &sums) const;

public:
    RowProducts(const Context &context, const TileOp &op, const Stored &a, const Stored &b)
        : context(context), map(context.values.map), op(op), dst(context.at(op.dst)), a(a), b(b),
          query(context.program.query.name), n(dst.dims[1].axis), k(op.axis), point_slots(map.point_slots()),
          column_slots(map.column_slots_across(n)) {
    }
    Stmt lower() const;
};

/** One row's product: 16 points, 8 columns and 16 steps an instruction. */
Stmt RowProducts::on_matrix_unit(int r) const {
    const std::string type = op.operand_type.is_bfloat() ? "bf16" : "f16";
    const Expr lane = thread() % 32, row = map.row_across(r);
    std::vector<Stmt> code;
    const auto load = [&](const Stored &s, const Point &point, const char *how, const char *to, int first) {
        const Expr address = shared_address(s.name, element_index(context, s, point) * s.type.bytes(), false);
        code.push_back(device::run("ldmatrix", {how, to, std::to_string(first)}, {address}));
    };
    for (int e = 0; e < point_slots * column_slots; e++) {
        code.push_back(device::set(sums_name, e, load_at(dst.name, dst.type, slot(r, 0, 0) + e)));
    }
    for (int step = 0; step < map.axes.at(k).padded / 16; step++) {
        for (int tile = 0; tile < point_slots / 2; tile++) {
            Point point = at(row, {step * 16 + lane / 16 * 8, -1});
            point[map.point_axis] = point_in(context, lane % 16 + 16 * tile, -1);
            load(a, point, "plain", points_name, 4 * tile);
        }
        for (int pair = 0; pair < column_slots / 4; pair++) {
            Point point = at(row, {step * 16 + lane / 8 % 2 * 8 + lane % 8, -1});
            point[n] = {pair * 16 + lane / 16 * 8, -1};
            const int columns = 4 * (pair % 2);
            load(b, point, "trans", columns_name, columns);
            for (int part = 0; part < point_slots; part++) {
                const int tile = part / 2, half = part % 2, first = 2 * tile * column_slots + 4 * pair + 2 * half;
                code.push_back(device::run(
                    "mma", {type, sums_name, std::to_string(first), std::to_string(first + column_slots), points_name,
                            std::to_string(4 * tile), columns_name, std::to_string(columns + 2 * half)}));
            }
        }
    }
    for (int e = 0; e < point_slots * column_slots; e++) {
        code.push_back(store_at(dst.name, device::get(Float(32), sums_name, e), slot(r, 0, 0) + e));
    }
    return Block::make(code);
}

/** Some columns of one row: the tile's sum in \p sums, which then joins that of the tiles before. */
Stmt RowProducts::columns_by_chains(int r, int first, int count, const std::string &sums) const {
    std::vector<Stmt> clear, add;
    for (int p = 0; p < point_slots; p++) {
        for (int c = 0; c < count; c++) {
            const int from = p * count + c, to = slot(r, p, first + c);
            clear.push_back(store_at(sums, make_zero(dst.type), from));
            add.push_back(store_at(
                dst.name, strictify_float(load_at(dst.name, dst.type, to) + load_at(sums, dst.type, from)), to));
        }
    }
    const Expr row = map.row_across(r);
    const Stmt walk = serial_loop(k + ".at", map.axes.at(k).size, [&](const Expr &step) {
        std::vector<std::pair<std::string, Expr>> lets;
        const auto operand = [&](const Stored &s, const std::string &axis, const Coord &where) {
            Point point = at(row, {step, -1});
            point[axis] = where;
            const Expr e = load_at(s.name, s.type, element_index(context, s, point));
            lets.emplace_back(unique_name("operand"), rounded_operand(e, op.operand_type, dst.type));
            return Variable::make(dst.type, lets.back().first);
        };
        std::vector<Expr> of_a, of_b;
        for (int p = 0; p < point_slots; p++) {
            of_a.push_back(operand(a, map.point_axis, point_in(context, map.point_across(p), -1)));
        }
        for (int c = 0; c < count; c++) {
            of_b.push_back(operand(b, n, {map.column_across(first + c), -1}));
        }
        std::vector<Stmt> updates;
        for (int e = 0; e < point_slots * count; e++) {
            const Expr sum = load_at(sums, dst.type, e);
            updates.push_back(store_at(sums, multiply_add(context, of_a[e / count], of_b[e % count], sum), e));
        }
        Stmt s = Block::make(updates);
        for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
            s = LetStmt::make(it->first, it->second, s);
        }
        return s;
    });
    return Block::make({Block::make(clear), walk, Block::make(add)});
}

Stmt RowProducts::lower() const {
    const bool matrix = !context.on_cpu && map.matrix && a.type == op.operand_type && b.type == op.operand_type &&
                        op.operand_type.bits() == 16;
    const int together = std::min(8, column_slots);
    const std::string sums = unique_name("sums");
    std::vector<Stmt> rows;
    for (int r = 0; r < map.row_slots_across(context.program.query_tile); r++) {
        std::vector<Stmt> stmts;
        for (int first = 0; !matrix && first < column_slots; first += together) {
            stmts.push_back(columns_by_chains(r, first, std::min(together, column_slots - first), sums));
        }
        rows.push_back(for_row(context, r, matrix ? on_matrix_unit(r) : Block::make(stmts)));
    }
    if (b.by_rows) {
        rows.insert(rows.begin(), use_within_warp(b.name));
    }
    const Stmt all = context.each(Block::make(rows));
    return matrix ? all
                  : Allocate::make(sums, dst.type, MemoryType::Register, {point_slots * together}, const_true(), all);
}

}  // namespace

bool is_across(const Context &context, const TileOp &op) {
    const auto &stored = context.values.stored;
    if (op.kind != TileOp::Kind::Store) {
        return context.at(op.dst).across;
    }
    return std::any_of(stored.begin(), stored.end(),
                       [&](const auto &entry) { return entry.second.across && expr_uses_var(op.expr, entry.first); });
}

Stmt lower_map_across(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst);
    std::vector<Stmt> stmts;
    hand_over(context, op.expr, stmts);
    stmts.push_back(context.each(for_each_slot_across(context, dst.dims[1].axis, [&](const Point &point) {
        return store_element(context, dst, point, context.evaluate(op.expr, point));
    })));
    return Block::make(stmts);
}

Stmt lower_store_across(const Context &context, const TileOp &op) {
    std::string axis;
    for (const std::string &a : op.out_axes) {
        axis = is_grid_axis(context.program, a) || a == context.program.query.name ? axis : a;
    }
    std::vector<Stmt> stmts;
    hand_over(context, op.expr, stmts);
    stmts.push_back(context.each(for_each_slot_across(context, axis, [&](const Point &point) {
        Point unclamped = point;
        Coord &at = unclamped.at(context.values.map.point_axis);
        at.at = context.values.map.point_across(at.slot);
        return IfThenElse::make(at.at < context.values.map.points, store_output(context, op, point));
    })));
    return Block::make(stmts);
}

Stmt lower_row_products(const Context &context, const TileOp &op) {
    std::vector<Stmt> stmts;
    const Stored &from = context.at(op.a);
    const Stored rows = from.registers ? copy_rows(context, op, stmts) : from;
    stmts.push_back(RowProducts(context, op, rows, context.at(op.b)).lower());
    return Block::make(stmts);
}

}  // namespace strobe::simt
