#include "Contract.h"

#include "MatrixContract.h"
#include "RowProducts.h"
#include "device/Intrinsics.h"
#include "support/Error.h"

#include <algorithm>

namespace strobe::simt {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** Columns that a thread adds up together: the sums take registers beside the result's. */
const int most_columns = 4;
/** Steps of the contracted axis that are loaded together. */
const int depth = 4;
/** Products that are added up before their sum joins that of the others: of K terms, the
 * error of one chain grows with sqrt(K), that of chains of 16 with sqrt(16 + K / 16). What
 * goes on over many tiles has longer chains, so that there are fewer. */
const int chain = 16, chain_of_many = 64;

/** dst[m, n] += sum over k of a[m, k] * b[k, n], for a thread's own elements. */
class Product {
    const Context &context;
    const TileOp &op;
    const Stored &dst;
    const Stored a, b;
    const std::string m, n, k;
    std::vector<std::pair<std::string, Expr>> lets;

    Expr let(const Expr &value) {
        lets.emplace_back(unique_name("operand"), value);
        return Variable::make(value.type(), lets.back().first);
    }
    Point at(const Expr &row, const std::string &axis, const Expr &step) const {
        return Point{{axis, {row, -1}}, {k, {step, -1}}};
    }
    /** `depth` elements of an operand from \p step on, along the contracted axis. */
    std::vector<Expr> along_k(const Stored &s, const std::string &axis, const Expr &row, const Expr &step) {
        std::vector<Expr> elements;
        if (s.dims.back().axis == k && s.strides.back() == 1) {
            const Expr all = let(vector_at(s, element_index(context, s, at(row, axis, step)), depth));
            for (int e = 0; e < depth; e++) {
                elements.push_back(Shuffle::make_extract_element(all, e));
            }
        } else {
            for (int e = 0; e < depth; e++) {
                elements.push_back(load_at(s.name, s.type, element_index(context, s, at(row, axis, step + e))));
            }
        }
        for (Expr &e : elements) {
            e = let(rounded_operand(e, op.operand_type, dst.type));
        }
        return elements;
    }
    /** Consecutive elements; the index is a multiple of their number. */
    static Expr vector_at(const Stored &s, const Expr &index, int count) {
        return Load::make(s.type.with_lanes(count), s.name, Ramp::make(index, 1, count), Buffer<>(), Parameter(),
                          const_true(count), ModulusRemainder(count, 0));
    }

    std::vector<std::vector<Expr>> columns_of_b(int first, int count, const Expr &step);
    Stmt turn(int first, int count, const Expr &step, const std::string &sums, int pitch);
    Stmt chains(int first, int count, int size, const std::string &sums);

public:
    Product(const Context &context, const TileOp &op, const Stored &a, const Stored &b)
        : context(context), op(op), dst(context.at(op.dst)), a(a), b(b), m(dst.dims[0].axis), n(dst.dims[1].axis),
          k(op.axis) {
    }
    Stmt lower();
};

/** [column][step] */
std::vector<std::vector<Expr>> Product::columns_of_b(int first, int count, const Expr &step) {
    const ThreadMap &map = context.values.map;
    std::vector<std::vector<Expr>> columns(count);
    if (b.dims.back().axis == k) {
        for (int c = 0; c < count; c++) {
            columns[c] = along_k(b, n, map.column(n, first + c), step);
        }
        return columns;
    }
    const int width = b.strides.back() == 1 ? std::min(map.axes.at(n).width, count) : 1;
    for (int e = 0; e < depth; e++) {
        for (int c = 0; c < count; c += width) {
            const Expr index = element_index(context, b, at(map.column(n, first + c), n, step + e));
            if (width == 1) {
                columns[c].push_back(let(rounded_operand(load_at(b.name, b.type, index), op.operand_type, dst.type)));
                continue;
            }
            const Expr all = let(vector_at(b, index, width));
            for (int x = 0; x < width; x++) {
                columns[c + x].push_back(
                    let(rounded_operand(Shuffle::make_extract_element(all, x), op.operand_type, dst.type)));
            }
        }
    }
    return columns;
}

/** sums[row * pitch + column] += products of `depth` steps. */
Stmt Product::turn(int first, int count, const Expr &step, const std::string &sums, int pitch) {
    lets.clear();
    const int rows = dst.sizes[0];
    std::vector<std::vector<Expr>> of_a;
    for (int r = 0; r < rows; r++) {
        of_a.push_back(along_k(a, m, context.values.map.row(r), step));
    }
    const auto of_b = columns_of_b(first, count, step);
    std::vector<Stmt> updates;
    for (int e = 0; e < depth; e++) {
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < count; c++) {
                const int index = r * pitch + c;
                updates.push_back(
                    store_at(sums, multiply_add(context, of_a[r][e], of_b[c][e], load_at(sums, dst.type, index)), index));
            }
        }
    }
    Stmt s = Block::make(updates);
    for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
        s = LetStmt::make(it->first, it->second, s);
    }
    return s;
}

/** Columns first, first + 1, ...: chain after chain, each in \p sums. */
Stmt Product::chains(int first, int count, int size, const std::string &sums) {
    const int slots = dst.sizes[1], rows = dst.sizes[0];
    std::vector<Stmt> clear, add;
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < count; c++) {
            const int from = r * count + c, to = r * slots + first + c;
            const Expr total = load_at(dst.name, dst.type, to) + load_at(sums, dst.type, from);
            clear.push_back(store_at(sums, make_zero(dst.type), from));
            add.push_back(store_at(dst.name, strictify_float(total), to));
        }
    }
    const int length = op.accumulate ? chain_of_many : chain;
    return serial_loop(k + ".chain", (size + length - 1) / length, [&](const Expr &number) {
        const Expr left = (size + depth - 1) / depth - number * (length / depth);
        const Expr steps = size % length == 0 ? Expr(length / depth) : simplify(min(length / depth, left));
        const Stmt walk = serial_loop(k + ".step", steps, [&](const Expr &step) {
            return turn(first, count, number * length + step * depth, sums, count);
        });
        return Block::make({Block::make(clear), walk, Block::make(add)});
    });
}

Stmt Product::lower() {
    const int slots = dst.sizes[1];
    const int size = context.values.map.axes.count(k) ? context.values.map.axes.at(k).size : context.program.query_tile;
    const std::string sums = unique_name("sums");
    std::vector<Stmt> stmts;
    for (int e = 0; !op.accumulate && e < dst.elements; e++) {
        stmts.push_back(store_at(dst.name, make_zero(dst.type), e));
    }
    for (int first = 0; first < slots; first += most_columns) {
        stmts.push_back(chains(first, std::min(most_columns, slots - first), size, sums));
    }
    const Expr elements = dst.sizes[0] * std::min(most_columns, slots);
    const Stmt all = context.each_of_points(Block::make(stmts));
    return Allocate::make(sums, dst.type, MemoryType::Register, {elements}, const_true(), all);
}

/** One element of the result at a time. */
Stmt lower_plain(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst), &a = context.at(op.a), &b = context.at(op.b);
    const Stored &sized = b;
    const int size = sized.dims[sized.dimension(op.axis)].size;
    const std::string sum = unique_name("sum");
    const Type t = dst.type;
    const auto element = [&](const Point &point) {
        const Stmt walk = serial_loop(op.axis + ".at", size, [&](const Expr &k) {
            Point at = point;
            at[op.axis] = {k, -1};
            const auto operand = [&](const Stored &s) {
                return rounded_operand(load_at(s.name, s.type, element_index(context, s, at)), op.operand_type, t);
            };
            return store_at(sum, multiply_add(context, operand(a), operand(b), load_at(sum, t, 0)), 0);
        });
        const Expr total = load_at(sum, t, 0), old = load_at(dst.name, t, element_index(context, dst, point));
        const Stmt end = store_element(context, dst, point, op.accumulate ? strictify_float(old + total) : total);
        return Block::make({store_at(sum, make_zero(t), 0), walk, end});
    };
    const Stmt body = for_each_element(context, dst, [&](const Point &point, const Expr &inside) {
        return is_const_one(inside) ? element(point) : IfThenElse::make(inside, element(point));
    });
    return Allocate::make(sum, t, MemoryType::Register, {1}, const_true(), context.each_sharer(dst, body));
}

}  // namespace

Expr multiply_add(const Context &context, const Expr &a, const Expr &b, const Expr &sum) {
    if (!context.on_cpu && sum.type() == Float(32)) {
        return device::fma(a, b, sum);
    }
    return strictify_float(sum + a * b);
}

Expr rounded_operand(const Expr &e, Type operand, Type sum) {
    const bool narrows = operand.bits() < e.type().bits() && e.type().is_float();
    const Expr x = narrows ? cast(operand, e) : e;
    return x.type() == sum ? x : cast(sum, x);
}

Stmt lower_contract(const Context &context, const TileOp &op) {
    const Stored &dst = context.at(op.dst), &a = context.at(op.a), &b = context.at(op.b);
    if (dst.across) {
        return lower_row_products(context, op);
    }
    if (!dst.registers) {
        return lower_plain(context, op);
    }
    if (fits_matrix_unit(context, op)) {
        return lower_matrix_contract(context, op);
    }
    strobe_internal_assert(a.dimension(dst.dims[0].axis) >= 0 && b.dimension(dst.dims[1].axis) >= 0)
        << "the rows of " << op.dst << " are not those of " << op.a;
    if (!a.registers) {
        return Product(context, op, a, b).lower();
    }
    std::vector<Stmt> stmts;
    const Stored copy = copy_rows(context, op, stmts);
    stmts.push_back(Product(context, op, copy, b).lower());
    return Block::make(stmts);
}

Stored copy_rows(const Context &context, const TileOp &op, std::vector<Stmt> &stmts) {
    const Stored &from = context.at(op.a);
    const bool narrow = op.operand_type.bits() < from.rounded_to.bits();
    const Type type = narrow ? op.operand_type : from.rounded_to;
    std::ostringstream name;
    name << "operand." << op.axis << "." << type;
    const Stored to = shared_array(name.str(), type, from.dims, context.program, context.values.map, true);
    context.scratch[to.name] = to;
    if (context.copied[to.name] == op.a) {
        return to;
    }
    context.copied[to.name] = op.a;
    const ThreadMap &map = context.values.map;
    const AxisSlots &slots = map.axes.at(op.axis);
    std::vector<Stmt> stores;
    for (int r = 0; r < map.row_slots; r++) {
        for (int c = 0; c < slots.slots; c++) {
            const Expr column = map.column(op.axis, c);
            const Point point{{context.program.query.name, {map.row(r), r}}, {op.axis, {column, c}}};
            Expr value = load_element(context, from, point);
            if (slots.padded != slots.size) {
                value = select(column < slots.size, value, make_zero(value.type()));
            }
            stores.push_back(store_element(context, to, point, value));
        }
    }
    stmts.push_back(context.each_of_points(Block::make(stores)));
    return to;
}

}  // namespace strobe::simt
