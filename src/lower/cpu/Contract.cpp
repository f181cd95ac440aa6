#include "Contract.h"

#include "support/Error.h"

#include <algorithm>

namespace strobe::cpu {

using namespace Halide;
using namespace Halide::Internal;

namespace {

/** dst[m, n] (+)= sum over k of a[m, k] * b[k, n]; vectors along n. */
struct Product {
    const Context &context;
    const TileStorage &dst, &a, &b;
    TileDim m, n, k;
    bool accumulate;

    Expr vector_of(const TileStorage &s, const Point &point) const {
        return Load::make(s.type.with_lanes(s.lanes), s.name, s.ramp(point, s.lanes), Buffer<>(), Parameter(),
                          const_true(s.lanes), ModulusRemainder());
    }
    Stmt kernel(const RegisterBlock &block, const Expr &first_row, const Expr &first_vector) const;
    Stmt all_rows(const RegisterBlock &block, const Expr &first_vector) const;
    Stmt lower() const;
};

/** Accumulates rows x vectors of dst in registers. */
Stmt Product::kernel(const RegisterBlock &block, const Expr &first_row, const Expr &first_vector) const {
    const int lanes = dst.lanes, rows = block.rows, vectors = block.vectors;
    const Type t = dst.type, wide = t.with_lanes(lanes);
    const std::string acc = unique_name("accumulators"), step = unique_name(k.axis + ".at");
    auto slot = [&](int r, int v) { return Ramp::make((r * vectors + v) * lanes, 1, lanes); };
    auto column = [&](int v) { return Coord{simplify((first_vector + v) * lanes), Expr(), Expr()}; };
    auto at = [&](int r, int v) {
        return Point{{m.axis, {simplify(first_row + r), Expr(), Expr()}}, {n.axis, column(v)}};
    };
    auto store = [&](int r, int v, const Expr &value) {
        return Store::make(acc, value, slot(r, v), Parameter(), const_true(lanes), ModulusRemainder());
    };
    auto load = [&](int r, int v) {
        return Load::make(wide, acc, slot(r, v), Buffer<>(), Parameter(), const_true(lanes), ModulusRemainder());
    };
    const Coord walk{Variable::make(Int(32), step), Expr(), Expr()};

    std::vector<Stmt> init, body, result;
    std::vector<std::pair<std::string, Expr>> lets;
    for (int v = 0; v < vectors; v++) {
        lets.emplace_back(unique_name("operand.b"),
                          cast(wide, vector_of(b, Point{{k.axis, walk}, {n.axis, column(v)}})));
    }
    for (int r = 0; r < rows; r++) {
        Expr row = cast(t, a.load(Point{{m.axis, {simplify(first_row + r), Expr(), Expr()}}, {k.axis, walk}}));
        const std::string name = unique_name("operand.a");
        for (int v = 0; v < vectors; v++) {
            init.push_back(store(r, v, accumulate ? vector_of(dst, at(r, v)) : make_zero(wide)));
            Expr product = Broadcast::make(Variable::make(t, name), lanes) * Variable::make(wide, lets[v].first);
            body.push_back(store(r, v, load(r, v) + product));
            result.push_back(Store::make(dst.name, load(r, v), dst.ramp(at(r, v), lanes), Parameter(),
                                         const_true(lanes), ModulusRemainder()));
        }
        Stmt updates = Block::make(std::vector<Stmt>(body.end() - vectors, body.end()));
        body.resize(body.size() - vectors);
        body.push_back(LetStmt::make(name, row, updates));
    }
    Stmt loop = Block::make(body);
    for (auto it = lets.rbegin(); it != lets.rend(); ++it) {
        loop = LetStmt::make(it->first, it->second, loop);
    }
    loop = make_loop(step, context.valid(k), loop);
    Stmt s = Block::make({Block::make(init), loop, Block::make(result)});
    return Allocate::make(acc, t, MemoryType::Stack, {rows * vectors * lanes}, const_true(), s);
}

/** Rows that do not fill a block go in blocks of half the size and so on. */
Stmt Product::all_rows(const RegisterBlock &block, const Expr &first_vector) const {
    const std::string turn = unique_name("block");
    const Expr turns = Variable::make(Int(32), turn), rows = context.valid(m);
    Stmt whole = make_loop(turn, simplify(rows / block.rows), kernel(block, turns * block.rows, first_vector));
    const Expr rest = simplify(rows % block.rows);
    if (is_const_zero(rest)) {
        return whole;
    }
    const std::string name = unique_name("rows.first"), left = unique_name("rows.rest");
    const Expr first = Variable::make(Int(32), name), r = Variable::make(Int(32), left);
    int size = 1;
    while (size * 2 < block.rows) {
        size *= 2;
    }
    std::vector<Stmt> ladder;
    for (; size >= 1; size /= 2) {
        const Expr done = simplify(r / (2 * size) * (2 * size));
        ladder.push_back(IfThenElse::make(r % (2 * size) >= size,
                                          kernel({size, block.vectors}, first + done, first_vector)));
    }
    Stmt s = LetStmt::make(name, rows - r, Block::make(ladder));
    return Block::make(whole, LetStmt::make(left, rest, s));
}

/** Groups of vectors outermost: theirs of b stay in the first-level cache while all rows pass. */
Stmt Product::lower() const {
    const RegisterBlock block = register_block(context.target, context.lanes, n.size);
    const RegisterBlock narrow = {8, 1};
    const std::string group = unique_name("group");
    const Expr g = Variable::make(Int(32), group);
    const Expr vectors = simplify((context.valid(n) + (dst.lanes - 1)) / dst.lanes);
    const Expr whole = simplify(vectors / block.vectors), rest = simplify(vectors % block.vectors);
    Stmt s = make_loop(group, whole, all_rows(block, g * block.vectors));
    if (!is_const_zero(rest)) {
        const std::string one = unique_name("vector");
        s = Block::make(s, make_loop(one, rest, all_rows(narrow, whole * block.vectors + Variable::make(Int(32), one))));
    }
    return s;
}

/** Copies all elements, rounded to \p round. */
Stmt copy_tile(const Context &context, const TileStorage &from, const TileStorage &to, Type round) {
    Point point;
    std::vector<std::string> counters;
    for (const TileDim &d : from.dims) {
        counters.push_back(unique_name(d.axis + ".at"));
        point[d.axis].at = Variable::make(Int(32), counters.back());
    }
    const std::string lane = unique_name("lane");
    const Expr vector = point[from.dims.back().axis].at;
    point[from.dims.back().axis] = Coord{Expr(), vector, Variable::make(Int(32), lane)};
    Stmt s = store_element(to, point, cast(to.type, cast(round, from.load(point))));
    s = make_loop(lane, context.lanes, s, ForType::Vectorized);
    for (size_t i = from.dims.size(); i-- > 0;) {
        Expr count = context.valid(from.dims[i]);
        if (i + 1 == from.dims.size()) {
            count = (count + (context.lanes - 1)) / context.lanes;
        }
        s = make_loop(counters[i], simplify(count), s);
    }
    return s;
}

/** Any other shape: one element of dst at a time. */
Stmt lower_plain(const Context &context, const TileOp &op, const TileDim &k) {
    const TileStorage &dst = context.at(op.dst), &a = context.at(op.a), &b = context.at(op.b);
    auto rounded = [&](const Expr &e) {
        return op.operand_type.bits() ? cast(dst.type, cast(op.operand_type, e)) : cast(dst.type, e);
    };
    Point point;
    std::vector<std::string> counters;
    for (const TileDim &d : dst.dims) {
        counters.push_back(unique_name(d.axis + ".at"));
        point[d.axis].at = Variable::make(Int(32), counters.back());
    }
    const std::string step = unique_name(k.axis + ".at");
    Point inner = point;
    inner[k.axis].at = Variable::make(Int(32), step);
    Stmt add = store_element(dst, point, dst.load(point) + rounded(a.load(inner)) * rounded(b.load(inner)));
    Stmt s = make_loop(step, context.valid(k), add);
    if (!op.accumulate) {
        s = Block::make(store_element(dst, point, make_zero(dst.type)), s);
    }
    for (size_t i = dst.dims.size(); i-- > 0;) {
        s = make_loop(counters[i], context.valid(dst.dims[i]), s);
    }
    return s;
}

bool needs_rounding(const TileOp &op, const TileStorage &s) {
    const Type t = op.operand_type;
    return t.bits() && t != s.rounded_to && t.is_float() && s.rounded_to.is_float() && t.bits() < s.rounded_to.bits();
}

}  // namespace

Stmt lower_contract(const Context &context, const TileOp &op) {
    const TileStorage &dst = context.at(op.dst);
    TileStorage a = context.at(op.a), b = context.at(op.b);
    auto dim = [](const TileStorage &s, const std::string &axis) {
        return *std::find_if(s.dims.begin(), s.dims.end(), [&](const TileDim &d) { return d.axis == axis; });
    };
    strobe_internal_assert(a.has(op.axis) && b.has(op.axis)) << "contraction into " << op.dst << " lacks " << op.axis;
    const TileDim k = dim(b, op.axis);
    const std::string &m = dst.dims.size() == 2 ? dst.dims[0].axis : dst.inner(), &n = dst.inner();
    const bool matrix = dst.dims.size() == 2 && a.dims.size() == 2 && b.dims.size() == 2 && dst.type.is_float() &&
                        ((a.has(m) && b.has(n)) || (a.has(n) && b.has(m)));
    if (!matrix) {
        return lower_plain(context, op, k);
    }
    if (a.has(dst.inner())) {
        std::swap(a, b);
    }
    // Operands that must be rounded, or do not lie along the vectors, are copied.
    std::vector<std::pair<TileStorage, Stmt>> copies;
    auto copy_to = [&](TileStorage &s, const TileStorage &copy) {
        copies.emplace_back(copy, copy_tile(context, s, copy, needs_rounding(op, s) ? op.operand_type : s.rounded_to));
        s = copy;
    };
    if (needs_rounding(op, a)) {
        copy_to(a, storage_along(unique_name(a.name + ".rounded"), a, a.inner()));
    }
    if (needs_rounding(op, b) || b.inner() != dst.inner()) {
        copy_to(b, storage_along(unique_name(b.name + ".rounded"), b, dst.inner()));
    }
    Product product{context, dst, a, b, dst.dims[0], dst.dims[1], k, op.accumulate};
    Stmt s = product.lower();
    for (auto it = copies.rbegin(); it != copies.rend(); ++it) {
        const Expr size = make_const(Int(32), it->first.elements());
        s = Allocate::make(it->first.name, it->first.type, MemoryType::Heap, {size}, const_true(), Block::make(it->second, s));
    }
    return s;
}

}  // namespace strobe::cpu
